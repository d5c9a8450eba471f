//! A Merkle Patricia trie of which only a part is known, and what it is for: the witness of a block, and
//! the tries of a store on disk.
//!
//! A witness is the set of raw nodes that a block's reads and writes walk through. From it follow
//! the accounts and slots before the block, and the state root after it, without the rest of the
//! state. Every node is found by the hash of its bytes, so nothing in a witness has to be trusted:
//! what does not belong to the root that one starts from is never looked at.

pub(crate) mod branch;
pub(crate) mod change;
pub(crate) mod expected_leaves;
pub(crate) mod decode;
pub(crate) mod error;
pub(crate) mod hashing;
pub(crate) mod node;
pub(crate) mod sparse;
pub(crate) mod node_record;
pub(crate) mod walk;
pub(crate) mod memory_trie;
pub(crate) mod witness;

use alloy_primitives::{B256, U256, keccak256};

/// The key under which a slot stands in the trie of its storage.
pub(crate) fn slot_key(key: &U256) -> B256 {
    keccak256(key.to_be_bytes::<32>())
}

#[cfg(test)]
mod tests;
