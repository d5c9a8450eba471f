//! The nodes of a trie that is known in part: how they are decoded and how they are named.
//!
//! A node's name is what its parent holds of it: the hash of its encoding or, where that is
//! shorter than a hash, the encoding. A node keeps its name until it changes, so that only what
//! changed is encoded again.
//!
//! Promises that a decoded node fits its depth: the paths below it end after 64 nibbles and no
//! later, none of its parts is empty, a branch has two children or more. What walks it needs no
//! check of its own and cannot walk forever, whatever the bytes say.

use alloy_primitives::{B256, Bytes, keccak256, map::B256Map};
use alloy_rlp::{EMPTY_STRING_CODE, Encodable, Error as RlpError, Header};
use alloy_trie::{
    Nibbles,
    nodes::{CHILD_INDEX_RANGE, ExtensionNodeRef, LeafNodeRef, RlpNode, TrieNode},
};

use super::TrieError;

/// How many bytes a name has at most: a hash, and what says that it is one.
const NAME_BYTES: usize = 33;

/// Whoever is told of the nodes that changed.
pub(super) type Told<'t> = &'t mut dyn FnMut(&Nibbles, &Node);

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
    fn node(&self, hash: B256, sort: Sort, path: &Nibbles) -> Result<Option<Node>, Self::Error>;
}

/// What is known of a node that nobody looked at yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
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

    fn node(&self, hash: B256, _: Sort, path: &Nibbles) -> Result<Option<Node>, TrieError> {
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
    Sealed(B256, Sort),
    /// A node, and its name unless it changed since it was named.
    Open(Box<Node>, Option<RlpNode>),
}

/// A node that was looked at.
#[derive(Debug)]
pub(crate) enum Node {
    /// The end of a key, and what stands under the key.
    Leaf(Nibbles, Vec<u8>),
    /// A stretch of path that all keys below share.
    Extension(Nibbles, Link),
    /// A place where keys part.
    Branch(Box<[Link; 16]>),
}

impl From<Node> for Link {
    fn from(node: Node) -> Self {
        Self::Open(Box::new(node), None)
    }
}

impl<N: Nodes> Nodes for &N {
    type Error = N::Error;

    fn node(&self, hash: B256, sort: Sort, path: &Nibbles) -> Result<Option<Node>, N::Error> {
        (**self).node(hash, sort, path)
    }
}

impl Link {
    /// Looks at the node, which stands at `path`, if it is known.
    ///
    /// # Errors
    ///
    /// If it does not decode. A node that is not known stays sealed and is no error here.
    pub(super) fn unseal<N: Nodes>(&mut self, nodes: &N, path: &Nibbles) -> Result<(), N::Error> {
        if let Self::Sealed(hash, sort) = *self
            && let Some(node) = nodes.node(hash, sort, path)?
        {
            *self = Self::Open(Box::new(node), Some(RlpNode::word_rlp(&hash)));
        }
        Ok(())
    }

    /// Computes what the parent holds of it, and of what is below it, for all that changed. `told` is
    /// told of every node that changed, with its path, once all below it are named; `path` leads here.
    /// `scratch` may hold anything.
    pub(super) fn name(&mut self, path: &Nibbles, scratch: &mut Vec<u8>, told: Told<'_>) {
        if let Self::Open(node, name @ None) = self {
            node.name_children(path, scratch, told);
            told(path, node);
            scratch.clear();
            node.encode(scratch);
            *name = Some(RlpNode::from_rlp(scratch));
        }
    }

    /// The hash that it has as the root of a trie, once it is named.
    pub(super) fn root(&self) -> B256 {
        let mut name = Vec::with_capacity(NAME_BYTES);
        self.write_name(&mut name);
        let name = RlpNode::from_raw(&name).expect("a name is no longer than a hash and a byte");
        name.as_hash().unwrap_or_else(|| keccak256(name))
    }

    /// Appends what the parent holds of it, once it is named.
    pub(super) fn write_name(&self, encoded: &mut Vec<u8>) {
        match self {
            Self::Empty => encoded.push(EMPTY_STRING_CODE),
            Self::Sealed(hash, _) => {
                encoded.push(EMPTY_STRING_CODE + 32);
                encoded.extend_from_slice(hash.as_slice());
            }
            Self::Open(_, name) => {
                encoded.extend_from_slice(name.as_ref().expect("what is below a node is named before it"));
            }
        }
    }

    /// How many bytes that has.
    fn name_length(&self) -> usize {
        match self {
            Self::Empty => 1,
            Self::Sealed(..) => NAME_BYTES,
            Self::Open(_, name) => name.as_ref().map_or(NAME_BYTES, |name| name.len()),
        }
    }

    /// Whether it changed since it was named.
    pub(super) fn is_unnamed(&self) -> bool {
        matches!(self, Self::Open(_, None))
    }

    /// Whether it is known to be a leaf.
    pub(super) fn is_leaf(&self) -> bool {
        match self {
            Self::Empty => false,
            Self::Sealed(_, sort) => *sort == Sort::Leaf,
            Self::Open(node, _) => matches!(**node, Node::Leaf(..)),
        }
    }

    /// What stands at `depth` by the name that its parent gives it.
    pub(super) fn decode(name: &RlpNode, depth: usize) -> Result<Self, RlpError> {
        if name.first() == Some(&(EMPTY_STRING_CODE + 32))
            && let Some(hash) = name.as_hash()
        {
            return Ok(Self::Sealed(hash, Sort::Any));
        }
        if name.len() >= 32 {
            return Err(RlpError::Custom("a node that should be named by its hash"));
        }
        // A node within another is shorter than it, so this ends.
        Ok(Self::Open(Box::new(Node::decode(name, depth)?), Some(name.clone())))
    }
}

impl Node {
    /// The node that `bytes` encode, standing at `depth`, with the nodes that lie within it.
    pub(super) fn decode(bytes: &[u8], depth: usize) -> Result<Self, RlpError> {
        match alloy_rlp::decode_exact(bytes)? {
            TrieNode::EmptyRoot => Err(RlpError::Custom("an empty node below the root")),
            TrieNode::Leaf(leaf) => {
                if depth + leaf.key.len() != KEY_NIBBLES {
                    return Err(RlpError::Custom("a leaf whose key is not 64 nibbles long"));
                }
                if leaf.value.is_empty() {
                    return Err(RlpError::Custom("a leaf without a value"));
                }
                Ok(Self::Leaf(leaf.key, leaf.value))
            }
            TrieNode::Extension(extension) => {
                let below = depth + extension.key.len();
                if extension.key.is_empty() || below >= KEY_NIBBLES {
                    return Err(RlpError::Custom("an extension of no nibbles or of too many"));
                }
                Ok(Self::Extension(extension.key, Link::decode(&extension.child, below)?))
            }
            TrieNode::Branch(branch) => {
                if branch.stack.len() < 2 || depth >= KEY_NIBBLES {
                    return Err(RlpError::Custom("a branch of fewer than two children or too deep"));
                }
                let mut children = Box::new([const { Link::Empty }; 16]);
                for (nibble, name) in branch.as_ref().children() {
                    if let Some(name) = name {
                        children[usize::from(nibble)] = Link::decode(name, depth + 1)?;
                    }
                }
                Ok(Self::Branch(children))
            }
        }
    }

    /// Names all that is below it; `path` leads to it.
    fn name_children(&mut self, path: &Nibbles, scratch: &mut Vec<u8>, told: Told<'_>) {
        match self {
            Self::Leaf(..) => {}
            Self::Extension(way, child) => child.name(&path.join(way), scratch, told),
            Self::Branch(children) => {
                for (nibble, child) in CHILD_INDEX_RANGE.zip(children.iter_mut()) {
                    if child.is_unnamed() {
                        child.name(&below(path, nibble), scratch, told);
                    }
                }
            }
        }
    }

    /// Appends its encoding. All that is below it must be named.
    pub(super) fn encode(&self, encoded: &mut Vec<u8>) {
        match self {
            Self::Leaf(path, value) => LeafNodeRef::new(path, value).encode(encoded),
            Self::Extension(path, child) => {
                let mut name = Vec::with_capacity(NAME_BYTES);
                child.write_name(&mut name);
                ExtensionNodeRef::new(path, &name).encode(encoded);
            }
            Self::Branch(children) => {
                // The value that a branch may hold in other tries takes one byte where there is none.
                let payload_length = 1 + children.iter().map(Link::name_length).sum::<usize>();
                Header { list: true, payload_length }.encode(encoded);
                children.iter().for_each(|child| child.write_name(encoded));
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

#[cfg(test)]
mod tests {
    use alloy_rlp::Header;
    use alloy_trie::nodes::{BranchNode, ExtensionNode, LeafNode};

    use super::*;

    fn reason(node: &TrieNode, depth: usize) -> RlpError {
        Node::decode(&alloy_rlp::encode(node), depth).unwrap_err()
    }

    fn leaf(nibbles: usize, value: &[u8]) -> TrieNode {
        TrieNode::Leaf(LeafNode::new(Nibbles::from_nibbles(vec![7; nibbles]), value.to_vec()))
    }

    fn extension(nibbles: usize, child: RlpNode) -> TrieNode {
        TrieNode::Extension(ExtensionNode::new(Nibbles::from_nibbles(vec![7; nibbles]), child))
    }

    #[test]
    fn a_node_that_does_not_fit_its_depth_is_refused() {
        let hash = RlpNode::word_rlp(&B256::repeat_byte(1));
        assert!(Node::decode(&alloy_rlp::encode(leaf(60, &[1])), 4).is_ok());
        assert!(Node::decode(&alloy_rlp::encode(extension(59, hash.clone())), 4).is_ok());
        for node in [leaf(59, &[1]), leaf(61, &[1]), leaf(60, &[]), extension(0, hash.clone())] {
            assert!(matches!(reason(&node, 4), RlpError::Custom(_)), "{node:?}");
        }
        assert!(matches!(reason(&extension(60, hash.clone()), 4), RlpError::Custom(_)));
        let branch = TrieNode::Branch(BranchNode::new(vec![hash.clone(), hash.clone()], TrieMask::new(3)));
        assert!(Node::decode(&alloy_rlp::encode(&branch), 63).is_ok());
        assert!(matches!(reason(&branch, 64), RlpError::Custom(_)));
        let single = TrieNode::Branch(BranchNode::new(vec![hash], TrieMask::new(4)));
        assert!(matches!(reason(&single, 4), RlpError::Custom(_)));
    }

    #[test]
    fn a_branch_with_a_value_is_refused() {
        let mut payload = vec![EMPTY_STRING_CODE; 17];
        payload[16] = 5;
        let mut bytes = Vec::new();
        Header { list: true, payload_length: payload.len() }.encode(&mut bytes);
        bytes.extend(payload);
        assert_eq!(
            Node::decode(&bytes, 0).unwrap_err(),
            RlpError::Custom("branch node values are not supported")
        );
    }

    #[test]
    fn a_name_is_a_hash_or_a_short_node_and_nothing_else() {
        let list = |length: usize| {
            let mut bytes = vec![0xc0 + u8::try_from(length).unwrap()];
            bytes.resize(length + 1, EMPTY_STRING_CODE);
            RlpNode::from_raw(&bytes).unwrap()
        };
        let short_leaf = RlpNode::from_rlp(&alloy_rlp::encode(leaf(3, &[9])));
        assert!(matches!(Link::decode(&short_leaf, 61), Ok(Link::Open(_, Some(name))) if name == short_leaf));
        let string = RlpNode::from_raw(&[0x83, 1, 2, 3]).unwrap();
        let empty = RlpNode::from_raw(&[EMPTY_STRING_CODE]).unwrap();
        for name in [list(31), list(32), list(3), string, empty, RlpNode::from_raw(&[]).unwrap()] {
            assert!(Link::decode(&name, 4).is_err(), "{name:?}");
        }
    }

    #[test]
    fn trailing_bytes_are_refused() {
        let mut bytes = alloy_rlp::encode(leaf(60, &[1]));
        bytes.push(0);
        assert_eq!(Node::decode(&bytes, 4).unwrap_err(), RlpError::UnexpectedLength);
    }
}
