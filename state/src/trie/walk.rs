//! Walking from the root of a trie to keys, and looking at what stands on the way.
//!
//! Never recurses deeper than a key is long.

use alloy_primitives::{B256, Bytes, keccak256};
use alloy_trie::{Nibbles, nodes::RlpNode};

use crate::trie::{
    error::TrieError,
    node::{Extension, Link, Node, Nodes, NodeKind, below},
    sparse::NodeCount,
};

/// How many children a small branch has at most.
const FEW_CHILDREN: usize = 3;

/// How far one came on the way to a key.
#[derive(Clone, Copy)]
pub(super) struct Cursor {
    pub(super) key: Nibbles,
    pub(super) depth: usize,
}

impl Cursor {
    pub(super) fn root(key: B256) -> Self {
        Self { key: Nibbles::unpack(key), depth: 0 }
    }

    /// The way up to here.
    pub(super) fn path(&self) -> Nibbles {
        self.key.slice(..self.depth)
    }

    /// The way ahead.
    pub(super) fn rest(&self) -> Nibbles {
        self.key.slice(self.depth..)
    }

    /// Which child of a branch is next.
    pub(super) fn nibble(&self) -> u8 {
        nibble_at(&self.key, self.depth)
    }

    pub(super) fn below(self, nibbles: usize) -> Self {
        Self { depth: self.depth + nibbles, ..self }
    }
}

impl Link {
    /// The node with its name, to be looked at or changed; `None` where nothing stands.
    pub(super) fn open<N: Nodes>(
        &mut self,
        nodes: &N,
        place: Cursor,
    ) -> Result<Option<(&mut Node, &mut Option<RlpNode>)>, N::Error> {
        self.reveal(nodes, &place.path())?;
        match self {
            Self::Empty => Ok(None),
            Self::Blinded(hash, _) => Err(TrieError::Missing { hash: *hash, path: place.path() }.into()),
            Self::Revealed(node, name) => Ok(Some((node, name))),
        }
    }

    pub(super) fn get<N: Nodes>(&mut self, nodes: &N, place: Cursor) -> Result<Option<&[u8]>, N::Error> {
        match self.open(nodes, place)? {
            None => Ok(None),
            Some((Node::Leaf(leaf), _)) => Ok((leaf.suffix == place.rest()).then_some(&leaf.value)),
            Some((Node::Extension(extension), _)) => {
                let Extension { segment, child } = &mut **extension;
                let leads_on = place.rest().starts_with(way);
                if leads_on { child.get(nodes, place.below(way.len())) } else { Ok(None) }
            }
            Some((Node::Branch(branch), _)) => {
                branch.child_mut(place.nibble()).map_or(Ok(None), |child| child.get(nodes, place.below(1)))
            }
        }
    }

    /// Checks and counts what is kept from here on. What was looked at is forgotten again.
    pub(super) fn check_stored<N: Nodes>(&mut self, nodes: &N, path: &Nibbles) -> Result<NodeCount, N::Error> {
        match self {
            Self::Empty => Ok(NodeCount::default()),
            Self::Blinded(_, NodeKind::Leaf) => Ok(NodeCount { leaves: 1, inner: 0 }),
            // What lies within another node is vouched for by the hash of that.
            Self::Revealed(node, _) => node.check_below(nodes, path),
            Self::Blinded(hash, sort @ (NodeKind::Inner | NodeKind::Unknown)) => {
                let Some(mut node) = nodes.node(*hash, *sort, path)? else {
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

    /// Forgets what was looked at or changed on the way to `keys`, which are in order, but for branches and
    /// extensions down to the depth `last`, and small branches right below. All must be named.
    pub(crate) fn prune(&mut self, depth: usize, last: usize, keys: &[Nibbles]) {
        match self {
            Self::Revealed(node, _) if depth <= last || (depth == last + 1 && node.is_small()) => match node {
                Node::Leaf(_) => self.blind(),
                Node::Extension(extension) => {
                    let Extension { segment, child } = &mut **extension;
                    child.prune(depth + way.len(), last, keys);
                }
                Node::Branch(branch) => {
                    for run in keys.chunk_by(|one, other| nibble_at(one, depth) == nibble_at(other, depth)) {
                        if let Some(child) = branch.child_mut(nibble_at(&run[0], depth)) {
                            child.prune(depth + 1, last, run);
                        }
                    }
                }
            },
            _ => self.blind(),
        }
    }

    /// Forgets the node but for its hash. One that is shorter than a hash stays.
    fn blind(&mut self) {
        if let Self::Revealed(_, Some(name)) = self
            && let Some(hash) = name.as_hash()
        {
            let sort = if self.is_leaf() { NodeKind::Leaf } else { NodeKind::Inner };
            *self = Self::Blinded(hash, sort);
        }
    }

    pub(super) fn look_up<N: Nodes>(&mut self, nodes: &N, place: Cursor) -> Result<(), N::Error> {
        if matches!(self, Self::Blinded(_, NodeKind::Leaf)) {
            return Ok(());
        }
        match self.open(nodes, place)? {
            Some((Node::Extension(extension), _)) if place.rest().starts_with(&extension.segment) => {
                extension.child.look_up(nodes, place.below(extension.segment.len()))
            }
            Some((Node::Branch(branch), _)) => {
                branch.child_mut(place.nibble()).map_or(Ok(()), |child| child.look_up(nodes, place.below(1)))
            }
            None | Some(_) => Ok(()),
        }
    }

    /// Adds the encodings of the nodes on the way, which must be named, to `proof`. One that lies within
    /// another is in there already.
    pub(super) fn prove<N: Nodes>(
        &mut self,
        nodes: &N,
        place: Cursor,
        proof: &mut Vec<Bytes>,
    ) -> Result<(), N::Error> {
        let Some((node, name)) = self.open(nodes, place)? else { return Ok(()) };
        if place.depth == 0 || name.as_ref().is_none_or(RlpNode::is_hash) {
            let mut encoded = Vec::new();
            node.encode(&mut encoded);
            proof.push(encoded.into());
        }
        match node {
            Node::Extension(extension) if place.rest().starts_with(&extension.segment) => {
                extension.child.prove(nodes, place.below(extension.segment.len()), proof)
            }
            Node::Branch(branch) => {
                let child = branch.child_mut(place.nibble());
                child.map_or(Ok(()), |child| child.prove(nodes, place.below(1), proof))
            }
            Node::Leaf(_) | Node::Extension(_) => Ok(()),
        }
    }
}

impl Node {
    /// Whether it is a branch that takes little room.
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

/// Which child of a branch at the depth `at` leads along `path`.
pub(super) fn nibble_at(path: &Nibbles, at: usize) -> u8 {
    path.get(at).expect("a branch stands above the end of every key below it")
}
