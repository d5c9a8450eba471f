//! Why an access list (EIP-7928) that comes with a block is refused.

use alloy_eips::eip7928::BlockAccessListValidationError;
use alloy_primitives::B256;
use blockloom_state::{ListDifference, TxIndex};

/// Why an access list that comes with a block is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ListError {
    /// The bytes do not encode a list.
    #[error("the list cannot be decoded: {0}")]
    Encoding(#[from] alloy_rlp::Error),
    /// The list is out of order, has an entry twice, or has an index that the block does not have.
    #[error("the list is malformed: {0}")]
    Form(#[from] BlockAccessListValidationError),
    /// The list has more accounts and slots than the gas limit allows.
    #[error("the gas limit allows {limit} accounts and slots, the list has {found}")]
    Items {
        /// The most accounts and slots.
        limit: u64,
        /// The accounts and slots of the list.
        found: u64,
    },
    /// The header commits to another list.
    #[error("the header commits to the list with hash {expected:?}, this one has {found}")]
    Hash {
        /// The hash in the header, if there is one.
        expected: Option<B256>,
        /// The hash of the list.
        found: B256,
    },
    /// The block's remaining gas cannot pay for the list's remaining reads.
    #[error("before transaction {index} the list still has {reads} reads, and {gas} gas is left for them")]
    Unjustified {
        /// The transaction before which this was found.
        index: TxIndex,
        /// The reads of the list that execution has not done yet.
        reads: u64,
        /// The gas that is left in the block.
        gas: u64,
    },
    /// Execution yields another list.
    #[error("the list and execution differ in {count} places, first at {first}")]
    Differs {
        /// The first difference.
        first: Box<ListDifference>,
        /// The number of differences.
        count: usize,
    },
}
