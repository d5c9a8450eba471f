//! Which field of a header contradicts the outcome of the block.

use alloy_primitives::{B256, Bloom};

/// Which field of a header contradicts the outcome, with both values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OutcomeError {
    /// The gas used.
    #[error("gas used: the header says {expected}, execution yields {found}")]
    GasUsed {
        /// The value in the header.
        expected: u64,
        /// The value from execution.
        found: u64,
    },
    /// The blob gas used.
    #[error("blob gas used: the header says {expected}, execution yields {found}")]
    BlobGasUsed {
        /// The value in the header.
        expected: u64,
        /// The value from execution.
        found: u64,
    },
    /// The bloom of all logs.
    #[error("logs bloom: the header says {expected}, execution yields {found}")]
    LogsBloom {
        /// The value in the header.
        expected: Box<Bloom>,
        /// The value from execution.
        found: Box<Bloom>,
    },
    /// The root of the receipts.
    #[error("receipts root: the header says {expected}, execution yields {found}")]
    ReceiptsRoot {
        /// The value in the header.
        expected: B256,
        /// The value from execution.
        found: B256,
    },
    /// The hash of the requests to the consensus layer.
    #[error("requests hash: the header says {expected:?}, execution yields {found:?}")]
    RequestsHash {
        /// The value in the header, if there is one.
        expected: Option<B256>,
        /// The value from execution; `None` before Prague.
        found: Option<B256>,
    },
    /// The root of the state after the block.
    #[error("state root: the header says {expected}, execution yields {found}")]
    StateRoot {
        /// The value in the header.
        expected: B256,
        /// The value from execution.
        found: B256,
    },
    /// The access list (EIP-7928) has more accounts and slots than the gas limit allows.
    #[error("access list: the gas limit allows {limit} accounts and slots, execution yields {found}")]
    AccessListItems {
        /// The most accounts and slots.
        limit: u64,
        /// The accounts and slots of the list.
        found: u64,
    },
    /// The hash of the access list (EIP-7928).
    #[error("access list hash: the header says {expected:?}, execution yields {found:?}")]
    AccessListHash {
        /// The value in the header, if there is one.
        expected: Option<B256>,
        /// The value from execution; `None` if the outcome has no list.
        found: Option<B256>,
    },
}
