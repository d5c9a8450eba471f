//! The metadata that a store keeps of each of the last blocks.

use alloy_primitives::{B256, Bytes};
use alloy_rlp::{RlpDecodable, RlpEncodable};

/// A block whose state a store has or had.
#[derive(Clone, Debug, Default, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct BlockMetadata {
    /// The number of the block.
    pub number: u64,
    /// The hash of the block.
    pub hash: B256,
    /// The state root after the block.
    pub root: B256,
    /// Data of the client, for example the header.
    pub note: Bytes,
}
