//! How often the transactions of a block run that has its own access list (EIP-7928).

use alloy_hardforks::EthereumHardfork;
use blockloom_engine::{Block, Outcome};

/// The runs that a block with its own list took. Each transaction is to run once, and does so but for
/// what no list says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Runs {
    /// One for each transaction.
    pub needed: u64,
    /// Those for nothing because of what no list says.
    pub excused: u64,
    /// The others.
    pub wasted: u64,
}

impl Runs {
    /// The runs of a block whose outcome is this.
    pub fn of(block: &Block, outcome: &Outcome) -> Self {
        let statistics = &outcome.statistics;
        let (needed, mut excused) = (block.transactions.len() as u64, 0);
        // Before the Merge there are empty accounts, and touching one that is there clears it (EIP-161) or
        // one that is not makes it: neither changes what a list has.
        if block.rules.fork < EthereumHardfork::Paris {
            excused += statistics.stale.existence;
        }
        // Whether an account that has neither nonce nor code still has storage, and so cannot be created
        // (EIP-7610), is only looked up in the committed state.
        if block.rules.storage_only.is_some() {
            excused += statistics.gave_up;
        }
        Self { needed, excused, wasted: statistics.incarnations.saturating_sub(needed + excused) }
    }

    /// These and those.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            needed: self.needed + other.needed,
            excused: self.excused + other.excused,
            wasted: self.wasted + other.wasted,
        }
    }
}
