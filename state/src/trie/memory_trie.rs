//! A trie of which everything is in memory.

use alloy_primitives::B256;
use alloy_trie::EMPTY_ROOT_HASH;

use crate::trie::{change::Presence, node::NodeIndex, sparse::SparseTrie};

/// A Merkle Patricia trie in memory, whose keys are hashes. Its root follows what is put in and taken out:
/// only what changed is hashed again.
///
/// ```
/// use alloy_primitives::keccak256;
/// use blockloom_state::MemoryTrie;
///
/// let mut trie = MemoryTrie::new();
/// let empty = trie.root();
/// trie.insert(keccak256("dog"), b"puppy".to_vec());
/// assert_ne!(trie.root(), empty);
/// trie.remove(keccak256("dog"));
/// assert_eq!(trie.root(), empty);
/// ```
#[derive(Debug)]
pub struct MemoryTrie(SparseTrie<NodeIndex>);

/// Why nothing of a trie in memory can be missing.
const NOTHING_IS_SEALED: &str = "every node was made here";

impl MemoryTrie {
    /// An empty trie.
    pub fn new() -> Self {
        Self(SparseTrie::new(NodeIndex::default(), EMPTY_ROOT_HASH))
    }

    /// Puts `value` under `key`, in place of what stood there.
    ///
    /// # Panics
    ///
    /// If `value` is empty: a trie cannot hold that.
    pub fn insert(&mut self, key: B256, value: Vec<u8>) {
        self.0.insert(key, value, Presence::Unknown).expect(NOTHING_IS_SEALED);
    }

    /// Takes `key` out, if it is there.
    pub fn remove(&mut self, key: B256) {
        self.0.remove(key, Presence::Unknown).expect(NOTHING_IS_SEALED);
    }

    /// The root as it is now.
    pub fn root(&mut self) -> B256 {
        self.0.root()
    }
}

impl Default for MemoryTrie {
    fn default() -> Self {
        Self::new()
    }
}
