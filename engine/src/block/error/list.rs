//! What is wrong with an access list (EIP-7928) that comes with a block.

use alloy_eips::eip7928::BlockAccessListValidationError;
use alloy_primitives::B256;
use blockloom_state::{ListDifference, TxIndex};

/// What is wrong with an access list that comes with a block.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// It is no encoded list.
    #[error("the list cannot be decoded: {0}")]
    Encoding(#[from] alloy_rlp::Error),
    /// It is out of order, says something twice, or speaks of what the block does not have.
    #[error("the list is malformed: {0}")]
    Form(#[from] BlockAccessListValidationError),
    /// It has more accounts and slots than the gas limit pays for.
    #[error("the gas limit allows {limit} accounts and slots, the list has {found}")]
    Items {
        /// The most that may be there.
        limit: u64,
        /// How many there are.
        found: u64,
    },
    /// It is not the one that the header commits to.
    #[error("the header commits to the list with hash {expected:?}, this one has {found}")]
    Hash {
        /// What the header says, if it says anything.
        expected: Option<B256>,
        /// The hash of the list.
        found: B256,
    },
    /// The gas that is left does not pay for the reads that are.
    #[error("before transaction {index} the list still has {reads} reads, and {gas} gas is left for them")]
    Unjustified {
        /// Before which transaction.
        index: TxIndex,
        /// How many reads nothing has accounted for yet.
        reads: u64,
        /// The gas that is left in the block.
        gas: u64,
    },
    /// It is not what execution yields.
    #[error("list and execution part in {count} places, first at {first}")]
    Parts {
        /// Where they part first.
        first: Box<ListDifference>,
        /// In how many places they do.
        count: usize,
    },
}
