//! How a node of a trie is kept where nodes are found by their path.
//!
//! Branches and extensions are kept, leaves are not: what a leaf holds is kept anyway, under its key. So
//! a branch says which of its children are leaves. Everything else of it is what its parent's hash
//! vouches for.

use alloy_rlp::{EMPTY_STRING_CODE, Error as RlpError};
use alloy_trie::{Nibbles, TrieMask, nodes::RlpNode};

use super::node::{KEY_NIBBLES, Link, Node, Sort};

/// The first byte of each sort of record.
const BRANCH: u8 = 1;
const EXTENSION: u8 = 2;

/// The record of a node, all of whose children must be named; `None` for a leaf.
pub(super) fn record(node: &Node) -> Option<Vec<u8>> {
    match node {
        Node::Leaf(..) => None,
        Node::Extension(path, child) => {
            let mut record = vec![EXTENSION, u8::try_from(path.len()).expect("a path is short")];
            record.extend(path.to_vec());
            child.write_name(&mut record);
            Some(record)
        }
        Node::Branch(children) => {
            let [mut mask, mut leaves] = [TrieMask::default(); 2];
            let mut record = Vec::with_capacity(5 + 33 * children.len());
            record.extend([BRANCH, 0, 0, 0, 0]);
            for (nibble, child) in (0u8..).zip(children.iter()) {
                if !matches!(child, Link::Empty) {
                    mask.set_bit(nibble);
                    child.write_name(&mut record);
                }
                if child.is_leaf() {
                    leaves.set_bit(nibble);
                }
            }
            record[1..3].copy_from_slice(&mask.get().to_be_bytes());
            record[3..5].copy_from_slice(&leaves.get().to_be_bytes());
            Some(record)
        }
    }
}

impl Node {
    /// The node at `depth` that a record keeps.
    ///
    /// # Errors
    ///
    /// If no node has such a record.
    pub(crate) fn from_record(record: &[u8], depth: usize) -> Result<Self, RlpError> {
        match record {
            [EXTENSION, length, rest @ ..] => extension(usize::from(*length), rest, depth),
            [BRANCH, m0, m1, l0, l1, names @ ..] => {
                let [mask, leaves] =
                    [[*m0, *m1], [*l0, *l1]].map(|bytes| TrieMask::new(u16::from_be_bytes(bytes)));
                branch(mask, leaves, names, depth)
            }
            _ => Err(RlpError::Custom("neither a branch nor an extension")),
        }
    }
}

fn extension(length: usize, rest: &[u8], depth: usize) -> Result<Node, RlpError> {
    let (path, mut name) = rest.split_at_checked(length).ok_or(RlpError::InputTooShort)?;
    if path.is_empty() || depth + length >= KEY_NIBBLES || path.iter().any(|nibble| *nibble > 0xf) {
        return Err(RlpError::Custom("an extension of no nibbles or of too many"));
    }
    let child = link(&mut name, Sort::Inner, depth + length)?;
    if name.is_empty() {
        Ok(Node::Extension(Nibbles::from_nibbles(path), child))
    } else {
        Err(RlpError::UnexpectedLength)
    }
}

fn branch(mask: TrieMask, leaves: TrieMask, mut names: &[u8], depth: usize) -> Result<Node, RlpError> {
    if mask.count_ones() < 2 || depth >= KEY_NIBBLES {
        return Err(RlpError::Custom("a branch of fewer than two children or too deep"));
    }
    let mut children = Box::new([const { Link::Empty }; 16]);
    for (nibble, child) in (0u8..).zip(children.iter_mut()).filter(|(nibble, _)| mask.is_bit_set(*nibble)) {
        let sort = if leaves.is_bit_set(nibble) { Sort::Leaf } else { Sort::Inner };
        *child = link(&mut names, sort, depth + 1)?;
    }
    if names.is_empty() { Ok(Node::Branch(children)) } else { Err(RlpError::UnexpectedLength) }
}

/// The child that the next name is of, which says itself how long it is.
fn link(names: &mut &[u8], sort: Sort, depth: usize) -> Result<Link, RlpError> {
    const HASH: u8 = EMPTY_STRING_CODE + 32;
    let length = match names.first() {
        Some(&HASH) => 33,
        Some(first @ 0xc0..=0xde) => usize::from(first - 0xc0) + 1,
        _ => return Err(RlpError::Custom("neither a hash nor a short node")),
    };
    let (name, rest) = names.split_at_checked(length).ok_or(RlpError::InputTooShort)?;
    *names = rest;
    let name = RlpNode::from_raw(name).expect("a name is no longer than a hash and a byte");
    match Link::decode(&name, depth)? {
        Link::Sealed(hash, _) => Ok(Link::Sealed(hash, sort)),
        open => Ok(open),
    }
}
