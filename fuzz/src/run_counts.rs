//! How often the transactions of a block run if it is executed with its own access list (EIP-7928).

use alloy_hardforks::EthereumHardfork;
use blockloom_engine::{Block, Outcome};

/// The runs of a block that was executed with its own list. Each transaction runs once, except for
/// causes that no list contains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunCounts {
    /// One for each transaction.
    pub needed: u64,
    /// Stale runs for causes that no list contains.
    pub unlisted: u64,
    /// Other stale runs: there should be none.
    pub wasted: u64,
}

impl RunCounts {
    /// The runs of a block with this outcome.
    pub fn of(block: &Block, outcome: &Outcome) -> Self {
        let statistics = &outcome.statistics;
        let (needed, mut unlisted) = (block.transactions.len() as u64, 0);
        // Before the Merge, touching an empty account clears it (EIP-161), and touching an absent one
        // creates it: neither is among the changes of a list.
        if block.rules.fork < EthereumHardfork::Paris {
            unlisted += statistics.stale_at_gate.existence;
        }
        // Whether an account without nonce and code has storage, and so blocks a creation (EIP-7610),
        // is only looked up in the committed state.
        if block.rules.storage_only.is_some() {
            unlisted += statistics.gave_up;
        }
        Self { needed, unlisted, wasted: statistics.incarnations.saturating_sub(needed + unlisted) }
    }

    /// The sum of both counts.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            needed: self.needed + other.needed,
            unlisted: self.unlisted + other.unlisted,
            wasted: self.wasted + other.wasted,
        }
    }
}
