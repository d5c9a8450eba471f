//! The thread pool: runs jobs and parallel maps on rayon's threads. The only file that names rayon.

use std::{
    cell::Cell,
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use rayon::prelude::*;

use crate::threads::{
    job_queue::{JobPriority, JobQueue, ThreadDemand},
    scoped_job::{ScopedJob, run_scoped},
};

/// A pool of threads that execute blocks. It outlives blocks and engines, and many may share it.
///
/// With the pools of an embedder no thread of the engine's own is started, and none of rayon's global pool:
///
/// ```
/// use std::sync::Arc;
///
/// use blockloom_engine::{Config, Engine, Workers};
/// use blockloom_state::MemoryStore;
///
/// let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().map(Arc::new);
/// let engine = Engine::new(Config {
///     workers: Some(Workers::from(pool(3)?)),
///     prefetch_workers: Some(Workers::from(pool(16)?)),
///     ..Config::with_threads(4)
/// });
/// let store = MemoryStore::new();
/// let root = engine.install(|| store.root());
/// assert_eq!(root, store.root());
/// # Ok::<(), rayon::ThreadPoolBuildError>(())
/// ```
#[derive(Clone)]
pub struct Workers(Arc<SharedPool>);

/// What the clones share.
struct SharedPool {
    pool: Arc<rayon::ThreadPool>,
    queue: Arc<JobQueue>,
}

impl Drop for SharedPool {
    fn drop(&mut self) {
        self.queue.close();
    }
}

/// A pool of the embedder: its threads return to it as soon as there is no job.
impl From<Arc<rayon::ThreadPool>> for Workers {
    fn from(pool: Arc<rayon::ThreadPool>) -> Self {
        Self::with_idle_timeout(pool, Duration::ZERO)
    }
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Workers").field(&self.threads()).finish()
    }
}

#[cfg(feature = "shuttle")]
use shuttle::thread_local;

thread_local! {
    /// Whether this thread executes a block.
    static IS_BUSY: Cell<bool> = const { Cell::new(false) };
}

impl Workers {
    fn with_idle_timeout(pool: Arc<rayon::ThreadPool>, idle_timeout: Duration) -> Self {
        let queue = Arc::new(JobQueue::new(pool.current_num_threads(), idle_timeout));
        Self(Arc::new(SharedPool { pool, queue }))
    }

    /// A new pool of `threads` threads, which wait for the next job up to `idle_timeout`; `None` if the
    /// system has no threads for it.
    pub(crate) fn start(threads: usize, idle_timeout: Duration) -> Option<Self> {
        let name = |number| format!("blockloom-{number}");
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).thread_name(name).build();
        pool.ok().map(|pool| Self::with_idle_timeout(Arc::new(pool), idle_timeout))
    }

    /// Runs `work` on a thread of the pool and waits for it, unless the calling thread executes a block: then it runs here,
    /// because all threads of the pool may be waiting for that block.
    pub(crate) fn install<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        if is_busy() { work() } else { self.0.pool.install(work) }
    }

    /// The number of threads.
    pub(crate) fn threads(&self) -> usize {
        self.0.pool.current_num_threads()
    }

    /// Whether a thread of the pool is awake.
    pub(crate) fn are_awake(&self) -> bool {
        self.0.queue.has_threads()
    }

    /// Runs `lead` on this thread while up to `helpers` threads of the pool run `help`. Returns once all
    /// of them are done. `lead` must not depend on a helper: there may be none.
    ///
    /// A thread that executes a block already does not help: if a callback or a base calls rayon,
    /// the pool may put a helper on top of the very run that the helper would wait for.
    pub(crate) fn run_with_helpers<R>(
        &self,
        helpers: usize,
        help: impl Fn() + Sync,
        lead: impl FnOnce() -> R,
    ) -> R {
        let help = || {
            if !is_busy() {
                while_busy(&help);
            }
        };
        let distribute = |job: &Arc<ScopedJob>| {
            for _ in 0..helpers {
                let job = Arc::clone(job);
                self.spawn(JobPriority::Urgent, move || job.run());
            }
        };
        run_scoped(&help, distribute, || while_busy(lead))
    }

    /// Runs a job on any thread of the pool.
    pub(crate) fn spawn(&self, priority: JobPriority, job: impl FnOnce() + Send + 'static) {
        let SharedPool { pool, queue } = &*self.0;
        if queue.push(Box::new(job), priority) == ThreadDemand::OneMore {
            start_serving(Arc::clone(queue), Some(pool));
        }
    }
}

/// Starts a thread that serves the queue: a thread of `pool`, or else of the pool of this thread.
fn start_serving(queue: Arc<JobQueue>, pool: Option<&rayon::ThreadPool>) {
    let serve = move || serve(queue);
    #[cfg(not(feature = "shuttle"))]
    match pool {
        Some(pool) => pool.spawn(serve),
        None => rayon::spawn(serve),
    }
    // The model checker has threads of its own.
    #[cfg(feature = "shuttle")]
    {
        let _ = pool;
        shuttle::thread::spawn(serve);
    }
}

/// Serves the queue on a thread of the pool. A thread that executes a block already takes other work
/// only because its base or its callback waits for rayon: it must not wait here.
fn serve(queue: Arc<JobQueue>) {
    if !is_busy() {
        queue.run_until_idle();
    } else if queue.run_one() == ThreadDemand::OneMore {
        start_serving(queue, None);
    }
}

fn is_busy() -> bool {
    IS_BUSY.with(Cell::get)
}

/// Marks the thread as busy while it does `work`.
fn while_busy<R>(work: impl FnOnce() -> R) -> R {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            IS_BUSY.with(|is_busy| is_busy.set(self.0));
        }
    }
    let _restore = Restore(IS_BUSY.with(|is_busy| is_busy.replace(true)));
    work()
}

/// The number of threads that the machine runs at once. The system is asked only once: the answer may
/// take as long as a transaction.
pub(crate) fn machine_threads() -> usize {
    static THREADS: OnceLock<usize> = OnceLock::new();
    *THREADS.get_or_init(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get))
}

/// Applies `work` to every item, in parallel. The results are in the order of the items.
pub(crate) fn parallel_map<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync + Send) -> Vec<R> {
    items.par_iter().map(work).collect()
}
