//! The nodes of a sparse trie.
//!
//! A node's reference is the part of it in its parent: the hash of its encoding or, if that is shorter than
//! a hash, the encoding itself. A node keeps its reference until it changes, so that only changed ("dirty")
//! nodes are hashed again. A node that was not read yet is "blinded": only its hash is known.

use alloy_primitives::{B256, keccak256};
use alloy_rlp::{EMPTY_STRING_CODE, Encodable, Header};
use alloy_trie::{
    Nibbles,
    nodes::{ExtensionNodeRef, LeafNodeRef, RlpNode},
};

use crate::trie::{branch::Branch, error::TrieError};

/// The first byte of a reference that is a hash.
pub(super) const HASH_CODE: u8 = EMPTY_STRING_CODE + 32;

/// The largest size of a reference: that of a hash with its first byte.
pub(super) const MAX_REFERENCE_BYTES: usize = 33;

/// The number of nibbles of a key. Keys are hashes.
pub(super) const KEY_NIBBLES: usize = 64;

/// A source of trie nodes.
pub(crate) trait Nodes: Sync {
    /// Why a node cannot be read.
    type Error: From<TrieError> + Send;

    /// The node with this hash and kind at `path`; `None` if it is not known. The kind is what the parent says.
    ///
    /// # Errors
    ///
    /// If the node does not decode, or cannot be read.
    fn node(&self, hash: B256, kind: NodeKind, path: &Nibbles) -> Result<Option<Node>, Self::Error>;

    /// What a node of unknown kind is that is not known, and that a removal leaves as the only child of its branch.
    fn unknown_sibling(&self) -> UnknownSibling {
        UnknownSibling::Error
    }
}

/// What the last child of a branch is if its node is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum UnknownSibling {
    /// An error: it may be a leaf or an extension, which would become longer.
    #[default]
    Error,
    /// A branch. Some witnesses contain such a node only if it is a leaf or an extension.
    Branch,
}

/// The kind of a blinded node, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NodeKind {
    /// Any kind.
    Unknown,
    /// A leaf.
    Leaf,
    /// A branch or an extension.
    Inner,
}

/// A position in the trie, and its node.
#[derive(Debug, Default)]
pub(crate) enum NodeLink {
    /// No node.
    #[default]
    Empty,
    /// A node that was not read yet, by its hash.
    Blinded(B256, NodeKind),
    /// A node, and its reference unless it changed since it was hashed.
    Revealed(Node, Option<RlpNode>),
}

/// A node in memory. Its content is behind one pointer, so that a walk follows one pointer for each node.
#[derive(Debug)]
pub(crate) enum Node {
    /// A key's end, with its value.
    Leaf(Box<Leaf>),
    /// A path segment that all keys below share.
    Extension(Box<Extension>),
    /// A node with several children.
    Branch(Branch),
}

/// A leaf: the end of a key, with its value.
#[derive(Debug)]
pub(crate) struct Leaf {
    /// The nibbles of the key below the parent.
    pub(super) suffix: Nibbles,
    /// The value of the key.
    pub(super) value: Vec<u8>,
}

/// An extension: a path segment that all keys below share.
#[derive(Debug)]
pub(crate) struct Extension {
    /// The segment.
    pub(super) segment: Nibbles,
    /// The branch below it.
    pub(super) child: NodeLink,
}

impl From<Node> for NodeLink {
    fn from(node: Node) -> Self {
        Self::Revealed(node, None)
    }
}

impl<N: Nodes> Nodes for &N {
    type Error = N::Error;

    fn node(&self, hash: B256, kind: NodeKind, path: &Nibbles) -> Result<Option<Node>, N::Error> {
        (**self).node(hash, kind, path)
    }

    fn unknown_sibling(&self) -> UnknownSibling {
        (**self).unknown_sibling()
    }
}

impl NodeLink {
    /// Reads a blinded node, which is at `path`, if the source has it.
    ///
    /// # Errors
    ///
    /// If the node does not decode. A node that the source lacks stays blinded and is no error here.
    pub(super) fn reveal<N: Nodes>(&mut self, nodes: &N, path: &Nibbles) -> Result<(), N::Error> {
        if let Self::Blinded(hash, kind) = *self
            && let Some(node) = nodes.node(hash, kind, path)?
        {
            *self = Self::Revealed(node, Some(RlpNode::word_rlp(&hash)));
        }
        Ok(())
    }

    /// Takes the node out if it is dirty.
    pub(super) fn take_dirty(&mut self) -> Option<Node> {
        if !self.is_dirty() {
            return None;
        }
        match std::mem::take(self) {
            Self::Revealed(node, _) => Some(node),
            Self::Empty | Self::Blinded(..) => None,
        }
    }

    /// The hash of this link as the root of a trie. It must be hashed.
    pub(super) fn root(&self) -> B256 {
        let mut reference = Vec::with_capacity(MAX_REFERENCE_BYTES);
        self.write_reference(&mut reference);
        let reference = RlpNode::from_raw(&reference).expect("a reference has at most 33 bytes");
        reference.as_hash().unwrap_or_else(|| keccak256(reference))
    }

    /// Appends the reference. The node must be hashed.
    pub(super) fn write_reference(&self, encoded: &mut Vec<u8>) {
        match self {
            Self::Empty => encoded.push(EMPTY_STRING_CODE),
            Self::Blinded(hash, _) => {
                encoded.push(HASH_CODE);
                encoded.extend_from_slice(hash.as_slice());
            }
            Self::Revealed(_, reference) => {
                encoded
                    .extend_from_slice(reference.as_ref().expect("children are hashed before their parent"));
            }
        }
    }

    /// The size of the reference.
    pub(super) fn reference_length(&self) -> usize {
        match self {
            Self::Empty => 1,
            Self::Blinded(..) => MAX_REFERENCE_BYTES,
            Self::Revealed(_, reference) => {
                reference.as_ref().map_or(MAX_REFERENCE_BYTES, |bytes| bytes.len())
            }
        }
    }

    /// Whether the node changed since it was hashed.
    pub(super) fn is_dirty(&self) -> bool {
        matches!(self, Self::Revealed(_, None))
    }

    /// Whether it is known to be a leaf.
    pub(super) fn is_leaf(&self) -> bool {
        match self {
            Self::Empty => false,
            Self::Blinded(_, kind) => *kind == NodeKind::Leaf,
            Self::Revealed(node, _) => matches!(node, Node::Leaf(_)),
        }
    }
}

impl Node {
    /// A leaf.
    pub(crate) fn leaf(suffix: Nibbles, value: Vec<u8>) -> Self {
        Self::Leaf(Box::new(Leaf { suffix, value }))
    }

    /// An extension.
    pub(super) fn extension(segment: Nibbles, child: NodeLink) -> Self {
        Self::Extension(Box::new(Extension { segment, child }))
    }

    /// Takes the dirty children out, and passes each to `taken` with its nibble and path. `path` is the path of
    /// this node.
    pub(super) fn take_dirty_children(&mut self, path: &Nibbles, taken: &mut dyn FnMut(u8, Nibbles, Self)) {
        match self {
            Self::Leaf(_) => {}
            Self::Extension(extension) => {
                let Extension { segment, child } = &mut **extension;
                child.take_dirty().into_iter().for_each(|child| taken(0, path.join(segment), child));
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

    /// The link of a child that was taken out. An extension has one child, whatever the nibble.
    pub(super) fn child_mut(&mut self, nibble: u8) -> &mut NodeLink {
        match self {
            Self::Leaf(_) => unreachable!("a leaf has no children"),
            Self::Extension(extension) => &mut extension.child,
            Self::Branch(branch) => branch.child_mut(nibble).expect("its link is still there"),
        }
    }

    /// Appends the encoding. All descendants must be hashed.
    pub(super) fn encode(&self, encoded: &mut Vec<u8>) {
        match self {
            Self::Leaf(leaf) => LeafNodeRef::new(&leaf.suffix, &leaf.value).encode(encoded),
            Self::Extension(extension) => {
                let mut child = Vec::with_capacity(MAX_REFERENCE_BYTES);
                extension.child.write_reference(&mut child);
                ExtensionNodeRef::new(&extension.segment, &child).encode(encoded);
            }
            Self::Branch(branch) => {
                // The value of a branch is empty here and takes one byte.
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
