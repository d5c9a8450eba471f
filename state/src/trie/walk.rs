//! Walks from the root of a trie to keys: reading, proving, checking and pruning.
//!
//! Never recurses deeper than the number of nibbles of a key.

use alloy_primitives::{B256, Bytes, keccak256};
use alloy_trie::{Nibbles, nodes::RlpNode};

use crate::trie::{
    error::TrieError,
    node::{Extension, Node, NodeKind, NodeLink, Nodes, below},
    sparse::NodeCount,
};

/// The largest number of children of a small branch.
const FEW_CHILDREN: usize = 3;

/// A position on the path to a key.
#[derive(Clone, Copy)]
pub(super) struct Cursor {
    pub(super) key: Nibbles,
    pub(super) depth: usize,
}

impl Cursor {
    pub(super) fn root(key: B256) -> Self {
        Self { key: Nibbles::unpack(key), depth: 0 }
    }

    /// The path from the root to this position.
    pub(super) fn path(&self) -> Nibbles {
        self.key.slice(..self.depth)
    }

    /// The rest of the key below this position.
    pub(super) fn rest(&self) -> Nibbles {
        self.key.slice(self.depth..)
    }

    /// The nibble of the next child on the path.
    pub(super) fn nibble(&self) -> u8 {
        nibble_at(&self.key, self.depth)
    }

    /// The position this many nibbles deeper.
    pub(super) fn below(self, nibbles: usize) -> Self {
        Self { depth: self.depth + nibbles, ..self }
    }
}

impl NodeLink {
    /// The node and its reference, revealed if it was blinded; `None` for an empty link.
    pub(super) fn open<N: Nodes>(
        &mut self,
        nodes: &N,
        cursor: Cursor,
    ) -> Result<Option<(&mut Node, &mut Option<RlpNode>)>, N::Error> {
        self.reveal(nodes, &cursor.path())?;
        match self {
            Self::Empty => Ok(None),
            Self::Blinded(hash, _) => Err(TrieError::Missing { hash: *hash, path: cursor.path() }.into()),
            Self::Revealed(node, reference) => Ok(Some((node, reference))),
        }
    }

    pub(super) fn get<N: Nodes>(&mut self, nodes: &N, cursor: Cursor) -> Result<Option<&[u8]>, N::Error> {
        match self.open(nodes, cursor)? {
            None => Ok(None),
            Some((Node::Leaf(leaf), _)) => Ok((leaf.suffix == cursor.rest()).then_some(&leaf.value)),
            Some((Node::Extension(extension), _)) => {
                let Extension { segment, child } = &mut **extension;
                let is_on_path = cursor.rest().starts_with(segment);
                if is_on_path { child.get(nodes, cursor.below(segment.len())) } else { Ok(None) }
            }
            Some((Node::Branch(branch), _)) => {
                branch.child_mut(cursor.nibble()).map_or(Ok(None), |child| child.get(nodes, cursor.below(1)))
            }
        }
    }

    /// Checks and counts the stored nodes from here on. Keeps none of them in memory.
    pub(super) fn check_stored<N: Nodes>(
        &mut self,
        nodes: &N,
        path: &Nibbles,
    ) -> Result<NodeCount, N::Error> {
        match self {
            Self::Empty => Ok(NodeCount::default()),
            Self::Blinded(_, NodeKind::Leaf) => Ok(NodeCount { leaves: 1, inner: 0 }),
            // The hash of the outer node proves an embedded node.
            Self::Revealed(node, _) => node.check_below(nodes, path),
            Self::Blinded(hash, kind @ (NodeKind::Inner | NodeKind::Unknown)) => {
                let Some(mut node) = nodes.node(*hash, *kind, path)? else {
                    return Err(TrieError::Missing { hash: *hash, path: *path }.into());
                };
                let mut encoded = Vec::new();
                node.encode(&mut encoded);
                let found = keccak256(&encoded);
                if found != *hash {
                    return Err(TrieError::HashMismatch { hash: *hash, path: *path, found }.into());
                }
                let mut count = node.check_below(nodes, path)?;
                count.inner += u64::from(!matches!(node, Node::Leaf(_)));
                Ok(count)
            }
        }
    }

    /// Blinds the nodes on the paths to `keys`, which are in order, except for branches and extensions down to
    /// the depth `last` and small branches one level below. All must be hashed.
    pub(crate) fn prune(&mut self, depth: usize, last: usize, keys: &[Nibbles]) {
        match self {
            Self::Revealed(node, _) if depth <= last || (depth == last + 1 && node.is_small()) => {
                match node {
                    Node::Leaf(_) => self.blind(),
                    Node::Extension(extension) => {
                        let Extension { segment, child } = &mut **extension;
                        child.prune(depth + segment.len(), last, keys);
                    }
                    Node::Branch(branch) => {
                        for run in
                            keys.chunk_by(|one, other| nibble_at(one, depth) == nibble_at(other, depth))
                        {
                            if let Some(child) = branch.child_mut(nibble_at(&run[0], depth)) {
                                child.prune(depth + 1, last, run);
                            }
                        }
                    }
                }
            }
            _ => self.blind(),
        }
    }

    /// Drops the node and keeps its hash. An embedded node stays.
    fn blind(&mut self) {
        if let Self::Revealed(_, Some(reference)) = self
            && let Some(hash) = reference.as_hash()
        {
            let kind = if self.is_leaf() { NodeKind::Leaf } else { NodeKind::Inner };
            *self = Self::Blinded(hash, kind);
        }
    }

    pub(super) fn prefetch<N: Nodes>(&mut self, nodes: &N, cursor: Cursor) -> Result<(), N::Error> {
        if matches!(self, Self::Blinded(_, NodeKind::Leaf)) {
            return Ok(());
        }
        match self.open(nodes, cursor)? {
            Some((Node::Extension(extension), _)) if cursor.rest().starts_with(&extension.segment) => {
                extension.child.prefetch(nodes, cursor.below(extension.segment.len()))
            }
            Some((Node::Branch(branch), _)) => branch
                .child_mut(cursor.nibble())
                .map_or(Ok(()), |child| child.prefetch(nodes, cursor.below(1))),
            None | Some(_) => Ok(()),
        }
    }

    /// Adds the encodings of the nodes in memory from here on, which must be hashed, to `nodes`. An embedded node is part
    /// of its outer node's encoding.
    pub(super) fn add_nodes(&self, depth: usize, nodes: &mut Vec<Bytes>) {
        let Self::Revealed(node, reference) = self else { return };
        if depth == 0 || reference.as_ref().is_none_or(RlpNode::is_hash) {
            let mut encoded = Vec::new();
            node.encode(&mut encoded);
            nodes.push(encoded.into());
        }
        match node {
            Node::Leaf(_) => {}
            Node::Extension(extension) => extension.child.add_nodes(depth + extension.segment.len(), nodes),
            Node::Branch(branch) => {
                branch.children().for_each(|(_, child)| child.add_nodes(depth + 1, nodes));
            }
        }
    }

    /// Adds the encodings of the nodes on the path, which must be hashed, to `proof`. An embedded node is part
    /// of its outer node's encoding.
    pub(super) fn prove<N: Nodes>(
        &mut self,
        nodes: &N,
        cursor: Cursor,
        proof: &mut Vec<Bytes>,
    ) -> Result<(), N::Error> {
        let Some((node, reference)) = self.open(nodes, cursor)? else { return Ok(()) };
        if cursor.depth == 0 || reference.as_ref().is_none_or(RlpNode::is_hash) {
            let mut encoded = Vec::new();
            node.encode(&mut encoded);
            proof.push(encoded.into());
        }
        match node {
            Node::Extension(extension) if cursor.rest().starts_with(&extension.segment) => {
                extension.child.prove(nodes, cursor.below(extension.segment.len()), proof)
            }
            Node::Branch(branch) => {
                let child = branch.child_mut(cursor.nibble());
                child.map_or(Ok(()), |child| child.prove(nodes, cursor.below(1), proof))
            }
            Node::Leaf(_) | Node::Extension(_) => Ok(()),
        }
    }
}

impl Node {
    /// Whether the node is a branch with few children.
    fn is_small(&self) -> bool {
        matches!(self, Self::Branch(branch) if branch.len() <= FEW_CHILDREN)
    }

    fn check_below<N: Nodes>(&mut self, nodes: &N, path: &Nibbles) -> Result<NodeCount, N::Error> {
        match self {
            Self::Leaf(_) => Ok(NodeCount { leaves: 1, inner: 0 }),
            Self::Extension(extension) => extension.child.check_stored(nodes, &path.join(&extension.segment)),
            Self::Branch(branch) => {
                let mut count = NodeCount::default();
                for (nibble, child) in branch.children_mut() {
                    count += child.check_stored(nodes, &below(path, nibble))?;
                }
                Ok(count)
            }
        }
    }
}

/// The nibble of `path` at this depth, where a branch is.
pub(super) fn nibble_at(path: &Nibbles, depth: usize) -> u8 {
    path.get(depth).expect("a branch is above the ends of all keys below it")
}
