//! How a node of a trie is kept where nodes are found by their path.
//!
//! Branches and extensions are kept, leaves are not: what a leaf holds is kept anyway, under its key. So
//! before the encoding of a node stands which of its children are leaves. Everything else is what the
//! parent's hash vouches for.

use alloy_rlp::Error as RlpError;
use alloy_trie::TrieMask;

use crate::trie::node::{Link, Node, NodeKind};

/// How many bytes stand before the encoding.
pub(super) const MASK_BYTES: usize = 2;

impl Node {
    /// Appends its record, if it is a branch or an extension; of a leaf the encoding with as many bytes before
    /// it. All that is below it must be named.
    pub(super) fn write_record(&self, record: &mut Vec<u8>) {
        record.extend(self.leaves().get().to_be_bytes());
        self.encode(record);
    }

    /// Which of its children are leaves.
    fn leaves(&self) -> TrieMask {
        let mut leaves = TrieMask::default();
        if let Self::Branch(branch) = self {
            let known = branch.children().filter(|(_, child)| child.is_leaf());
            known.for_each(|(nibble, _)| leaves.set_bit(nibble));
        }
        leaves
    }

    /// The node at `depth` that a record keeps.
    ///
    /// # Errors
    ///
    /// If no node has such a record.
    pub(crate) fn from_record(record: &[u8], depth: usize) -> Result<Self, RlpError> {
        let (leaves, encoding) = record.split_first_chunk::<MASK_BYTES>().ok_or(RlpError::InputTooShort)?;
        let leaves = TrieMask::new(u16::from_be_bytes(*leaves));
        let mut node = Self::decode(encoding, depth)?;
        match &mut node {
            Self::Leaf(_) => return Err(RlpError::Custom("neither a branch nor an extension")),
            Self::Extension(extension) => extension.child.know(NodeKind::Inner),
            Self::Branch(branch) => {
                for (nibble, child) in branch.children_mut() {
                    child.know(if leaves.is_bit_set(nibble) { NodeKind::Leaf } else { NodeKind::Inner });
                }
            }
        }
        Ok(node)
    }
}

impl Link {
    /// Somebody knows what it is.
    fn know(&mut self, sort: NodeKind) {
        if let Self::Blinded(_, known) = self {
            *known = sort;
        }
    }
}
