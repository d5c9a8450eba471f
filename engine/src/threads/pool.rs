//! Spreads work over threads. The only file that names rayon.

use std::{
    cell::Cell,
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use rayon::prelude::*;

use crate::threads::{
    job_queue::{ThreadDemand, JobPriority, JobQueue},
    scoped_job::{ScopedJob, lend},
};

/// A pool of threads that execute blocks. It outlives blocks and engines, and many may share it.
#[derive(Clone)]
pub struct Workers(Arc<Shared>);

/// What the clones share.
struct Shared {
    pool: Arc<rayon::ThreadPool>,
    lobby: Arc<JobQueue>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.lobby.close();
    }
}

/// A pool of somebody else's: its threads go back to it as soon as there is nothing to do.
impl From<Arc<rayon::ThreadPool>> for Workers {
    fn from(pool: Arc<rayon::ThreadPool>) -> Self {
        Self::with_patience(pool, Duration::ZERO)
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
    fn with_patience(pool: Arc<rayon::ThreadPool>, patience: Duration) -> Self {
        let lobby = Arc::new(JobQueue::new(pool.current_num_threads(), patience));
        Self(Arc::new(Shared { pool, lobby }))
    }

    /// A pool of so many threads, which wait that long for the next block before they go to sleep;
    /// or nothing if the system does not give them.
    pub(crate) fn start(threads: usize, patience: Duration) -> Option<Self> {
        let name = |number| format!("blockloom-{number}");
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).thread_name(name).build();
        pool.ok().map(|pool| Self::with_patience(Arc::new(pool), patience))
    }

    /// How many threads there are.
    pub(crate) fn threads(&self) -> usize {
        self.0.pool.current_num_threads()
    }

    /// Whether a thread of the pool is awake.
    pub(crate) fn are_awake(&self) -> bool {
        self.0.lobby.has_somebody()
    }

    /// Leads on this thread while `helpers` threads of the pool help, and comes back once all are
    /// done. Does not rely on anybody's helping.
    ///
    /// A thread that executes a block already does not help: if a callback or a base calls rayon,
    /// the pool may put a helper on top of the very run that the helper would wait for.
    pub(crate) fn run_with_helpers<R>(&self, helpers: usize, help: impl Fn() + Sync, lead: impl FnOnce() -> R) -> R {
        let help = || {
            if !is_busy() {
                busily(&help);
            }
        };
        let spread = |loan: &Arc<ScopedJob>| {
            for _ in 0..helpers {
                let loan = Arc::clone(loan);
                self.spawn(JobPriority::Now, move || loan.help());
            }
        };
        lend(&help, spread, || busily(lead))
    }

    /// Does something on some thread of the pool.
    pub(crate) fn spawn(&self, hurry: JobPriority, job: impl FnOnce() + Send + 'static) {
        let Shared { pool, lobby } = &*self.0;
        if lobby.leave(Box::new(job), hurry) == ThreadDemand::Somebody {
            call_to(Arc::clone(lobby), Some(pool));
        }
    }
}

/// Calls a thread to the lobby: one of this pool, or of that of this thread.
fn call_to(lobby: Arc<JobQueue>, pool: Option<&rayon::ThreadPool>) {
    let come = move || come_to(lobby);
    #[cfg(not(feature = "shuttle"))]
    match pool {
        Some(pool) => pool.spawn(come),
        None => rayon::spawn(come),
    }
    // The model checker has threads of its own.
    #[cfg(feature = "shuttle")]
    {
        let _ = pool;
        shuttle::thread::spawn(come);
    }
}

/// What a thread of the pool does that was called to the lobby. One that executes a block already,
/// and only looks for other work because its base or its callback waits for something, must not be
/// kept there.
fn come_to(lobby: Arc<JobQueue>) {
    if !is_busy() {
        lobby.stay();
    } else if lobby.pass_through() == ThreadDemand::Somebody {
        call_to(lobby, None);
    }
}

fn is_busy() -> bool {
    IS_BUSY.with(Cell::get)
}

/// Does something and marks the thread as busy meanwhile.
fn busily<R>(work: impl FnOnce() -> R) -> R {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            IS_BUSY.with(|is_busy| is_busy.set(self.0));
        }
    }
    let _restore = Restore(IS_BUSY.with(|is_busy| is_busy.replace(true)));
    work()
}

/// How many threads the machine runs at once. It is asked once: finding out may take as long as a
/// transaction does.
pub(crate) fn machine_threads() -> usize {
    static THREADS: OnceLock<usize> = OnceLock::new();
    *THREADS.get_or_init(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get))
}

/// Applies `work` to every item, in parallel; the answers stand in the order of the items.
pub(crate) fn spread<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync + Send) -> Vec<R> {
    items.par_iter().map(work).collect()
}
