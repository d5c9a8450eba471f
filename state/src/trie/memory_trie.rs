//! A full trie in memory.

use alloy_primitives::{B256, Bytes};
use alloy_trie::EMPTY_ROOT_HASH;

use crate::trie::{
    change::Presence,
    node_index::NodeIndex,
    sparse::{SparseTrie, Update},
};

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
pub struct MemoryTrie {
    trie: SparseTrie<NodeIndex>,
    /// The number of changes since the last root.
    changes: usize,
}

/// Why no operation on a trie in memory fails.
const NO_NODE_IS_BLINDED: &str = "every node is in memory";

/// The least number of changes whose nodes are hashed on several threads: a path takes some microseconds, waking a
/// thread several.
const PARALLEL_FROM: usize = 64;

impl MemoryTrie {
    /// An empty trie.
    pub fn new() -> Self {
        Self { trie: SparseTrie::new(NodeIndex::default(), EMPTY_ROOT_HASH), changes: 0 }
    }

    /// The value of `key`.
    pub(crate) fn get(&mut self, key: B256) -> Option<&[u8]> {
        self.trie.get(key).expect(NO_NODE_IS_BLINDED)
    }

    /// Sets the value of `key`.
    ///
    /// # Panics
    ///
    /// If `value` is empty, which a trie cannot hold.
    pub fn insert(&mut self, key: B256, value: Vec<u8>) {
        self.changes += 1;
        self.trie.insert(key, value, Presence::Unknown).expect(NO_NODE_IS_BLINDED);
    }

    /// Removes `key`, if it is present.
    pub fn remove(&mut self, key: B256) {
        self.changes += 1;
        self.trie.remove(key, Presence::Unknown).expect(NO_NODE_IS_BLINDED);
    }

    /// Sets and removes the values of many keys, those of different branches on several threads.
    ///
    /// # Panics
    ///
    /// If a value is empty, or two values have the same key.
    pub(crate) fn update(&mut self, updates: Vec<Update>) {
        self.changes += updates.len();
        self.trie.update(updates).expect(NO_NODE_IS_BLINDED);
    }

    /// The current root.
    pub fn root(&mut self) -> B256 {
        self.trie.forget_deleted();
        let is_worth_threads = std::mem::take(&mut self.changes) >= PARALLEL_FROM;
        if is_worth_threads { self.trie.root_in_parallel() } else { self.trie.root() }
    }

    /// Adds the encodings of all nodes that are referenced by their hash, and of the root, to `nodes`.
    pub(crate) fn add_nodes(&mut self, nodes: &mut Vec<Bytes>) {
        self.trie.add_nodes(nodes);
    }
}

impl Default for MemoryTrie {
    fn default() -> Self {
        Self::new()
    }
}
