//! What executing a block took.
//!
//! Every thread has plain counters of its own, which are added up at the end.

use std::{ops::AddAssign, time::Duration};

use blockloom_state::Conflict;

/// What executing a block took. It differs from execution to execution, and says nothing about the
/// block's outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Statistics {
    /// The threads that were asked to execute the block, with the calling one: as many as configured, unless the machine
    /// or the pool has fewer. One if the block was executed on the calling thread.
    pub threads: usize,
    /// The threads among them that ran a transaction: a helper may come too late to get one.
    pub threads_used: usize,
    /// Runs of transactions, at the gate and stale ones included; in a stream also the borders between blocks.
    pub incarnations: u64,
    /// Runs at the gate, on committed state; in a stream also the borders between blocks.
    pub at_gate: u64,
    /// Speculative runs that were committed.
    pub committed: u64,
    /// Committed speculative runs without publication: it was off, or an access list had predicted the
    /// writes.
    pub unpublished: u64,
    /// Runs that were stale when the gate validated them, by the first observation that failed.
    pub stale_at_gate: StaleCounts,
    /// Runs that were marked stale before they reached the gate.
    pub stale_before_gate: u64,
    /// Runs that ended early to wait for an expected write of another transaction.
    pub awaited: u64,
    /// Runs that failed or needed the committed state.
    pub gave_up: u64,
    /// Speculative runs that panicked.
    pub panics: u64,
    /// How often a thread found no work.
    pub waits: u64,
    /// How far past the frontier speculation was allowed to run at most, in batches of transactions.
    pub widest_window: usize,
    /// The longest distance, in batches, between the frontier and a batch that ran ahead. A transaction with very much
    /// gas is a batch that runs first, wherever it is, and may lie beyond the window.
    pub farthest_batch: usize,
    /// Accounts and slots that were prefetched from a high-latency base.
    pub prefetched: u64,
    /// The time before the first transaction, of the transactions, and after the last.
    pub phases: Phases,
    /// The time of all speculative runs; zero unless runs are timed: by `Config::timing`, or for an observer.
    pub time_speculative: Duration,
    /// The time of the committed speculative runs.
    pub time_committed: Duration,
    /// The time of the gate: it validates records and commits them, and runs transactions on committed state. Zero
    /// unless runs are timed.
    pub time_at_gate: Duration,
    /// The time in which threads found no work; zero unless runs are timed.
    pub time_waiting: Duration,
}

/// How long each part of a block took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Phases {
    /// The steps before the first transaction.
    pub opening: Duration,
    /// The transactions.
    pub transactions: Duration,
    /// The steps after the last transaction, and the collection of the changes.
    pub closing: Duration,
}

/// Observations that failed at the gate, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct StaleCounts {
    /// Balances out of bounds.
    pub balance: u64,
    /// Nonces out of bounds.
    pub nonce: u64,
    /// Changed codes.
    pub code: u64,
    /// Created or removed accounts.
    pub existence: u64,
    /// Changed slots.
    pub slot: u64,
    /// Observations that the gate could not validate: the base failed.
    pub unreadable: u64,
}

impl StaleCounts {
    /// The sum of all kinds.
    pub fn total(&self) -> u64 {
        self.balance + self.nonce + self.code + self.existence + self.slot + self.unreadable
    }

    pub(crate) fn count(&mut self, kind: Conflict) {
        *match kind {
            Conflict::Balance => &mut self.balance,
            Conflict::Nonce => &mut self.nonce,
            Conflict::Code => &mut self.code,
            Conflict::Existence => &mut self.existence,
            Conflict::Slot => &mut self.slot,
            Conflict::Unreadable => &mut self.unreadable,
        } += 1;
    }
}

impl AddAssign for StaleCounts {
    fn add_assign(&mut self, other: Self) {
        self.balance += other.balance;
        self.nonce += other.nonce;
        self.code += other.code;
        self.existence += other.existence;
        self.slot += other.slot;
        self.unreadable += other.unreadable;
    }
}

/// The counters of one thread.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ThreadCounts {
    pub(crate) speculative: u64,
    pub(crate) at_gate: u64,
    pub(crate) committed: u64,
    pub(crate) unpublished: u64,
    pub(crate) stale_at_gate: StaleCounts,
    pub(crate) stale_before_gate: u64,
    pub(crate) awaited: u64,
    pub(crate) gave_up: u64,
    pub(crate) panics: u64,
    pub(crate) waits: u64,
    /// The time of all speculative runs, and of the committed ones among them.
    pub(crate) time_speculative: Duration,
    pub(crate) time_committed: Duration,
    /// The time of the gate, and of waiting.
    pub(crate) time_at_gate: Duration,
    pub(crate) time_waiting: Duration,
}

impl Statistics {
    /// The time of stale speculative runs.
    pub fn time_stale(&self) -> Duration {
        self.time_speculative.saturating_sub(self.time_committed)
    }

    /// Adds the counters of a thread.
    pub(crate) fn add(&mut self, counts: &ThreadCounts) {
        self.incarnations += counts.speculative + counts.at_gate;
        self.at_gate += counts.at_gate;
        self.committed += counts.committed;
        self.unpublished += counts.unpublished;
        self.stale_at_gate += counts.stale_at_gate;
        self.stale_before_gate += counts.stale_before_gate;
        self.awaited += counts.awaited;
        self.gave_up += counts.gave_up;
        self.panics += counts.panics;
        self.waits += counts.waits;
        self.time_speculative += counts.time_speculative;
        self.time_committed += counts.time_committed;
        self.time_at_gate += counts.time_at_gate;
        self.time_waiting += counts.time_waiting;
    }
}
