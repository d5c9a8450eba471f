//! The record of a trie node in a store that finds nodes by their path.
//!
//! A record is a mask of the children that are leaves, and the encoding of the node. Only branches and
//! extensions have records: the values of leaves are stored under their keys. The parent's hash proves
//! the encoding, but not the mask.

use alloy_rlp::Error as RlpError;
use alloy_trie::TrieMask;

use crate::trie::node::{Node, NodeKind, NodeLink};

/// The size of the mask in front of the encoding.
pub(super) const MASK_BYTES: usize = 2;

impl Node {
    /// Appends the record of a branch or extension; for a leaf, an empty mask and the encoding. All descendants
    /// must be hashed.
    pub(super) fn write_record(&self, record: &mut Vec<u8>) {
        record.extend(self.leaves().get().to_be_bytes());
        self.encode(record);
    }

    /// The nibbles of the children that are leaves.
    fn leaves(&self) -> TrieMask {
        let mut leaves = TrieMask::default();
        if let Self::Branch(branch) = self {
            let known = branch.children().filter(|(_, child)| child.is_leaf());
            known.for_each(|(nibble, _)| leaves.set_bit(nibble));
        }
        leaves
    }

    /// Decodes the record of a node at `depth`.
    ///
    /// # Errors
    ///
    /// If it is not the record of a branch or extension.
    pub(crate) fn from_record(record: &[u8], depth: usize) -> Result<Self, RlpError> {
        let (leaves, encoding) = record.split_first_chunk::<MASK_BYTES>().ok_or(RlpError::InputTooShort)?;
        let leaves = TrieMask::new(u16::from_be_bytes(*leaves));
        let mut node = Self::decode(encoding, depth)?;
        match &mut node {
            Self::Leaf(_) => return Err(RlpError::Custom("neither a branch nor an extension")),
            Self::Extension(extension) => extension.child.set_kind(NodeKind::Inner),
            Self::Branch(branch) => {
                for (nibble, child) in branch.children_mut() {
                    child.set_kind(if leaves.is_bit_set(nibble) { NodeKind::Leaf } else { NodeKind::Inner });
                }
            }
        }
        Ok(node)
    }
}

impl NodeLink {
    /// Sets the kind of a blinded node.
    fn set_kind(&mut self, new: NodeKind) {
        if let Self::Blinded(_, kind) = self {
            *kind = new;
        }
    }
}
