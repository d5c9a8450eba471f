//! What an observer receives of an execution: which thread did what, and when.

use std::{fmt, thread::ThreadId, time::Duration};

use blockloom_state::{Conflict, TxIndex, Version};

use crate::{block::statistics::Statistics, threads::clock::Moment};

/// Receives the trace of each execution: of a block, or of a stream of blocks.
///
/// ```
/// use std::sync::{Arc, Mutex};
///
/// use blockloom_engine::{Config, Engine, Trace, TraceObserver};
///
/// /// Counts the events of all executions.
/// #[derive(Debug, Default)]
/// struct Count(Mutex<usize>);
///
/// impl TraceObserver for Count {
///     fn executed(&self, trace: &Trace) {
///         let events = trace.threads.iter().map(|thread| thread.events.len());
///         *self.0.lock().unwrap() += events.sum::<usize>();
///     }
/// }
///
/// let count = Arc::new(Count::default());
/// let engine = Engine::new(Config { observer: Some(count.clone()), ..Config::default() });
/// ```
pub trait TraceObserver: fmt::Debug + Send + Sync {
    /// Is called on the thread that executed, before the execution returns. Executions that end with an error are not
    /// reported. If this panics, the execution ends with an error.
    fn executed(&self, trace: &Trace);
}

/// The trace of an execution. Times are those since its start.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Trace {
    /// When the execution began.
    pub started: Moment,
    /// The blocks, in order.
    pub blocks: Vec<TracedBlock>,
    /// The threads: first the one that committed, then those that helped.
    pub threads: Vec<ThreadTrace>,
    /// How long it took.
    pub time: Duration,
    /// What it took; of a stream, in total.
    pub statistics: Statistics,
}

/// A block of a [`Trace`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TracedBlock {
    /// The number of the block.
    pub number: u64,
    /// The index of its first transaction. In a stream, the indices run through all blocks; between two blocks lies one
    /// that belongs to their border.
    pub first: TxIndex,
    /// The number of its transactions.
    pub transactions: usize,
}

/// What one thread did, in the order of the ends of the events.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ThreadTrace {
    /// The thread.
    pub id: ThreadId,
    /// Its name, if it has one.
    pub name: Option<String>,
    /// What it did.
    pub events: Vec<TraceEvent>,
    /// Events that are missing, because there were too many.
    pub dropped: u64,
}

impl ThreadTrace {
    /// The most events of a thread in one trace.
    pub const MOST_EVENTS: usize = 1 << 18;
}

/// Something that a thread did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TraceEvent {
    /// When it began.
    pub start: Duration,
    /// When it ended.
    pub end: Duration,
    /// What it was.
    pub kind: TraceEventKind,
}

impl TraceEvent {
    /// How long it took.
    pub fn time(&self) -> Duration {
        self.end.saturating_sub(self.start)
    }
}

/// What a thread did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TraceEventKind {
    /// The steps before the first transaction of the first block.
    Opening,
    /// A speculative run.
    Run {
        /// The transaction and its incarnation.
        version: Version,
        /// How it ended.
        end: RunEnd,
    },
    /// The gate validated the record of a run and committed it.
    Commit(Version),
    /// The gate ran a transaction, or the border between two blocks, on committed state, and committed it.
    RunAtGate {
        /// The transaction or the border.
        index: TxIndex,
        /// Why it ran there.
        reason: GateReason,
    },
    /// A publication of this thread made the latest run of a transaction stale. Takes no time, and may lie inside what the
    /// thread does.
    Abort {
        /// The run that wrote; of runs at the gate that are published together, the last one.
        by: Version,
        /// The transaction that had read.
        stale: TxIndex,
    },
    /// The thread found no work.
    Wait,
    /// The steps after the last transaction of the last block, and the collection of the changes.
    Closing,
}

/// How a speculative run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunEnd {
    /// It left a record.
    Completed,
    /// It needs a write that this transaction is expected to make.
    Awaits(TxIndex),
    /// It stopped because it was stale.
    Stale,
    /// It failed, or needs the committed state.
    GaveUp,
    /// It panicked.
    Panicked,
}

/// Why the gate ran a transaction itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GateReason {
    /// It has no record.
    NoRecord,
    /// Its record was marked stale before.
    Stale,
    /// An observation of its record does not hold.
    Conflict(Conflict),
}
