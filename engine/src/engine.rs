//! The front door: executing a block, by whom it pays.

use std::{
    any::Any,
    cell::Cell,
    num::NonZeroUsize,
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, OnceLock},
    time::Duration,
};

use blockloom_state::{
    AccessListIndex, Base, CachedBase, Memory, MemoryStore, Visibility, has_high_latency, sync::Mutex,
};

use crate::{
    analysis::dependencies::{Dependencies, block_dependencies},
    block::{
        block::{Block, Transaction},
        config::{Config, Spread, Use},
        error::{BlockError, BlockStep, Reason},
        outcome::Outcome,
    },
    commit::{
        committer::{BlockCommitter, CommittedStep, Observer},
        parallel::{self, Table},
        sequential,
    },
    evm::handling::{Handling, Mainnet},
    policy::{
        batching::{Batch, Batching, cuts_in_tests},
        cost_model::{Gain, Gas, Known, Pace},
    },
    prefetch::Prefetcher,
    threads::{
        clock::Stopwatch,
        job_queue::JobPriority,
        pool::{Workers, machine_threads},
    },
};

/// Of a block with so many transactions, the parties of four instead of two tell whether the base is slow.
const LARGE: usize = 32;

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
}

/// What the clones of an engine share.
#[derive(Debug, Default)]
struct Shared {
    config: Config,
    /// The engine's own pool, once it was needed; `None` in it if there could be none.
    workers: OnceLock<Option<Workers>>,
    /// The threads that read ahead, once they were needed; `None` in it if there could be none.
    readers: OnceLock<Option<Workers>>,
    history: Mutex<History>,
    /// Memories that no block uses now.
    memories: Mutex<Vec<Memory>>,
}

/// How the last blocks went.
#[derive(Debug, Default)]
struct History {
    pace: Pace,
    /// Whether the last block's base turned out to take its time, and nobody had expected it.
    was_base_slow: bool,
    /// Since when the last one is done.
    last: Option<Stopwatch>,
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
    /// An engine for a chain that handles transactions in a way of its own.
    pub fn with_handling(config: Config, handling: H) -> Self {
        Self { shared: Arc::new(Shared { config, ..Shared::default() }), handling }
    }

    /// How many threads execute a block at most.
    pub fn threads(&self) -> usize {
        self.shared.config.threads.map_or_else(machine_threads, NonZeroUsize::get)
    }

    /// How many threads execute a block. More than the machine runs at once take the cores
    /// away from each other, and from the gate; where the base takes its time, though, they wait for
    /// more answers at once.
    fn crew(&self, speed: Speed) -> usize {
        if self.shared.config.spread != Spread::WhereItPays || speed == Speed::Slow {
            self.threads()
        } else {
            self.threads().min(machine_threads().max(2))
        }
    }

    /// Executes a block on `base`, the state before it. The base is not changed: the outcome says
    /// what the block does to it.
    ///
    /// What the block's header claims is not looked at: see
    /// [`check_outcome`](crate::check_outcome).
    ///
    /// # Errors
    ///
    /// If consensus forbids the block, the base cannot be read, or something panicked.
    pub fn execute<B: Base>(&self, base: &B, block: &Block) -> Result<Outcome, BlockError> {
        self.go(base, block, Observer::None)
    }

    /// Executes a block like [`execute`](Self::execute) and tells `on_commit` of each step as soon
    /// as it is committed, on the calling thread and while later transactions still run: what
    /// happens before the transactions, each transaction in order, what happens after them. The
    /// changes of all steps, applied one after the other, are the changes of the outcome.
    ///
    /// Whoever answers with [`ControlFlow::Break`] cancels the rest of the block.
    ///
    /// # Errors
    ///
    /// If consensus forbids the block, the base cannot be read, something panicked, `on_commit`
    /// among it, or the block was cancelled. The steps up to there were told.
    pub fn execute_with<B: Base>(
        &self,
        base: &B,
        block: &Block,
        mut on_commit: impl FnMut(CommittedStep<'_>) -> ControlFlow<()>,
    ) -> Result<Outcome, BlockError> {
        self.go(base, block, Observer::Callback(&mut on_commit))
    }

    /// Takes a block apart: how long each transaction takes on one thread, and which earlier ones it
    /// needs. The block is executed sequentially `rounds` times for that, and once more.
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

    fn go<B: Base>(&self, base: &B, block: &Block, observer: Observer<'_>) -> Result<Outcome, BlockError> {
        let step = Cell::new(BlockStep::Opening);
        let speed = self.speed_of(base, block);
        let known = self.foresight(block).map_or(Known::AsTold, |_| Known::Beforehand);
        let is_weighed = self.has_choice() && speed == Speed::AtHand;
        let gas = is_weighed.then(|| self.look_closer(Gas::of(block, known), base, block));
        let help = self.help_for(gas);
        let watch = Stopwatch::start();
        let result = catch_unwind(AssertUnwindSafe(|| match help {
            Help::Now(workers) => {
                let cuts = self.cut(block);
                let setting = Setting { base, block, cuts: &cuts, workers, speed };
                self.weave(&setting, observer, &step)
            }
            Help::NextTime | Help::None => {
                let base = CachedBase::alone(base);
                let committer = BlockCommitter::new(block, base, self.handling.clone(), observer, &step);
                let committer = committer.with_access_list(self.shared.config.lists);
                sequential::execute(committer, block.transactions.len())
            }
        }));
        let result = result
            .unwrap_or_else(|panic| Err(Reason::Panicked { step: step.get(), message: message_of(&*panic) }));
        if let Some(gas) = gas {
            self.look_back(gas, watch.elapsed(), result.as_ref().ok(), help);
        }
        result.map_err(|reason| reason.of(block.number()))
    }

    /// Executes a block in parallel.
    fn weave<B: Base>(
        &self,
        setting: &Setting<'_, B>,
        observer: Observer<'_>,
        step: &Cell<BlockStep>,
    ) -> Result<Outcome, Reason> {
        let Setting { base, block, cuts, workers, speed } = *setting;
        let mut memory = self.shared.memories.lock().pop().unwrap_or_default();
        let Config { timing, spread, lists, .. } = self.shared.config;
        let sight = match (spread, self.foresight(block)) {
            (Spread::Blindfolded, _) => Visibility::Nothing,
            (_, Some(foresight)) => Visibility::Listed(Arc::clone(foresight)),
            (_, None) => Visibility::Published,
        };
        memory.open(block.env.beneficiary, sight);
        if speed == Speed::Slow {
            memory.note_high_latency();
        }
        let threads = self.crew(speed).min(1 + workers.threads());
        let handling = &self.handling;
        let table = Table { base, handling, memory: &memory, workers, threads, timing, spread };
        let remembered = CachedBase::new(&memory, base);
        let committer =
            BlockCommitter::new(block, remembered, handling.clone(), observer, step).with_access_list(lists);
        let result =
            self.reading_ahead(setting, &memory, || parallel::execute(&table, block, cuts, committer));
        // The next block is ready for what nobody expected of this one.
        self.shared.history.lock().was_base_slow = speed == Speed::AtHand && memory.base_has_high_latency();
        // Forgetting takes time in which this thread has better to do.
        let shared = Arc::downgrade(&self.shared);
        workers.spawn(JobPriority::Background, move || {
            memory.reset();
            if let Some(shared) = shared.upgrade() {
                shared.memories.lock().push(memory);
            }
        });
        result
    }

    /// Executes a block while what it is going to need is read ahead, if the base takes its time.
    fn reading_ahead<B: Base>(
        &self,
        setting: &Setting<'_, B>,
        memory: &Memory,
        execute: impl FnOnce() -> Result<Outcome, Reason>,
    ) -> Result<Outcome, Reason> {
        let Setting { base, block, speed, .. } = *setting;
        let Config { hints, readers: threads, .. } = self.shared.config;
        if speed == Speed::AtHand || threads == 0 {
            return execute();
        }
        let readers = Prefetcher::new(block, hints);
        let start = || Workers::start(threads, Duration::ZERO);
        let crew = || self.shared.readers.get_or_init(start).as_ref();
        let Some(crew) = (!readers.is_empty()).then(crew).flatten() else { return execute() };
        let lead = || {
            let _cancel = readers.cancel_on_drop();
            execute()
        };
        let mut outcome = crew.run_with_helpers(threads, || readers.run(memory, base), lead)?;
        outcome.statistics.prefetched = readers.started();
        Ok(outcome)
    }

    /// What is known beforehand of a block's writes, if that is to be used.
    fn foresight<'b>(&self, block: &'b Block) -> Option<&'b Arc<AccessListIndex>> {
        block.list.index().filter(|_| self.shared.config.hints.given_lists == Use::On)
    }

    /// Looks whether the base takes its time, with a few questions that the block asks anyway. A base
    /// that panics is met again, and reported, when the block is executed.
    fn speed_of<B: Base>(&self, base: &B, block: &Block) -> Speed {
        if self.threads() < 2 {
            return Speed::AtHand;
        }
        let transactions = &block.transactions;
        let count = if transactions.len() < LARGE { 2 } else { 4 };
        let step = transactions.len().div_ceil(count).max(1);
        let parties = transactions.iter().rev().step_by(step).flat_map(Transaction::parties);
        let accounts = [block.env.beneficiary].into_iter().chain(parties);
        let was_slow = std::mem::take(&mut self.shared.history.lock().was_base_slow);
        let is_slow =
            was_slow || catch_unwind(AssertUnwindSafe(|| has_high_latency(base, accounts))).unwrap_or(false);
        if is_slow { Speed::Slow } else { Speed::AtHand }
    }

    /// Whether it depends on the block how many threads execute it.
    fn has_choice(&self) -> bool {
        self.threads() > 1 && self.shared.config.spread == Spread::WhereItPays
    }

    fn cut(&self, block: &Block) -> Vec<Batch> {
        if self.has_choice() { Batching::of(&block.transactions).collect() } else { cuts_in_tests(block) }
    }

    /// What a block takes, asking the base if it seems too little for a second thread. A base that
    /// panics is met again, and reported, when the block is executed.
    fn look_closer<B: Base>(&self, gas: Gas, base: &B, block: &Block) -> Gas {
        if self.shared.history.lock().pace.gain(gas) != Gain::None {
            return gas;
        }
        catch_unwind(AssertUnwindSafe(|| gas.looking_closer(base, block))).unwrap_or(gas)
    }

    /// Who helps with a block, if it is worth it: one that takes so much, or any if nothing is said.
    fn help_for(&self, gas: Option<Gas>) -> Help<'_> {
        if self.threads() < 2 {
            return Help::None;
        }
        let gain = gas.map_or(Gain::Sure, |gas| self.shared.history.lock().pace.gain(gas));
        if gain == Gain::None {
            return Help::None;
        }
        let awake = self.started_workers().filter(|workers| workers.are_awake());
        match (gain, awake) {
            (_, Some(workers)) => Help::Now(workers),
            (Gain::Sure, None) => self.workers().map_or(Help::None, Help::Now),
            _ if self.is_in_a_row() => Help::NextTime,
            _ => Help::None,
        }
    }

    fn started_workers(&self) -> Option<&Workers> {
        self.shared.config.workers.as_ref().or_else(|| self.shared.workers.get()?.as_ref())
    }

    fn workers(&self) -> Option<&Workers> {
        let Config { workers, patience, .. } = &self.shared.config;
        let own = || Workers::start(self.threads() - 1, *patience);
        workers.as_ref().or_else(|| self.shared.workers.get_or_init(own).as_ref())
    }

    /// Whether blocks follow each other so closely that it pays to stay awake in between.
    fn is_in_a_row(&self) -> bool {
        let Config { workers, patience, .. } = &self.shared.config;
        let since_last = self.shared.history.lock().last.map(|last| last.elapsed());
        workers.is_none() && since_last.is_some_and(|since| since < *patience)
    }

    /// Remembers how a block went, and gets ready for the next one.
    fn look_back(&self, gas: Gas, time: Duration, outcome: Option<&Outcome>, help: Help<'_>) {
        let mut history = self.shared.history.lock();
        if let Some(outcome) = outcome {
            history.pace.learn(gas, time, &outcome.statistics);
        }
        history.last = Some(Stopwatch::start());
        drop(history);
        if let (Help::NextTime, Some(workers)) = (help, self.workers()) {
            workers.spawn(JobPriority::Urgent, || ());
        }
    }
}

/// What a block is executed in parallel with.
#[derive(Clone, Copy)]
struct Setting<'s, B> {
    base: &'s B,
    block: &'s Block,
    /// How it is cut into stretches.
    cuts: &'s [Batch],
    workers: &'s Workers,
    speed: Speed,
}

/// How soon a base answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speed {
    /// What it has is at hand.
    AtHand,
    /// It takes its time: many answers are to be on their way at once, and none is asked for twice.
    Slow,
}

/// Who helps with a block.
#[derive(Clone, Copy, Debug)]
enum Help<'w> {
    /// These threads.
    Now(&'w Workers),
    /// Nobody, but it would pay if they were awake: they will be, for the next one.
    NextTime,
    /// Nobody.
    None,
}

/// What a panic said.
fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "it said nothing that can be read".to_owned())
}
