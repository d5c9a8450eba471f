//! What executing a block took.
//!
//! Every thread counts for itself, in plain fields; the counts are added up at the end.

use std::{ops::AddAssign, time::Duration};

use blockloom_state::Conflict;

/// What executing a block took. Says nothing of what the block did: the same block may be executed
/// with other numbers every time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// How many threads were asked for.
    pub threads: usize,
    /// Runs of transactions, those at the gate and those for nothing included.
    pub incarnations: u64,
    /// Runs at the gate, on committed state.
    pub at_gate: u64,
    /// Speculative runs that were committed as they were recorded.
    pub committed: u64,
    /// How many of them nobody was told of, because nobody met what another wrote, or somebody had said
    /// beforehand what they would.
    pub untold: u64,
    /// Runs that the gate found stale, by the first observation that did not hold.
    pub stale: StaleCounts,
    /// Runs whose observations changed before they came to the gate.
    pub outdated: u64,
    /// Runs that were broken off for what another transaction was expected to write.
    pub awaited: u64,
    /// Runs that failed or needed the committed state.
    pub gave_up: u64,
    /// Speculative runs that panicked.
    pub panics: u64,
    /// How often a thread found nothing to do.
    pub waits: u64,
    /// How far past the frontier speculation ran at most.
    pub widest_window: usize,
    /// Accounts and slots that were read ahead of their need, from a base that takes its time.
    pub read_ahead: u64,
    /// The time before the first transaction, in the transactions, and after the last.
    pub phases: Phases,
    /// The time of all speculative runs; zero unless the engine is configured to time runs.
    pub time_speculative: Duration,
    /// The time of those that were committed.
    pub time_committed: Duration,
}

/// How long each part of a block took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phases {
    /// What happens before the first transaction.
    pub opening: Duration,
    /// The transactions.
    pub transactions: Duration,
    /// What happens after the last transaction, and collecting the changes.
    pub closing: Duration,
}

/// Observations that did not hold at the gate, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StaleCounts {
    /// Balances out of bounds.
    pub balance: u64,
    /// Nonces out of bounds.
    pub nonce: u64,
    /// Other codes.
    pub code: u64,
    /// Accounts that came to be, or are no more.
    pub existence: u64,
    /// Other values in slots.
    pub slot: u64,
    /// Observations that could not be looked at: the base failed.
    pub unreadable: u64,
}

impl StaleCounts {
    /// All of them.
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

/// What one thread counts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) speculative: u64,
    pub(crate) at_gate: u64,
    pub(crate) committed: u64,
    pub(crate) untold: u64,
    pub(crate) stale: StaleCounts,
    pub(crate) outdated: u64,
    pub(crate) awaited: u64,
    pub(crate) gave_up: u64,
    pub(crate) panics: u64,
    pub(crate) waits: u64,
    /// The time of all speculative runs, and of those that were committed.
    pub(crate) time_speculative: Duration,
    pub(crate) time_committed: Duration,
}

impl Statistics {
    /// The time of speculative runs that were for nothing.
    pub fn time_stale(&self) -> Duration {
        self.time_speculative.saturating_sub(self.time_committed)
    }

    /// Adds what a thread counted.
    pub(crate) fn add(&mut self, counts: &Counts) {
        self.incarnations += counts.speculative + counts.at_gate;
        self.at_gate += counts.at_gate;
        self.committed += counts.committed;
        self.untold += counts.untold;
        self.stale += counts.stale;
        self.outdated += counts.outdated;
        self.awaited += counts.awaited;
        self.gave_up += counts.gave_up;
        self.panics += counts.panics;
        self.waits += counts.waits;
        self.time_speculative += counts.time_speculative;
        self.time_committed += counts.time_committed;
    }
}
