//! How often the transactions of a block run if it is executed with its own access list (EIP-7928).

use alloy_hardforks::EthereumHardfork;
use alloy_primitives::U256;
use blockloom_engine::{Block, Outcome};

/// From this value on a creation runs at the frontier.
const HUGE: U256 = U256::from_limbs([0, 0, 0, 1 << 8]);

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
        // is only looked up in the committed state. That a touch clears its storage is among no list's
        // changes.
        let has_storage_only = block.rules.storage_only.is_some();
        if has_storage_only {
            unlisted += statistics.stale_at_gate.slot;
        }
        // So is the balance of an address at which a contract is created with a huge value.
        if has_storage_only || has_huge_balance(outcome) {
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

/// Whether a block changes an account that can give a huge value.
fn has_huge_balance(outcome: &Outcome) -> bool {
    let mut accounts = outcome.changes.accounts.values().filter_map(|change| change.account.before);
    accounts.any(|before| before.balance >= HUGE)
}
