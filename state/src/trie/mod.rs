//! Sparse Merkle Patricia tries, for the witness of a block and for the store on disk.
//!
//! May import `model`, `keccak` and `sync`.
//!
//! A witness is the set of raw nodes that a block's reads and writes pass. It gives the accounts and slots
//! before the block and the state root after it, without the rest of the state. Each node is found by the
//! hash of its bytes, so a witness needs no trust: nodes that do not belong to the root are never read.

pub(crate) mod branch;
pub(crate) mod change;
pub(crate) mod decode;
pub(crate) mod error;
pub(crate) mod expected_leaves;
pub(crate) mod hashing;
pub(crate) mod memory_trie;
pub(crate) mod node;
pub(crate) mod node_index;
pub(crate) mod node_record;
pub(crate) mod sparse;
pub(crate) mod state_tries;
pub(crate) mod walk;
pub(crate) mod witness;

use alloy_primitives::{B256, U256, keccak256};

/// The key of a slot in its storage trie.
pub(crate) fn slot_key(key: &U256) -> B256 {
    keccak256(key.to_be_bytes::<32>())
}

#[cfg(test)]
mod tests;
