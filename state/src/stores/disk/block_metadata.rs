//! What is kept of a block itself.

use alloy_primitives::{B256, Bytes};
use alloy_rlp::{RlpDecodable, RlpEncodable};

/// A block that a store holds the state of.
#[derive(Clone, Debug, Default, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct BlockMetadata {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
    /// The root of the state after it.
    pub root: B256,
    /// Whatever its owner wants to find with it: a header, for one.
    pub note: Bytes,
}
