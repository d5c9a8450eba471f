//! Which field of a header execution contradicts.

use alloy_primitives::{B256, Bloom};

/// Which field of a header execution contradicts, with what the header says and what came out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutcomeError {
    /// The gas used.
    #[error("gas used: the header says {expected}, execution yields {found}")]
    GasUsed {
        /// What the header says.
        expected: u64,
        /// What execution yields.
        found: u64,
    },
    /// The blob gas used.
    #[error("blob gas used: the header says {expected}, execution yields {found}")]
    BlobGasUsed {
        /// What the header says.
        expected: u64,
        /// What execution yields.
        found: u64,
    },
    /// The bloom of all logs.
    #[error("logs bloom: the header says {expected}, execution yields {found}")]
    LogsBloom {
        /// What the header says.
        expected: Box<Bloom>,
        /// What execution yields.
        found: Box<Bloom>,
    },
    /// The root of the receipts.
    #[error("receipts root: the header says {expected}, execution yields {found}")]
    ReceiptsRoot {
        /// What the header says.
        expected: B256,
        /// What execution yields.
        found: B256,
    },
    /// The hash of the requests to the consensus layer.
    #[error("requests hash: the header says {expected:?}, execution yields {found:?}")]
    RequestsHash {
        /// What the header says, if it says anything.
        expected: Option<B256>,
        /// What execution yields; nothing before Prague.
        found: Option<B256>,
    },
    /// The root of the state after the block.
    #[error("state root: the header says {expected}, execution yields {found}")]
    StateRoot {
        /// What the header says.
        expected: B256,
        /// What execution yields.
        found: B256,
    },
    /// The access list (EIP-7928) has more accounts and slots than the gas limit pays for.
    #[error("access list: the gas limit allows {limit} accounts and slots, execution yields {found}")]
    AccessListItems {
        /// The most that may be there.
        limit: u64,
        /// How many there are.
        found: u64,
    },
    /// The hash of the access list (EIP-7928).
    #[error("access list hash: the header says {expected:?}, execution yields {found:?}")]
    AccessListHash {
        /// What the header says, if it says anything.
        expected: Option<B256>,
        /// What execution yields; nothing if the outcome has no list.
        found: Option<B256>,
    },
}
