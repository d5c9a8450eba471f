//! Why a block is as fast as it is: its limit, what sets the limit, and what the threads did.
//!
//! The limit comes from the dependencies between the transactions, which do not depend on any engine. What the threads did
//! comes from the trace of an execution.

mod hot;
mod spent;

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use blockloom_engine::{Block, BlockError, Config, Dependencies, Engine, Trace, TraceObserver};
use blockloom_state::MemoryStore;

pub use hot::{COMPARED, Cause, Subject};
pub use spent::Spent;

use crate::{
    comparison::{Comparison, Sides},
    limit::{PathStep, WorkerCount, critical_path, limit},
    lost_runs::{LostRun, lost_runs},
    rounds::Rounds,
    timeline::{Timeline, TraceKeeper},
};
use hot::Accesses;

/// How often a block is executed for its trace, and for its dependencies.
const ROUNDS: usize = 5;

/// The numbers of workers for which limits are given.
pub const WORKERS: [WorkerCount; 6] = [
    WorkerCount::Exactly(NonZeroUsize::new(2).unwrap()),
    WorkerCount::Exactly(NonZeroUsize::new(4).unwrap()),
    WorkerCount::Exactly(NonZeroUsize::new(8).unwrap()),
    WorkerCount::Exactly(NonZeroUsize::new(16).unwrap()),
    WorkerCount::Exactly(NonZeroUsize::new(64).unwrap()),
    WorkerCount::Unlimited,
];

/// Why a block is as fast as it is.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The number of threads.
    pub threads: NonZeroUsize,
    /// The times on one thread and on all.
    pub comparison: Comparison,
    /// The dependencies between the transactions, and their times.
    pub graph: Dependencies,
    /// The limit with that number of threads.
    pub limit: f64,
    /// The limit with [`COMPARED`] workers, with which causes are compared.
    pub compared_limit: f64,
    /// The limits with other numbers, those of [`WORKERS`].
    pub limits: [f64; WORKERS.len()],
    /// The longest path of transactions that wait for each other.
    pub critical_path: Vec<PathStep>,
    /// The locations that more than one transaction uses, the most limiting one first.
    pub locations: Vec<Cause>,
    /// The same by account: what all locations of an account do together.
    pub accounts: Vec<Cause>,
    /// What limits the block most, if anything does.
    pub causes: Vec<Cause>,
    /// The trace of the execution whose time is the median.
    pub trace: Trace,
    /// The runs in it that were not committed.
    pub lost: Vec<LostRun>,
    /// What its threads did.
    pub spent: Spent,
}

impl Explanation {
    /// Measures a block with this number of threads, and explains it. Stops measuring before the next round if `go_on`
    /// returns false.
    ///
    /// # Errors
    ///
    /// If the block is invalid.
    pub fn of(
        base: &MemoryStore,
        block: &Block,
        threads: NonZeroUsize,
        rounds: Rounds,
        go_on: impl Fn() -> bool,
    ) -> Result<Self, BlockError> {
        let parallel = Engine::new(Config::with_threads(threads.get()));
        let sides = Sides {
            sequential: &Engine::new(Config::sequential()),
            parallel: &parallel,
            listed: None,
            parts: None,
        };
        let (outcome, comparison) = sides.compare(base, block, rounds, &go_on);
        outcome?;
        let trace = median_trace(base, block, threads, &go_on)?;
        let graph = parallel.dependencies(base, block, ROUNDS)?;
        Ok(Self::from_parts(block, threads, comparison, graph, trace))
    }

    fn from_parts(
        block: &Block,
        threads: NonZeroUsize,
        comparison: Comparison,
        graph: Dependencies,
        trace: Trace,
    ) -> Self {
        let lost = lost_runs(&trace, &graph);
        let accesses = Accesses::new(&graph, block.env.beneficiary, &lost);
        let (locations, accounts) = (accesses.by_location(), accesses.by_account());
        Self {
            threads,
            comparison,
            limit: limit(&graph, WorkerCount::Exactly(threads)),
            compared_limit: limit(&graph, WorkerCount::Exactly(COMPARED)),
            limits: WORKERS.map(|workers| limit(&graph, workers)),
            critical_path: critical_path(&graph),
            causes: accesses.causes(&locations, &accounts),
            spent: Spent::of(&trace),
            locations,
            accounts,
            graph,
            trace,
            lost,
        }
    }

    /// What the threads did, for pictures.
    pub fn timeline(&self) -> Timeline {
        Timeline::of(std::slice::from_ref(&self.trace), &[])
    }

    /// The median time of a block on one thread / that on all.
    pub fn ratio(&self) -> Option<f64> {
        self.comparison.ratio()
    }
}

/// The trace with the median time of several executions; of fewer ones once `go_on` returns false.
fn median_trace(
    base: &MemoryStore,
    block: &Block,
    threads: NonZeroUsize,
    go_on: impl Fn() -> bool,
) -> Result<Trace, BlockError> {
    let keeper = Arc::new(TraceKeeper::default());
    let observer: Arc<dyn TraceObserver> = keeper.clone();
    let config = Config { observer: Some(observer), ..Config::with_threads(threads.get()) };
    let engine = Engine::new(config);
    let mut traces = Vec::new();
    // The first one warms up.
    for round in 0..=ROUNDS {
        engine.execute(base, block)?;
        let trace = keeper.take().pop();
        if round > 0 || !go_on() {
            traces.extend(trace);
        }
        if !go_on() {
            break;
        }
    }
    traces.sort_by_key(|trace: &Trace| trace.time);
    let median = traces.len() / 2;
    Ok(traces.swap_remove(median))
}

/// The share of a duration.
pub fn share(part: Duration, of: Duration) -> f64 {
    if of.is_zero() { 0.0 } else { part.as_secs_f64() / of.as_secs_f64() }
}
