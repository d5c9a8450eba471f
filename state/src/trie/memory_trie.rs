//! A full trie in memory.

use alloy_primitives::{B256, Bytes};
use alloy_trie::EMPTY_ROOT_HASH;

use crate::trie::{change::Presence, node_index::NodeIndex, sparse::SparseTrie};

/// A Merkle Patricia trie in memory, with hashes as keys. Its root is updated incrementally: only changed nodes
/// are hashed again.
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

/// Why no operation on a trie in memory fails.
const NO_NODE_IS_BLINDED: &str = "every node is in memory";

impl MemoryTrie {
    /// An empty trie.
    pub fn new() -> Self {
        Self(SparseTrie::new(NodeIndex::default(), EMPTY_ROOT_HASH))
    }

    /// Sets the value of `key`.
    ///
    /// # Panics
    ///
    /// If `value` is empty, which a trie cannot hold.
    pub fn insert(&mut self, key: B256, value: Vec<u8>) {
        self.0.insert(key, value, Presence::Unknown).expect(NO_NODE_IS_BLINDED);
    }

    /// Removes `key`, if it is present.
    pub fn remove(&mut self, key: B256) {
        self.0.remove(key, Presence::Unknown).expect(NO_NODE_IS_BLINDED);
    }

    /// The current root.
    pub fn root(&mut self) -> B256 {
        self.0.root()
    }

    /// Adds the encodings of all nodes that are referenced by their hash, and of the root, to `nodes`.
    pub(crate) fn add_nodes(&mut self, nodes: &mut Vec<Bytes>) {
        self.0.add_nodes(nodes);
    }
}

impl Default for MemoryTrie {
    fn default() -> Self {
        Self::new()
    }
}
