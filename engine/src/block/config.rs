//! The configuration of an engine.
//!
//! It changes how soon a block is executed and what its outcome contains beside the result, never the result.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use crate::{
    block::trace::TraceObserver,
    policy::tuning::{IDLE_TIMEOUT, PREFETCH_THREADS},
    threads::pool::Workers,
};

/// The configuration of an engine.
#[derive(Clone, Debug)]
pub struct Config {
    /// The most threads that execute a block, with the calling one; by default as many as the machine has. More than
    /// that help only while they wait for a base with high latency. With one, every block is executed sequentially.
    pub threads: Option<NonZeroUsize>,
    /// The pool of the other threads; by default the engine makes its own when it first needs one, or, if that takes
    /// long because it has more than 20 threads, on a thread of its own when the engine is made. With it,
    /// [`Engine::install`](crate::Engine::install) reaches everything else that computes.
    pub workers: Option<Workers>,
    /// The longest time that a thread of the engine's own pool waits for the next block before it sleeps; by default
    /// 5 ms. It uses its core meanwhile, and yields it to other threads. After several waits in vain it waits for a
    /// shorter time. Waking a thread takes about a tenth of a millisecond.
    pub idle_timeout: Duration,
    /// The latency of the base.
    pub base_latency: BaseLatency,
    /// Whether every run is timed, for the statistics: that is about three looks at a clock for each transaction.
    pub timing: Timing,
    /// Receives the trace of each execution: which thread did what, and when. Then every run is timed.
    pub observer: Option<Arc<dyn TraceObserver>>,
    /// Which outcomes have an access list.
    pub lists: Lists,
    /// Which hints about reads and writes are used.
    pub hints: Hints,
    /// The most threads that prefetch at once what hints name from a base with high latency, by default 16. They mostly
    /// wait for it, so more of them than cores pay. With zero nothing is prefetched.
    pub prefetch_threads: usize,
    /// The pool of the threads that prefetch; by default the engine makes its own when it first needs one. A pool that
    /// also executes blocks is the wrong one: a thread that waits for the base would be missing there.
    pub prefetch_workers: Option<Workers>,
}

/// The latency of the base.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BaseLatency {
    /// A few reads before each block measure it.
    #[default]
    Measured,
    /// That of memory.
    Low,
    /// Longer, as that of a disk or a network. Every block is executed in parallel, hints are prefetched, and each
    /// answer is cached for all threads.
    High,
}

/// How an engine executes in tests.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TestMode {
    /// As always.
    #[default]
    Off,
    /// Every block in parallel, most transactions in a batch of their own.
    AlwaysParallel,
    /// The same, after at least this number of transactions on the calling thread.
    ParallelAfter(usize),
    /// Every block in parallel, without publication.
    NoPublication,
    /// Every block in parallel. Publication is withheld as soon as one record met no conflict.
    EarlyDeferral,
}

/// Whether every run of a transaction is timed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Timing {
    /// Only the phases of a block.
    #[default]
    Phases,
    /// Every run, and every commit.
    Runs,
}

/// Which hints about reads and writes are used. A hint costs or saves time and changes nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// The access list of a block: its writes are predictions, and what it names is prefetched.
    pub given_lists: Use,
    /// The access lists of transactions (EIP-2930): what they name is prefetched.
    pub access_lists: Use,
    /// The senders and recipients of transactions: they are prefetched.
    pub parties: Use,
}

/// Whether something is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Use {
    /// It is.
    #[default]
    On,
    /// It is not.
    Off,
}

/// Which blocks' access lists (EIP-7928) are produced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lists {
    /// Those of blocks whose headers commit to one.
    #[default]
    WhereCommitted,
    /// All of them, under whatever fork.
    Always,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            threads: None,
            workers: None,
            idle_timeout: IDLE_TIMEOUT,
            base_latency: BaseLatency::default(),
            timing: Timing::default(),
            observer: None,
            lists: Lists::default(),
            hints: Hints::default(),
            prefetch_threads: PREFETCH_THREADS,
            prefetch_workers: None,
        }
    }
}

impl Config {
    /// A configuration with this number of threads.
    ///
    /// # Panics
    ///
    /// If `threads` is zero.
    pub fn with_threads(threads: usize) -> Self {
        let threads = NonZeroUsize::new(threads).expect("at least the calling thread executes");
        Self { threads: Some(threads), ..Self::default() }
    }

    /// A configuration for sequential execution.
    pub fn sequential() -> Self {
        Self::with_threads(1)
    }
}
