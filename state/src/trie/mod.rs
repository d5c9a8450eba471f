//! A Merkle Patricia trie of which only a part is known, and what it is for: the witness of a block, and
//! the tries of a store on disk.
//!
//! A witness is the set of raw nodes that a block's reads and writes walk through. From it follow
//! the accounts and slots before the block, and the state root after it, without the rest of the
//! state. Every node is found by the hash of its bytes, so nothing in a witness has to be trusted:
//! what does not belong to the root that one starts from is never looked at.

mod branch;
mod change;
mod claims;
mod decode;
mod error;
#[cfg(test)]
mod full;
#[cfg(test)]
mod kept;
mod naming;
mod node;
mod partial;
#[cfg(test)]
mod properties;
mod record;
mod walk;
mod whole;
mod witness;

use alloy_primitives::{B256, U256, keccak256};

pub(crate) use change::{Found, Insertion, Presence};
pub(crate) use claims::Claims;
pub use error::{TrieError, WitnessError};
pub(crate) use node::{Link, Node, Nodes, Sort};
pub(crate) use partial::{NodeChanges, PartialTrie};
pub use whole::MemoryTrie;
pub use witness::Witness;

/// The key under which a slot stands in the trie of its storage.
pub(crate) fn slot_key(key: &U256) -> B256 {
    keccak256(key.to_be_bytes::<32>())
}
