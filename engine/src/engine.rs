//! The engine: decides how a block is executed, and executes it.

mod inspect;
mod plan;
mod pools;
mod stream;

use std::{
    cell::{Cell, OnceCell},
    num::NonZeroUsize,
    ops::{ControlFlow, Range},
    panic::{AssertUnwindSafe, catch_unwind},
    slice::from_ref,
    sync::{Arc, OnceLock},
    time::Duration,
};

use blockloom_state::{AccessListIndex, Base, CachedBase, Memory, MemoryStore, Visibility, sync::Mutex};

use crate::{
    analysis::dependencies::{Dependencies, block_dependencies},
    block::{
        block::Block,
        cancel::CancelHandle,
        config::{Config, TestMode, Use},
        error::{BlockError, Reason},
        outcome::Outcome,
        steps::Steps,
        telemetry::{ExecutionSpan, block_executed},
    },
    commit::{
        committer::BlockCommitter,
        measured,
        observer::{CommittedStep, Observer, Progress},
        parallel::{self, Resources, Rest},
        sequential,
    },
    engine::plan::{Latency, Plan},
    evm::{
        handling::{Handling, Mainnet},
        warm_up,
    },
    parallel::thread_log::Recorder,
    policy::{batching::Batch, cost_model::Switch},
    prefetch::Prefetcher,
    threads::{job_queue::JobPriority, pool::Workers},
};

/// Executes blocks, in parallel where that pays. One engine serves any number of threads at once.
///
/// ```
/// use alloy_consensus::Header;
/// use alloy_hardforks::EthereumHardfork;
/// use blockloom_engine::{Block, Config, Engine, Rules};
/// use blockloom_state::MemoryStore;
///
/// let base = MemoryStore::new();
/// let block = Block::without_body(Rules::mainnet(EthereumHardfork::Shanghai), &Header::default());
/// let outcome = Engine::new(Config::default()).execute(&base, &block)?;
/// assert!(outcome.changes.is_empty());
/// # Ok::<(), blockloom_engine::BlockError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Engine<H = Mainnet> {
    shared: Arc<Shared>,
    handling: H,
    cancel: CancelHandle,
    /// The most threads that execute a block, if fewer than configured.
    limit: Option<NonZeroUsize>,
}

/// What the clones of an engine share.
#[derive(Debug, Default)]
struct Shared {
    config: Config,
    test_mode: TestMode,
    /// The engine's own pool, once it was needed; `None` in it if the system gave no threads.
    workers: Arc<OnceLock<Option<Workers>>>,
    /// The threads that prefetch, in the same way.
    prefetch_workers: OnceLock<Option<Workers>>,
    /// Memories that no block uses at the moment.
    memories: Mutex<Vec<Memory>>,
}

impl Default for Engine {
    fn default() -> Self {
        Self::new(Config::default())
    }
}

impl Engine {
    /// An engine that executes as `config` says.
    pub fn new(config: Config) -> Self {
        Self::with_handling(config, Mainnet)
    }
}

impl<H: Handling> Engine<H> {
    /// An engine for a chain that handles transactions in its own way.
    pub fn with_handling(config: Config, handling: H) -> Self {
        let workers = warm_up::start(&config);
        let shared = Arc::new(Shared { config, workers, ..Shared::default() });
        Self { shared, handling, cancel: CancelHandle::new(), limit: None }
    }

    /// The same engine, with the same threads, whose blocks `handle` cancels.
    #[must_use]
    pub fn cancelled_by(&self, handle: &CancelHandle) -> Self {
        Self { cancel: handle.clone(), ..self.clone() }
    }

    /// The same engine in a test mode.
    ///
    /// # Panics
    ///
    /// If the engine was cloned before.
    #[doc(hidden)]
    #[must_use]
    pub fn with_test_mode(mut self, test_mode: TestMode) -> Self {
        let shared =
            Arc::get_mut(&mut self.shared).expect("the test mode is set before the engine is cloned");
        shared.test_mode = test_mode;
        self
    }

    /// Executes a block on `base`, the state before it. The base is not changed: the outcome contains the changes.
    ///
    /// The claims of the block's header are not checked: see [`check_outcome`](crate::check_outcome).
    ///
    /// # Errors
    ///
    /// If consensus forbids the block, the base cannot be read, or something panicked.
    pub fn execute<B: Base + ?Sized>(&self, base: &B, block: &Block) -> Result<Outcome, BlockError> {
        self.run(base, &Steps::new(from_ref(block)), Observer::None)
    }

    /// Executes a block like [`execute`](Self::execute), and calls `on_commit` with each step once it is committed:
    /// the opening, each transaction in order, the closing. The calls are made on the calling thread, while later
    /// transactions may run. The changes of all steps, applied in order, are the changes of the outcome.
    ///
    /// [`ControlFlow::Break`] cancels the rest of the block.
    ///
    /// # Errors
    ///
    /// If consensus forbids the block, the base cannot be read, something panicked, `on_commit`
    /// included, or the block was cancelled. The steps before that were passed on.
    pub fn execute_with<B: Base + ?Sized>(
        &self,
        base: &B,
        block: &Block,
        mut on_commit: impl FnMut(CommittedStep<'_>) -> ControlFlow<()>,
    ) -> Result<Outcome, BlockError> {
        self.run(base, &Steps::new(from_ref(block)), Observer::Steps(&mut |(), step| on_commit(step)))
    }

    /// Executes a block like [`execute_with`](Self::execute_with) if helpers may pay on this base. Otherwise
    /// does nothing, and returns `None`.
    pub(crate) fn execute_with_helpers<B: Base + ?Sized>(
        &self,
        base: &B,
        block: &Block,
        mut on_commit: impl FnMut(CommittedStep<'_>) -> ControlFlow<()>,
    ) -> Option<Result<Outcome, BlockError>> {
        let steps = Steps::new(from_ref(block));
        let (latency, batches) = (self.latency_of(base, &steps), self.batches_of(&steps));
        let plan = self.plan(&steps, &batches, latency);
        if matches!(plan, Plan::Sequential) {
            return None;
        }
        let observer = Observer::Steps(&mut |(), step| on_commit(step));
        Some(self.run_planned(base, &steps, &Planned { latency, batches, plan }, observer))
    }

    /// Measures how long each transaction of a block takes on one thread, and finds which earlier ones it depends on.
    /// The block is executed sequentially `rounds` times, and once more.
    ///
    /// # Errors
    ///
    /// If consensus forbids the block, or the base lacks a code.
    pub fn dependencies(
        &self,
        base: &MemoryStore,
        block: &Block,
        rounds: usize,
    ) -> Result<Dependencies, BlockError> {
        block_dependencies(base, block, &self.handling, rounds).map_err(|reason| reason.of(block.number()))
    }

    /// Executes blocks, and returns the outcome of the last one.
    fn run<B: Base + ?Sized>(
        &self,
        base: &B,
        steps: &Steps<'_>,
        observer: Observer<'_>,
    ) -> Result<Outcome, BlockError> {
        let (latency, batches) = (self.latency_of(base, steps), self.batches_of(steps));
        let plan = self.plan(steps, &batches, latency);
        self.run_planned(base, steps, &Planned { latency, batches, plan }, observer)
    }

    fn run_planned<B: Base + ?Sized>(
        &self,
        base: &B,
        steps: &Steps<'_>,
        Planned { latency, batches, plan }: &Planned<'_>,
        observer: Observer<'_>,
    ) -> Result<Outcome, BlockError> {
        let progress = Cell::new(Progress::START);
        let Config { timing, observer: trace_observer, .. } = &self.shared.config;
        let span = ExecutionSpan::of(steps);
        let is_stream = matches!(observer, Observer::Blocks(_));
        let recorder = Recorder::new(*timing, trace_observer.is_some(), steps.len(), span.clone());
        let input = |workers| {
            let (latency, recorder) = (*latency, &recorder);
            Input { base, steps, batches, workers, latency, recorder }
        };
        let execute = || match plan {
            Plan::Sequential => {
                let committer = self.committer(base, steps, observer, &progress);
                sequential::execute(committer, steps.len(), &recorder)
            }
            Plan::Measured(workers, switch) => {
                self.run_measured(&input(workers), *switch, observer, &progress)
            }
            Plan::Parallel(workers) => self.run_parallel(&input(workers), observer, &progress),
        };
        let result = catch_unwind(AssertUnwindSafe(|| {
            let outcome = span.enter(execute)?;
            span.executed(&outcome, || recorder.elapsed());
            if !is_stream {
                block_executed(&outcome);
            }
            if let Some(observer) = trace_observer {
                observer.executed(&recorder.trace(steps, outcome.statistics));
            }
            Ok(outcome)
        }));
        let Progress { block, step } = progress.get();
        let result = result.unwrap_or_else(|panic| Err(Reason::panicked(step, &*panic)));
        let result = result.map_err(|reason| reason.of(steps.blocks()[block].number()));
        result.inspect_err(|error| span.failed(error))
    }

    fn committer<'a, 's, 'o: 's, B: Base + ?Sized>(
        &'s self,
        base: &'a B,
        steps: &'a Steps<'a>,
        observer: Observer<'o>,
        progress: &'s Cell<Progress>,
    ) -> BlockCommitter<'a, 's, CachedBase<'a, B>, H> {
        let (base, observer) = (CachedBase::alone(base), observer.shorten());
        let committer = BlockCommitter::new(steps, base, self.handling.clone(), observer, progress);
        committer.with_access_lists(self.shared.config.lists).cancelled_by(&self.cancel)
    }

    /// Executes blocks on this thread until helpers pay, and the rest with them.
    fn run_measured<B: Base + ?Sized>(
        &self,
        input: &Input<'_, B>,
        mut switch: Switch,
        observer: Observer<'_>,
        progress: &Cell<Progress>,
    ) -> Result<Outcome, Reason> {
        let Input { base, steps, batches, recorder, .. } = *input;
        let memory = OnceCell::new();
        let committer = self.committer(base, steps, observer, progress);
        let pays = |batch: &Batch, of_batch: Range<usize>, time: Duration| {
            switch.is_due(batch, steps.transactions(of_batch), time)
        };
        let resources = || self.resources(input, memory.get_or_init(|| self.open_memory(input)));
        let result = measured::execute(steps, batches, committer, pays, recorder, resources);
        memory.into_inner().into_iter().for_each(|memory| self.recycle(memory, input.workers));
        result
    }

    /// Executes blocks with helpers from the first transaction on.
    fn run_parallel<B: Base + ?Sized>(
        &self,
        input: &Input<'_, B>,
        observer: Observer<'_>,
        progress: &Cell<Progress>,
    ) -> Result<Outcome, Reason> {
        let Input { base, steps, batches, workers, recorder, .. } = *input;
        let memory = self.open_memory(input);
        let committer = self.committer(base, steps, observer, progress);
        let resources = self.resources(input, &memory);
        let execute = || parallel::execute(&resources, steps, Rest::all(batches, recorder), committer);
        let result = self.prefetching(input, &memory, execute);
        self.recycle(memory, workers);
        result
    }

    fn resources<'r, B: ?Sized>(&'r self, input: &Input<'r, B>, memory: &'r Memory) -> Resources<'r, B, H> {
        let Input { base, workers, latency, recorder, .. } = *input;
        let threads = self.threads_for(latency).min(1 + workers.threads());
        let (test_mode, handling) = (self.shared.test_mode, &self.handling);
        Resources { base, handling, memory, workers, threads, recorder, test_mode }
    }

    fn open_memory<B: ?Sized>(&self, input: &Input<'_, B>) -> Memory {
        let Input { steps, latency, .. } = *input;
        let mut memory = self.shared.memories.lock().pop().unwrap_or_default();
        let visibility = match (self.shared.test_mode, self.list_of(steps)) {
            (TestMode::NoPublication, _) => Visibility::Nothing,
            (_, Some(list)) => Visibility::Listed(Arc::clone(list)),
            (_, None) => Visibility::Published,
        };
        memory.open(steps.blocks().iter().map(|block| block.env.beneficiary), visibility);
        for (block, next) in steps.blocks().iter().zip(&steps.blocks()[1..]) {
            memory.set_block_hash(block.number(), next.parent_hash);
        }
        if latency == Latency::High {
            memory.note_high_latency();
        }
        memory
    }

    /// Empties a memory for the next block, on a thread of the pool: it takes long.
    fn recycle(&self, mut memory: Memory, workers: &Workers) {
        let shared = Arc::downgrade(&self.shared);
        workers.spawn(JobPriority::Background, move || {
            memory.reset();
            if let Some(shared) = shared.upgrade() {
                shared.memories.lock().push(memory);
            }
        });
    }

    /// Executes blocks while what they are going to need is prefetched, if the base has a high latency.
    fn prefetching<B: Base + ?Sized>(
        &self,
        input: &Input<'_, B>,
        memory: &Memory,
        execute: impl FnOnce() -> Result<Outcome, Reason>,
    ) -> Result<Outcome, Reason> {
        let Input { base, steps, latency, .. } = *input;
        let Config { hints, prefetch_threads: threads, .. } = self.shared.config;
        if latency == Latency::Low || threads == 0 {
            return execute();
        }
        let prefetcher = Prefetcher::new(steps, hints);
        let workers = (!prefetcher.is_empty()).then(|| self.prefetch_workers()).flatten();
        let Some(workers) = workers else { return execute() };
        let lead = || {
            let _cancel = prefetcher.cancel_on_drop();
            execute()
        };
        let mut outcome = workers.run_with_helpers(threads, || prefetcher.run(memory, base), lead)?;
        outcome.statistics.prefetched = prefetcher.started();
        Ok(outcome)
    }

    /// The access list that came with a block, if runs read it: its indices are those of one block.
    fn list_of<'b>(&self, steps: &Steps<'b>) -> Option<&'b Arc<AccessListIndex>> {
        let [block] = steps.blocks() else { return None };
        block.list.index().filter(|_| self.shared.config.hints.given_lists == Use::On)
    }
}

/// How blocks are executed.
struct Planned<'w> {
    latency: Latency,
    batches: Vec<Batch>,
    plan: Plan<'w>,
}

/// What blocks are executed with.
#[derive(Clone, Copy)]
struct Input<'s, B: ?Sized> {
    base: &'s B,
    steps: &'s Steps<'s>,
    batches: &'s [Batch],
    workers: &'s Workers,
    latency: Latency,
    recorder: &'s Recorder,
}
