//! The nodes of a trie that is known in part.
//!
//! A node's name is what its parent holds of it: the hash of its encoding or, where that is
//! shorter than a hash, the encoding. A node keeps its name until it changes, so that only what
//! changed is encoded again.

use alloy_primitives::{B256, Bytes, keccak256, map::B256Map};
use alloy_rlp::{EMPTY_STRING_CODE, Encodable, Header};
use alloy_trie::{
    Nibbles,
    nodes::{ExtensionNodeRef, LeafNodeRef, RlpNode},
};

use crate::trie::{branch::Branch, error::TrieError};

/// What says that a name is a hash.
pub(super) const HASH_CODE: u8 = EMPTY_STRING_CODE + 32;

/// How many bytes a name has at most: a hash, and what says that it is one.
pub(super) const MAX_REFERENCE_BYTES: usize = 33;

/// How many nibbles a key has: keys are hashes.
pub(super) const KEY_NIBBLES: usize = 64;

/// Where the nodes of a trie come from.
pub(crate) trait Nodes: Sync {
    /// Why a node cannot be had.
    type Error: From<TrieError> + Send;

    /// The node with this hash, which stands at `path`; `None` where it is not known. It is of the sort
    /// that its parent says.
    ///
    /// # Errors
    ///
    /// If it does not decode, or cannot be read.
    fn node(&self, hash: B256, sort: NodeKind, path: &Nibbles) -> Result<Option<Node>, Self::Error>;
}

/// What is known of a node that nobody looked at yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NodeKind {
    /// Nothing.
    Any,
    /// It is a leaf.
    Leaf,
    /// It is a branch or an extension.
    Inner,
}

/// Nodes by the hash of their encoding.
#[derive(Clone, Debug, Default)]
pub(crate) struct NodeIndex(B256Map<Bytes>);

impl FromIterator<Bytes> for NodeIndex {
    fn from_iter<I: IntoIterator<Item = Bytes>>(nodes: I) -> Self {
        Self(nodes.into_iter().map(|node| (keccak256(&node), node)).collect())
    }
}

impl NodeIndex {
    /// Nodes under hashes that need not be theirs: what no honest constructor can make.
    #[cfg(test)]
    pub(super) fn forged(nodes: impl IntoIterator<Item = (B256, Bytes)>) -> Self {
        Self(nodes.into_iter().collect())
    }
}

impl Nodes for NodeIndex {
    type Error = TrieError;

    fn node(&self, hash: B256, _: NodeKind, path: &Nibbles) -> Result<Option<Node>, TrieError> {
        let Some(bytes) = self.0.get(&hash) else { return Ok(None) };
        let malformed = |reason| TrieError::Malformed { hash, path: *path, reason };
        Node::decode(bytes, path.len()).map(Some).map_err(malformed)
    }
}

/// What stands at a place of the trie.
#[derive(Debug, Default)]
pub(crate) enum Link {
    /// Nothing.
    #[default]
    Empty,
    /// A node that was not looked at yet, by its hash.
    Blinded(B256, NodeKind),
    /// A node, and its name unless it changed since it was named.
    Revealed(Node, Option<RlpNode>),
}

/// A node that was looked at. What it holds lies one step away, so that a walk takes one step for each.
#[derive(Debug)]
pub(crate) enum Node {
    /// The end of a key.
    Leaf(Box<Leaf>),
    /// A stretch of path that all keys below share.
    Extension(Box<Extension>),
    /// A place where keys part.
    Branch(Branch),
}

/// The end of a key.
#[derive(Debug)]
pub(crate) struct Leaf {
    /// What is left of the key.
    pub(super) rest: Nibbles,
    /// What stands under it.
    pub(super) value: Vec<u8>,
}

/// A stretch of path that all keys below share.
#[derive(Debug)]
pub(crate) struct Extension {
    /// The stretch.
    pub(super) way: Nibbles,
    /// Where it leads.
    pub(super) child: Link,
}

impl From<Node> for Link {
    fn from(node: Node) -> Self {
        Self::Revealed(node, None)
    }
}

impl<N: Nodes> Nodes for &N {
    type Error = N::Error;

    fn node(&self, hash: B256, sort: NodeKind, path: &Nibbles) -> Result<Option<Node>, N::Error> {
        (**self).node(hash, sort, path)
    }
}

impl Link {
    /// Looks at the node, which stands at `path`, if it is known.
    ///
    /// # Errors
    ///
    /// If it does not decode. A node that is not known stays sealed and is no error here.
    pub(super) fn reveal<N: Nodes>(&mut self, nodes: &N, path: &Nibbles) -> Result<(), N::Error> {
        if let Self::Blinded(hash, sort) = *self
            && let Some(node) = nodes.node(hash, sort, path)?
        {
            *self = Self::Revealed(node, Some(RlpNode::word_rlp(&hash)));
        }
        Ok(())
    }

    /// Takes the node out if it changed since it was named.
    pub(super) fn take_dirty(&mut self) -> Option<Node> {
        if !self.is_dirty() {
            return None;
        }
        match std::mem::take(self) {
            Self::Revealed(node, _) => Some(node),
            Self::Empty | Self::Blinded(..) => None,
        }
    }

    /// The hash that it has as the root of a trie, once it is named.
    pub(super) fn root(&self) -> B256 {
        let mut name = Vec::with_capacity(MAX_REFERENCE_BYTES);
        self.write_reference(&mut name);
        let name = RlpNode::from_raw(&name).expect("a name is no longer than a hash and a byte");
        name.as_hash().unwrap_or_else(|| keccak256(name))
    }

    /// Appends what the parent holds of it, once it is named.
    pub(super) fn write_reference(&self, encoded: &mut Vec<u8>) {
        match self {
            Self::Empty => encoded.push(EMPTY_STRING_CODE),
            Self::Blinded(hash, _) => {
                encoded.push(HASH_CODE);
                encoded.extend_from_slice(hash.as_slice());
            }
            Self::Revealed(_, name) => {
                encoded.extend_from_slice(name.as_ref().expect("what is below a node is named before it"));
            }
        }
    }

    /// How many bytes that has.
    pub(super) fn reference_length(&self) -> usize {
        match self {
            Self::Empty => 1,
            Self::Blinded(..) => MAX_REFERENCE_BYTES,
            Self::Revealed(_, name) => name.as_ref().map_or(MAX_REFERENCE_BYTES, |name| name.len()),
        }
    }

    /// Whether it changed since it was named.
    pub(super) fn is_dirty(&self) -> bool {
        matches!(self, Self::Revealed(_, None))
    }

    /// Whether it is known to be a leaf.
    pub(super) fn is_leaf(&self) -> bool {
        match self {
            Self::Empty => false,
            Self::Blinded(_, sort) => *sort == NodeKind::Leaf,
            Self::Revealed(node, _) => matches!(node, Node::Leaf(_)),
        }
    }
}

impl Node {
    /// A leaf.
    pub(crate) fn leaf(rest: Nibbles, value: Vec<u8>) -> Self {
        Self::Leaf(Box::new(Leaf { suffix, value }))
    }

    /// An extension.
    pub(super) fn extension(way: Nibbles, child: Link) -> Self {
        Self::Extension(Box::new(Extension { segment, child }))
    }

    /// Takes the children out that changed since they were named: `taken` is told which child each is, and its
    /// path. `path` leads here.
    pub(super) fn take_dirty_children(&mut self, path: &Nibbles, taken: &mut dyn FnMut(u8, Nibbles, Self)) {
        match self {
            Self::Leaf(_) => {}
            Self::Extension(extension) => {
                let Extension { segment, child } = &mut **extension;
                child.take_dirty().into_iter().for_each(|child| taken(0, path.join(way), child));
            }
            Self::Branch(branch) => {
                for (nibble, child) in branch.children_mut() {
                    if let Some(child) = child.take_dirty() {
                        taken(nibble, below(path, nibble), child);
                    }
                }
            }
        }
    }

    /// One of its children that was taken out: of an extension there is one only.
    pub(super) fn child_mut(&mut self, nibble: u8) -> &mut Link {
        match self {
            Self::Leaf(_) => unreachable!("a leaf has no children"),
            Self::Extension(extension) => &mut extension.child,
            Self::Branch(branch) => branch.child_mut(nibble).expect("it left its place behind"),
        }
    }

    /// Appends its encoding. All that is below it must be named.
    pub(super) fn encode(&self, encoded: &mut Vec<u8>) {
        match self {
            Self::Leaf(leaf) => LeafNodeRef::new(&leaf.suffix, &leaf.value).encode(encoded),
            Self::Extension(extension) => {
                let mut name = Vec::with_capacity(MAX_REFERENCE_BYTES);
                extension.child.write_reference(&mut name);
                ExtensionNodeRef::new(&extension.segment, &name).encode(encoded);
            }
            Self::Branch(branch) => {
                // The value that a branch may hold in other tries takes one byte where there is none.
                let payload_length = branch.references_length() + 1;
                Header { list: true, payload_length }.encode(encoded);
                branch.write_references(encoded);
                encoded.push(EMPTY_STRING_CODE);
            }
        }
    }
}

/// The path to a child of a branch.
pub(super) fn below(path: &Nibbles, nibble: u8) -> Nibbles {
    let mut path = *path;
    path.push(nibble);
    path
}
