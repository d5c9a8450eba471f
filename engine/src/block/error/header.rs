//! Which rule a header breaks.

use alloy_primitives::{B64, B256, Bytes, U256};

/// Which rule a header breaks, with the expected value and the one found.
#[expect(missing_docs, reason = "a table of one shape: the sentence of a variant explains its fields")]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// The parent hash is the hash of another block.
    #[error("parent hash: the parent's hash is {expected}, the header says {found}")]
    ParentHash { expected: B256, found: B256 },
    /// The number is not the parent's plus one.
    #[error("number: {found} does not follow {parent}")]
    Number { parent: u64, found: u64 },
    /// The timestamp is not after the parent's.
    #[error("timestamp: {found} is not after the parent's {parent}")]
    Timestamp { parent: u64, found: u64 },
    /// A field that the fork demands is missing.
    #[error("{0:?}: the field is missing")]
    Missing(HeaderField),
    /// The fork has no such field.
    #[error("{0:?}: the fork has no such field")]
    Unexpected(HeaderField),
    /// The gas limit is below the minimum of all blocks.
    #[error("gas limit: {found} is below {least}")]
    GasLimitTooLow { least: u64, found: u64 },
    /// The gas limit is above the maximum of all blocks.
    #[error("gas limit: {found} is above {most}")]
    GasLimitTooHigh { most: u64, found: u64 },
    /// The gas limit is not within a 1024th of the parent's limit; at London, of twice that limit.
    #[error("gas limit: {found} is too far from {parent}")]
    GasLimitChange { parent: u64, found: u64 },
    /// The gas used is above the gas limit.
    #[error("gas used: {found} is above the limit {limit}")]
    GasUsed { limit: u64, found: u64 },
    /// The extra data has too many bytes.
    #[error("extra data: {found} bytes, at most {most} are allowed")]
    ExtraDataTooLong { most: usize, found: usize },
    /// The extra data of one of the first blocks of the DAO fork is not the required one.
    #[error("extra data: it must be {expected}, the header says {found}")]
    ExtraDataOfDao { expected: Bytes, found: Bytes },
    /// The base fee does not follow from the parent.
    #[error("base fee: {expected} follows from the parent, the header says {found}")]
    BaseFee { expected: u64, found: u64 },
    /// The base fee that follows from the parent does not fit into 64 bits.
    #[error(
        "base fee: the one that follows from the parent's {parent} has more than 64 bits, the header says {found}"
    )]
    BaseFeeOverflow { parent: u64, found: u64 },
    /// The difficulty does not follow from the parent, or is not zero from Paris on.
    #[error("difficulty: it must be {expected}, the header says {found}")]
    Difficulty { expected: U256, found: U256 },
    /// The nonce is not zero after the Merge.
    #[error("nonce: it must be {expected}, the header says {found}")]
    Nonce { expected: B64, found: B64 },
    /// The ommers hash is not that of the empty list after the Merge.
    #[error("ommers hash: it must be {expected}, the header says {found}")]
    OmmersHash { expected: B256, found: B256 },
    /// The blob gas used is above the maximum of a block.
    #[error("blob gas used: {found} is above {most}")]
    BlobGasUsedTooHigh { most: u64, found: u64 },
    /// The blob gas used is not a whole number of blobs.
    #[error("blob gas used: {found} is no multiple of {blob}")]
    BlobGasUsedInPart { blob: u64, found: u64 },
    /// The excess blob gas does not follow from the parent.
    #[error("excess blob gas: {expected} follows from the parent, the header says {found}")]
    ExcessBlobGas { expected: u64, found: u64 },
    /// The computation of the excess blob gas from the parent overflows.
    #[error(
        "excess blob gas: none follows from the parent's excess {excess} and its {used} used, the header says {found}"
    )]
    ExcessBlobGasOverflow { excess: u64, used: u64, found: u64 },
    /// The slot number is not after the parent's.
    #[error("slot number: {found} is not after the parent's {parent}")]
    SlotNumber { parent: u64, found: u64 },
}

/// A header field that exists only from some fork on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeaderField {
    /// Since London (EIP-1559).
    BaseFeePerGas,
    /// Since Shanghai (EIP-4895).
    WithdrawalsRoot,
    /// Since Cancun (EIP-4844).
    BlobGasUsed,
    /// Since Cancun (EIP-4844).
    ExcessBlobGas,
    /// Since Cancun (EIP-4788).
    ParentBeaconBlockRoot,
    /// Since Prague (EIP-7685).
    RequestsHash,
    /// Where the rules have access lists (EIP-7928).
    BlockAccessListHash,
    /// Since Amsterdam (EIP-7843).
    SlotNumber,
}
