//! A branch node: its children by nibble.
//!
//! Most branches have few children, so only the present children take memory.

use alloy_rlp::EMPTY_STRING_CODE;
use alloy_trie::{TrieMask, nodes::CHILD_INDEX_RANGE};

use crate::trie::node::NodeLink;

/// A branch of a trie.
#[derive(Debug, Default)]
pub(crate) struct Branch {
    /// The nibbles that have a child.
    mask: TrieMask,
    /// The present children, in order of their nibbles.
    children: Box<[NodeLink]>,
    #[expect(dead_code, reason = "only its unused values matter: they are a niche")]
    kind: BranchKind,
}

/// A niche: its unused values mark the other variants of an enum, so that no separate tag is needed and a child
/// takes one cache line.
#[derive(Clone, Copy, Debug, Default)]
#[repr(u8)]
enum BranchKind {
    #[default]
    Branch,
}

impl Branch {
    /// A branch with exactly these children, in order.
    pub(super) fn of(mask: TrieMask, children: Vec<NodeLink>) -> Self {
        assert_eq!(mask.len(), children.len(), "each child has one nibble");
        Self { mask, children: children.into_boxed_slice(), kind: BranchKind::Branch }
    }

    /// The number of children.
    pub(super) fn len(&self) -> usize {
        self.children.len()
    }

    /// The child with this nibble.
    pub(super) fn child_mut(&mut self, nibble: u8) -> Option<&mut NodeLink> {
        self.mask.is_bit_set(nibble).then(|| &mut self.children[position(self.mask, nibble)])
    }

    /// The children with their nibbles, in order.
    pub(super) fn children(&self) -> impl Iterator<Item = (u8, &NodeLink)> {
        self.mask.iter().zip(&self.children)
    }

    /// The children with their nibbles, in order.
    pub(super) fn children_mut(&mut self) -> impl Iterator<Item = (u8, &mut NodeLink)> {
        self.mask.iter().zip(&mut self.children)
    }

    /// Adds an empty child for each of these nibbles that has none.
    pub(super) fn add_children(&mut self, wanted: TrieMask) {
        if wanted.is_subset_of(self.mask) {
            return;
        }
        let Self { mask, children, .. } = std::mem::take(self);
        let all = TrieMask::new(mask.get() | wanted.get());
        let (mut links, mut mask) = (Vec::with_capacity(all.len()), mask.iter().zip(children).peekable());
        for nibble in all.iter() {
            links.push(
                mask.next_if(|(other, _)| *other == nibble).map_or(NodeLink::Empty, |(_, child)| child),
            );
        }
        *self = Self::of(all, links);
    }

    /// Removes the child with this nibble.
    pub(super) fn remove_child(&mut self, nibble: u8) {
        if self.mask.is_bit_set(nibble) {
            let mut children = Vec::from(std::mem::take(&mut self.children));
            children.remove(position(self.mask, nibble));
            self.mask.unset_bit(nibble);
            *self = Self::of(self.mask, children);
        }
    }

    /// The only child; `None` if there are more.
    pub(super) fn only_child_mut(&mut self) -> Option<(u8, &mut NodeLink)> {
        let mut children = self.children_mut();
        children.next().filter(|_| children.next().is_none())
    }

    /// The size of all 16 child references, in bytes.
    pub(super) fn references_length(&self) -> usize {
        let absent = CHILD_INDEX_RANGE.len() - self.len();
        absent + self.children.iter().map(NodeLink::reference_length).sum::<usize>()
    }

    /// Appends all 16 child references; that of an absent child is an empty string.
    pub(super) fn write_references(&self, encoded: &mut Vec<u8>) {
        let mut after = 0;
        for (nibble, child) in self.children() {
            encoded.resize(encoded.len() + usize::from(nibble - after), EMPTY_STRING_CODE);
            child.write_reference(encoded);
            after = nibble + 1;
        }
        encoded.resize(encoded.len() + usize::from(CHILD_INDEX_RANGE.end - after), EMPTY_STRING_CODE);
    }
}

/// The position of the child with this nibble among the present children.
fn position(mask: TrieMask, nibble: u8) -> usize {
    (mask.get() & ((1 << nibble) - 1)).count_ones() as usize
}

#[cfg(test)]
mod tests {
    use alloy_primitives::B256;

    use super::*;
    use crate::trie::node::NodeKind;

    fn link(number: u8) -> NodeLink {
        NodeLink::Blinded(B256::repeat_byte(number), NodeKind::Leaf)
    }

    fn numbers(branch: &Branch) -> Vec<(u8, Option<u8>)> {
        let number = |child: &NodeLink| match child {
            NodeLink::Blinded(hash, _) => Some(hash[0]),
            NodeLink::Empty | NodeLink::Revealed(..) => None,
        };
        branch.children().map(|(nibble, child)| (nibble, number(child))).collect()
    }

    #[test]
    fn each_child_keeps_its_nibble_when_others_are_added_and_removed() {
        let mut branch = Branch::of(TrieMask::new(1 | 1 << 7 | 1 << 15), [1, 2, 3].map(link).into());
        assert!(branch.child_mut(8).is_none() && branch.only_child_mut().is_none());
        branch.add_children(TrieMask::new(1 << 7 | 1 << 8 | 1 << 1));
        assert_eq!(numbers(&branch), [(0, Some(1)), (1, None), (7, Some(2)), (8, None), (15, Some(3))]);
        *branch.child_mut(8).unwrap() = link(4);
        [1, 0, 15, 3].into_iter().for_each(|nibble| branch.remove_child(nibble));
        assert_eq!(numbers(&branch), [(7, Some(2)), (8, Some(4))]);
        branch.remove_child(8);
        assert_eq!(branch.only_child_mut().map(|(nibble, _)| nibble), Some(7));
        assert_eq!(branch.len(), 1);
    }

    #[test]
    fn a_child_takes_one_cache_line() {
        assert_eq!(size_of::<NodeLink>(), 64);
    }

    #[test]
    fn an_absent_child_has_a_reference_as_well() {
        for nibbles in [&[0, 15][..], &[3, 4, 9], &[15], &[0], &[]] {
            let mut branch = Branch::default();
            nibbles.iter().for_each(|nibble| branch.add_children(TrieMask::from_nibble(*nibble)));
            branch.children_mut().for_each(|(_, child)| *child = link(9));
            let mut references = Vec::new();
            branch.write_references(&mut references);
            assert_eq!(references.len(), branch.references_length());
            assert_eq!(references.len(), 16 + 32 * nibbles.len());
            let mut at = 0;
            for nibble in 0..16 {
                let is_present = nibbles.contains(&nibble);
                assert_eq!(
                    references[at],
                    if is_present { EMPTY_STRING_CODE + 32 } else { EMPTY_STRING_CODE }
                );
                at += if is_present { 33 } else { 1 };
            }
        }
    }
}
