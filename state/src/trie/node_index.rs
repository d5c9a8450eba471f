//! Raw nodes by the hash of their encoding, as a witness has them.
//!
//! Promises that a node is found only by its own hash. A look-up changes nothing and takes no lock, so that any
//! number of threads may look up keys at once. Nodes are decoded on use: an invalid one is reported on use only.

use alloy_primitives::{B256, Bytes, map::B256Map};
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles};

use crate::{
    keccak::keccak256_all,
    trie::{
        decode::Step,
        error::TrieError,
        node::{Node, NodeKind, Nodes, UnknownSibling},
        walk::Cursor,
    },
};

/// Nodes by the hash of their encoding.
#[derive(Clone, Debug, Default)]
pub(crate) struct NodeIndex {
    /// The nodes, each with its hash. A position in this list names a node.
    nodes: Vec<(B256, Bytes)>,
    positions: B256Map<usize>,
    unknown_sibling: UnknownSibling,
}

impl FromIterator<Bytes> for NodeIndex {
    fn from_iter<I: IntoIterator<Item = Bytes>>(nodes: I) -> Self {
        let nodes: Vec<_> = nodes.into_iter().collect();
        Self::of(keccak256_all(&nodes).into_iter().zip(nodes))
    }
}

impl NodeIndex {
    fn of(nodes: impl IntoIterator<Item = (B256, Bytes)>) -> Self {
        let nodes: Vec<_> = nodes.into_iter().collect();
        let positions = nodes.iter().enumerate().map(|(position, (hash, _))| (*hash, position)).collect();
        Self { nodes, positions, unknown_sibling: UnknownSibling::Error }
    }

    /// Nodes under hashes that need not be theirs.
    #[cfg(test)]
    pub(super) fn forged(nodes: impl IntoIterator<Item = (B256, Bytes)>) -> Self {
        Self::of(nodes)
    }

    /// The same nodes; a missing last child of a branch is what `sibling` says.
    pub(crate) fn with_unknown_sibling(self, unknown_sibling: UnknownSibling) -> Self {
        Self { unknown_sibling, ..self }
    }

    /// The position of the node with this hash.
    pub(crate) fn position(&self, hash: &B256) -> Option<usize> {
        self.positions.get(hash).copied()
    }

    /// The hash of the node at a position.
    pub(crate) fn hash_at(&self, position: usize) -> Option<B256> {
        self.nodes.get(position).map(|(hash, _)| *hash)
    }

    /// The value of `key` in the trie with this root.
    ///
    /// # Errors
    ///
    /// If a node on the path is missing or malformed.
    pub(crate) fn find(&self, root: B256, key: B256) -> Result<Option<Vec<u8>>, TrieError> {
        if root == EMPTY_ROOT_HASH {
            return Ok(None);
        }
        let (mut hash, mut cursor) = (root, Cursor::root(key));
        loop {
            let Some(bytes) = self.bytes(&hash) else {
                return Err(TrieError::Missing { hash, path: cursor.path() });
            };
            let malformed = |reason| TrieError::Malformed { hash, path: cursor.path(), reason };
            match Step::towards(bytes, cursor).map_err(malformed)? {
                Step::Absent => return Ok(None),
                Step::Child(child) => (hash, cursor) = (child, cursor.below(1)),
                Step::Node(mut link, cursor) => {
                    return Ok(link.get(&self, cursor)?.map(<[u8]>::to_vec));
                }
            }
        }
    }

    fn bytes(&self, hash: &B256) -> Option<&Bytes> {
        self.position(hash).map(|position| &self.nodes[position].1)
    }
}

impl Nodes for NodeIndex {
    type Error = TrieError;

    fn node(&self, hash: B256, _: NodeKind, path: &Nibbles) -> Result<Option<Node>, TrieError> {
        let Some(bytes) = self.bytes(&hash) else { return Ok(None) };
        let malformed = |reason| TrieError::Malformed { hash, path: *path, reason };
        Node::decode(bytes, path.len()).map(Some).map_err(malformed)
    }

    fn unknown_sibling(&self) -> UnknownSibling {
        self.unknown_sibling
    }
}
