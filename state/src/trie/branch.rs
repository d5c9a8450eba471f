//! A place where keys part: which ways lead on from it, and what stands on each.
//!
//! Most branches have few children, so only those that there are take room.

use alloy_rlp::EMPTY_STRING_CODE;
use alloy_trie::{TrieMask, nodes::CHILD_INDEX_RANGE};

use crate::trie::node::Link;

/// A branch of a trie.
#[derive(Debug, Default)]
pub(crate) struct Branch {
    /// Which children it has.
    held: TrieMask,
    /// Those, in order.
    children: Box<[Link]>,
    #[expect(dead_code, reason = "the values that it cannot have are what it is for")]
    kind: BranchKind,
}

/// That it is a branch: a value that leaves others free, by which a node that is no branch is told without a
/// word of its own. So a child takes one cache line.
#[derive(Clone, Copy, Debug, Default)]
#[repr(u8)]
enum BranchKind {
    #[default]
    Branch,
}

impl Branch {
    /// The branch with these children, in order, and no others.
    pub(super) fn of(held: TrieMask, children: Vec<Link>) -> Self {
        assert_eq!(held.len(), children.len(), "each child has its nibble");
        Self { held, children: children.into_boxed_slice(), kind: BranchKind::Branch }
    }

    /// How many children it has.
    pub(super) fn len(&self) -> usize {
        self.children.len()
    }

    /// The child with this nibble.
    pub(super) fn child_mut(&mut self, nibble: u8) -> Option<&mut Link> {
        self.held.is_bit_set(nibble).then(|| &mut self.children[place_of(self.held, nibble)])
    }

    /// Its children, with their nibbles and in order.
    pub(super) fn children(&self) -> impl Iterator<Item = (u8, &Link)> {
        self.held.iter().zip(&self.children)
    }

    /// Its children, with their nibbles and in order.
    pub(super) fn children_mut(&mut self) -> impl Iterator<Item = (u8, &mut Link)> {
        self.held.iter().zip(&mut self.children)
    }

    /// Has a child with each of these nibbles, where nothing stands yet if there was none.
    pub(super) fn make_room(&mut self, wanted: TrieMask) {
        if wanted.is_subset_of(self.held) {
            return;
        }
        let Self { held, children, .. } = std::mem::take(self);
        let all = TrieMask::new(held.get() | wanted.get());
        let (mut room, mut held) = (Vec::with_capacity(all.len()), held.iter().zip(children).peekable());
        for nibble in all.iter() {
            room.push(held.next_if(|(other, _)| *other == nibble).map_or(Link::Empty, |(_, child)| child));
        }
        *self = Self::of(all, room);
    }

    /// Has no child with this nibble any more.
    pub(super) fn drop_child(&mut self, nibble: u8) {
        if self.held.is_bit_set(nibble) {
            let mut children = Vec::from(std::mem::take(&mut self.children));
            children.remove(place_of(self.held, nibble));
            self.held.unset_bit(nibble);
            *self = Self::of(self.held, children);
        }
    }

    /// Its only child; `None` if it has more.
    pub(super) fn only_child_mut(&mut self) -> Option<(u8, &mut Link)> {
        let mut children = self.children_mut();
        children.next().filter(|_| children.next().is_none())
    }

    /// How many bytes the names of its children take.
    pub(super) fn references_length(&self) -> usize {
        let absent = CHILD_INDEX_RANGE.len() - self.len();
        absent + self.children.iter().map(Link::reference_length).sum::<usize>()
    }

    /// Appends the names of its children, and of those that it could have.
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

/// Where the child with this nibble is among those that there are.
fn place_of(held: TrieMask, nibble: u8) -> usize {
    (held.get() & ((1 << nibble) - 1)).count_ones() as usize
}

#[cfg(test)]
mod tests {
    use alloy_primitives::B256;

    use super::*;
    use crate::trie::node::NodeKind;

    fn link(number: u8) -> Link {
        Link::Blinded(B256::repeat_byte(number), NodeKind::Leaf)
    }

    fn numbers(branch: &Branch) -> Vec<(u8, Option<u8>)> {
        let number = |child: &Link| match child {
            Link::Blinded(hash, _) => Some(hash[0]),
            Link::Empty | Link::Revealed(..) => None,
        };
        branch.children().map(|(nibble, child)| (nibble, number(child))).collect()
    }

    #[test]
    fn each_child_stands_under_its_nibble_whatever_comes_and_goes() {
        let mut branch = Branch::of(TrieMask::new(1 | 1 << 7 | 1 << 15), [1, 2, 3].map(link).into());
        assert!(branch.child_mut(8).is_none() && branch.only_child_mut().is_none());
        branch.make_room(TrieMask::new(1 << 7 | 1 << 8 | 1 << 1));
        assert_eq!(numbers(&branch), [(0, Some(1)), (1, None), (7, Some(2)), (8, None), (15, Some(3))]);
        *branch.child_mut(8).unwrap() = link(4);
        [1, 0, 15, 3].into_iter().for_each(|nibble| branch.drop_child(nibble));
        assert_eq!(numbers(&branch), [(7, Some(2)), (8, Some(4))]);
        branch.drop_child(8);
        assert_eq!(branch.only_child_mut().map(|(nibble, _)| nibble), Some(7));
        assert_eq!(branch.len(), 1);
    }

    #[test]
    fn a_child_takes_one_cache_line() {
        assert_eq!(size_of::<Link>(), 64);
    }

    #[test]
    fn what_is_absent_has_a_name_as_well() {
        for nibbles in [&[0, 15][..], &[3, 4, 9], &[15], &[0], &[]] {
            let mut branch = Branch::default();
            nibbles.iter().for_each(|nibble| branch.make_room(TrieMask::from_nibble(*nibble)));
            branch.children_mut().for_each(|(_, child)| *child = link(9));
            let mut names = Vec::new();
            branch.write_references(&mut names);
            assert_eq!(names.len(), branch.references_length());
            assert_eq!(names.len(), 16 + 32 * nibbles.len());
            let mut at = 0;
            for nibble in 0..16 {
                let is_held = nibbles.contains(&nibble);
                assert_eq!(names[at], if is_held { EMPTY_STRING_CODE + 32 } else { EMPTY_STRING_CODE });
                at += if is_held { 33 } else { 1 };
            }
        }
    }
}
