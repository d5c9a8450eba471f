//! Accounts that exist before a block at addresses at which the block creates contracts.

use alloy_hardforks::EthereumHardfork::{self, *};
use alloy_primitives::U256;
use blockloom_state::Allocation;

use crate::{choices::Choices, init_code::destructible_code, program::word, theme::Theme};

/// An account at an address at which a contract is created later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Occupant {
    /// A [destructible](Child::Destructible) contract.
    Destructible,
    /// An account with a balance and nothing else.
    Funded,
    /// An empty account.
    Empty,
    /// An account with a nonce, and without code.
    Nonce,
    /// An empty account with storage.
    Storage,
    /// An account with a balance and storage.
    FundedStorage,
}

impl Occupant {
    /// One of the occupants that make a difference under a fork; `None` if there is no account.
    pub(crate) fn new(theme: Theme, fork: EthereumHardfork, choices: &mut Choices<'_>) -> Option<Self> {
        use Occupant::*;
        let options: &[_] = match theme {
            Theme::Mixed => &[None, None, Some(Destructible), Some(Funded)],
            Theme::Huge => &[None, Some(Destructible), Some(Funded), Some(Funded), Some(Funded)],
            Theme::StaleEffects => &[None, Some(Empty), Some(Empty), Some(Funded)],
            Theme::Lives if fork < Cancun => {
                &[None, Some(Destructible), Some(Destructible), Some(Destructible)]
            }
            Theme::Lives => &[None, None, None, Some(Funded)],
            Theme::StorageOnly => &[None, Some(Storage), Some(Storage), Some(Storage), Some(FundedStorage)],
            Theme::Touches => &[None, Some(Empty), Some(Empty), Some(Empty), Some(Storage)],
            Theme::Creations => {
                &[None, None, None, Some(Destructible), Some(Nonce), Some(Funded), Some(FundedStorage)]
            }
            Theme::Environment => &[None, Some(Funded), Some(Funded), Some(FundedStorage)],
        };
        choices.of(options)
    }

    pub(crate) fn allocation(self, fork: EthereumHardfork) -> Allocation {
        let storage = || [(word(0), word(1)), (word(1), word(2)), (word(2), word(3))].into();
        // There are no empty accounts from the Merge on (EIP-7523).
        let balance = if fork < Paris { U256::ZERO } else { word(1) };
        match self {
            Self::Destructible => Allocation {
                balance: word(5),
                nonce: 1,
                code: destructible_code().into(),
                storage: storage(),
            },
            Self::Funded => Allocation { balance: word(1), ..Allocation::default() },
            Self::Empty => Allocation { balance, ..Allocation::default() },
            Self::Nonce => Allocation { nonce: 1, ..Allocation::default() },
            Self::Storage => Allocation { balance, storage: storage(), ..Allocation::default() },
            Self::FundedStorage => {
                Allocation { balance: word(1), storage: storage(), ..Allocation::default() }
            }
        }
    }
}
