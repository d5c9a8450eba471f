//! Which rule a header breaks.

use alloy_primitives::{B64, B256, Bytes, U256};

/// Which rule a header breaks, with what the rule wants and what the header says.
#[expect(missing_docs, reason = "a table of one shape: each variant's sentence says what its fields are")]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// It names another block than the parent.
    #[error("parent hash: the parent's hash is {expected}, the header says {found}")]
    ParentHash { expected: B256, found: B256 },
    /// Its number is not the one after the parent's.
    #[error("number: {found} does not follow {parent}")]
    Number { parent: u64, found: u64 },
    /// It is not later than the parent.
    #[error("timestamp: {found} is not after the parent's {parent}")]
    Timestamp { parent: u64, found: u64 },
    /// It lacks a field that its fork demands.
    #[error("{0:?}: the field is missing")]
    Missing(HeaderField),
    /// It has a field that its fork does not know.
    #[error("{0:?}: the fork has no such field")]
    Unexpected(HeaderField),
    /// The gas limit is below the least that any block has.
    #[error("gas limit: {found} is below {least}")]
    GasLimitTooLow { least: u64, found: u64 },
    /// The gas limit is above the most that any block has.
    #[error("gas limit: {found} is above {most}")]
    GasLimitTooHigh { most: u64, found: u64 },
    /// The gas limit is not within a 1024th of the parent's, which counts twice at London.
    #[error("gas limit: {found} is too far from {parent}")]
    GasLimitChange { parent: u64, found: u64 },
    /// More gas is used than the block's own limit.
    #[error("gas used: {found} is above the limit {limit}")]
    GasUsed { limit: u64, found: u64 },
    /// The extra data has too many bytes.
    #[error("extra data: {found} bytes, at most {most} are allowed")]
    ExtraDataTooLong { most: usize, found: usize },
    /// The extra data of a block right after the DAO's irregular state change is not the agreed one.
    #[error("extra data: it must be {expected}, the header says {found}")]
    ExtraDataOfDao { expected: Bytes, found: Bytes },
    /// The base fee is not the one that follows from the parent.
    #[error("base fee: {expected} follows from the parent, the header says {found}")]
    BaseFee { expected: u64, found: u64 },
    /// The base fee that follows from the parent's does not fit its field.
    #[error("base fee: {found} cannot follow from the parent's {parent}, after which none fits")]
    BaseFeeOverflow { parent: u64, found: u64 },
    /// The difficulty is not the one that follows from the parent; from Paris on it is zero.
    #[error("difficulty: it must be {expected}, the header says {found}")]
    Difficulty { expected: U256, found: U256 },
    /// The nonce is not zero after the Merge.
    #[error("nonce: it must be {expected}, the header says {found}")]
    Nonce { expected: B64, found: B64 },
    /// The ommers hash is not that of the empty list after the Merge.
    #[error("ommers hash: it must be {expected}, the header says {found}")]
    OmmersHash { expected: B256, found: B256 },
    /// More blob gas is used than fits into a block.
    #[error("blob gas used: {found} is above {most}")]
    BlobGasUsedTooHigh { most: u64, found: u64 },
    /// The blob gas used is no whole number of blobs.
    #[error("blob gas used: {found} is no multiple of {blob}")]
    BlobGasUsedInPart { blob: u64, found: u64 },
    /// The excess blob gas is not the one that follows from the parent.
    #[error("excess blob gas: {expected} follows from the parent, the header says {found}")]
    ExcessBlobGas { expected: u64, found: u64 },
    /// No excess blob gas follows from the parent, whose own blob gas is beyond all bounds.
    #[error("excess blob gas: {found} cannot follow from an excess of {excess} and {used} used")]
    ExcessBlobGasOverflow { excess: u64, used: u64, found: u64 },
    /// The slot is not after the parent's.
    #[error("slot number: {found} is not after the parent's {parent}")]
    SlotNumber { parent: u64, found: u64 },
}

/// A field that not every fork's headers have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
