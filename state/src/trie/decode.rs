//! Decodes the nodes of a trie.
//!
//! Promises that a decoded node fits its depth: paths below it end after 64 nibbles, none of its parts is
//! empty, and a branch has at least two children. A walk therefore needs no checks of its own and ends,
//! whatever the bytes are.

use alloy_primitives::B256;
use alloy_rlp::{EMPTY_STRING_CODE, Error as RlpError, Header};
use alloy_trie::{
    TrieMask,
    nodes::{CHILD_INDEX_RANGE, RlpNode, TrieNode},
};

use crate::trie::{
    branch::Branch,
    node::{HASH_CODE, KEY_NIBBLES, MAX_REFERENCE_BYTES, Node, NodeKind, NodeLink},
    walk::Cursor,
};

/// What lies below a raw node on the path to a key.
pub(super) enum Step {
    /// Nothing: the key is absent.
    Absent,
    /// The child of a branch, by its hash, one nibble below.
    Child(B256),
    /// A decoded node, and its position: an embedded child, or the node itself if it is no branch.
    Node(NodeLink, Cursor),
}

impl Step {
    /// The step from the node that `bytes` encode, at the position of the cursor. Children of a branch that are not on
    /// the path are not decoded.
    pub(super) fn towards(bytes: &[u8], cursor: Cursor) -> Result<Self, RlpError> {
        let Some(references) = branch_references(bytes)? else {
            return Ok(Self::Node(Node::decode(bytes, cursor.depth)?.into(), cursor));
        };
        let (_, items) = branch_items(references, cursor.depth)?;
        let reference = items[usize::from(cursor.nibble())];
        if reference == [EMPTY_STRING_CODE] {
            return Ok(Self::Absent);
        }
        Ok(match NodeLink::decode(reference, cursor.depth + 1)? {
            NodeLink::Blinded(hash, _) => Self::Child(hash),
            embedded => Self::Node(embedded, cursor.below(1)),
        })
    }
}

impl NodeLink {
    /// The link at `depth` that a parent's reference describes.
    pub(super) fn decode(reference: &[u8], depth: usize) -> Result<Self, RlpError> {
        if let [HASH_CODE, hash @ ..] = reference
            && let Ok(hash) = B256::try_from(hash)
        {
            return Ok(Self::Blinded(hash, NodeKind::Unknown));
        }
        let short = RlpNode::from_raw(reference).filter(|short| short.len() < B256::len_bytes());
        let short =
            short.ok_or(RlpError::Custom("an embedded node that should be referenced by its hash"))?;
        // An embedded node is shorter than the node around it, so this recursion ends.
        Ok(Self::Revealed(Node::decode(reference, depth)?, Some(short)))
    }
}

impl Node {
    /// The node at `depth` that `bytes` encode, with the nodes embedded in it.
    pub(super) fn decode(bytes: &[u8], depth: usize) -> Result<Self, RlpError> {
        if let Some(references) = branch_references(bytes)? {
            return branch(references, depth);
        }
        match alloy_rlp::decode_exact(bytes)? {
            TrieNode::EmptyRoot => Err(RlpError::Custom("an empty node below the root")),
            TrieNode::Leaf(leaf) => {
                if depth + leaf.key.len() != KEY_NIBBLES {
                    return Err(RlpError::Custom("a leaf whose key is not 64 nibbles long"));
                }
                if leaf.value.is_empty() {
                    return Err(RlpError::Custom("a leaf without a value"));
                }
                Ok(Self::leaf(leaf.key, leaf.value))
            }
            TrieNode::Extension(extension) => {
                let below = depth + extension.key.len();
                if extension.key.is_empty() || below >= KEY_NIBBLES {
                    return Err(RlpError::Custom("an extension of no nibbles or of too many"));
                }
                Ok(Self::extension(extension.key, NodeLink::decode(&extension.child, below)?))
            }
            TrieNode::Branch(_) => Err(RlpError::Custom("a branch of two items")),
        }
    }
}

/// The items of a list of more than two items, which can only be a branch. Branches have this short way because
/// nearly all nodes are branches.
fn branch_references(bytes: &[u8]) -> Result<Option<&[u8]>, RlpError> {
    let mut payload = bytes;
    let Header { list, payload_length } = Header::decode(&mut payload)?;
    if payload_length != payload.len() {
        return Err(RlpError::UnexpectedLength);
    }
    let mut items = payload;
    for _ in 0..2 {
        if !list || items.is_empty() {
            return Ok(None);
        }
        let Header { payload_length, .. } = Header::decode(&mut items)?;
        items = items.get(payload_length..).ok_or(RlpError::InputTooShort)?;
    }
    Ok((!items.is_empty()).then_some(payload))
}

/// The branch at `depth` with these child references.
fn branch(references: &[u8], depth: usize) -> Result<Node, RlpError> {
    let (mask, items) = branch_items(references, depth)?;
    let mut children = Vec::with_capacity(mask.len());
    for nibble in mask.iter() {
        children.push(NodeLink::decode(items[usize::from(nibble)], depth + 1)?);
    }
    Ok(Node::Branch(Branch::of(mask, children)))
}

/// The nibbles that have a child, and the references of all 16 children, of the branch at `depth`.
fn branch_items(mut references: &[u8], depth: usize) -> Result<(TrieMask, [&[u8]; 16]), RlpError> {
    let (mut mask, mut items) = (TrieMask::default(), [[].as_slice(); 16]);
    for (nibble, item) in CHILD_INDEX_RANGE.zip(&mut items) {
        *item = next_reference(&mut references)?;
        if *item != [EMPTY_STRING_CODE] {
            mask.set_bit(nibble);
        }
    }
    match references {
        [EMPTY_STRING_CODE] => {}
        [] => return Err(RlpError::InputTooShort),
        [EMPTY_STRING_CODE, ..] => return Err(RlpError::UnexpectedLength),
        _ => return Err(RlpError::Custom("a branch with a value")),
    }
    if mask.len() < 2 || depth >= KEY_NIBBLES {
        return Err(RlpError::Custom("a branch of fewer than two children or too deep"));
    }
    Ok((mask, items))
}

/// The next reference. Its first byte gives its length.
fn next_reference<'r>(references: &mut &'r [u8]) -> Result<&'r [u8], RlpError> {
    let length = match *references.first().ok_or(RlpError::InputTooShort)? {
        EMPTY_STRING_CODE => 1,
        HASH_CODE => MAX_REFERENCE_BYTES,
        first => 1 + usize::from(first.saturating_sub(0xc0)),
    };
    references.split_off(..length).ok_or(RlpError::InputTooShort)
}

#[cfg(test)]
mod tests {
    use alloy_primitives::B256;
    use alloy_trie::{
        Nibbles, TrieMask,
        nodes::{BranchNode, ExtensionNode, LeafNode},
    };

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
        assert_eq!(Node::decode(&bytes, 0).unwrap_err(), RlpError::Custom("a branch with a value"));
    }

    #[test]
    fn a_reference_is_a_hash_or_a_short_node_and_nothing_else() {
        let list = |length: usize| {
            let mut bytes = vec![0xc0 + u8::try_from(length).unwrap()];
            bytes.resize(length + 1, EMPTY_STRING_CODE);
            RlpNode::from_raw(&bytes).unwrap()
        };
        let short_leaf = RlpNode::from_rlp(&alloy_rlp::encode(leaf(3, &[9])));
        assert!(
            matches!(NodeLink::decode(&short_leaf, 61), Ok(NodeLink::Revealed(_, Some(reference))) if reference == short_leaf)
        );
        let string = RlpNode::from_raw(&[0x83, 1, 2, 3]).unwrap();
        let empty = RlpNode::from_raw(&[EMPTY_STRING_CODE]).unwrap();
        for reference in [list(31), list(32), list(3), string, empty, RlpNode::from_raw(&[]).unwrap()] {
            assert!(NodeLink::decode(&reference, 4).is_err(), "{reference:?}");
        }
    }

    #[test]
    fn trailing_bytes_are_refused() {
        let mut bytes = alloy_rlp::encode(leaf(60, &[1]));
        bytes.push(0);
        assert_eq!(Node::decode(&bytes, 4).unwrap_err(), RlpError::UnexpectedLength);
    }
}
