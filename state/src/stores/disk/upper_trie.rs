//! The upper part of the accounts' trie, which nearly every block leads through: it stays in memory from
//! one block to the next.

use alloy_primitives::B256;
use alloy_trie::Nibbles;

use crate::{
    stores::disk::{DiskStore, keys::TrieId, nodes::StoredNodes},
    sync::Mutex,
    trie::{node::Link, sparse::SparseTrie},
};

/// How many bytes a branch takes in memory at most, about.
const BRANCH_BYTES: u64 = 1040;

/// How many bytes the small branches below one of the deepest take, where there are most of them: keys are
/// hashes, so of a branch's sixteen places at most 0.27 lead to a branch of two and 0.24 to one of three.
const SMALL_BYTES: u64 = 16 * 88;

/// The deepest branches that are ever kept whatever their size: there may be 70,000 of them and those above.
const DEEPEST: u32 = 4;

/// What stays in memory of a trie.
#[derive(Debug)]
pub(super) struct UpperTrie {
    /// The trie, and its root; nothing while somebody works on it, or after what they did was dropped.
    trie: Mutex<Option<(B256, Link)>>,
    depth: u32,
}

impl UpperTrie {
    /// Keeps as many levels as fit into two thirds of so many bytes, however many accounts there are.
    pub(super) fn within(bytes: u64) -> Self {
        let deepest = (0..=DEEPEST).rev().find(|depth| bytes_upto(*depth) <= bytes / 3 * 2);
        Self { trie: Mutex::new(None), depth: deepest.unwrap_or(0) }
    }

    /// How much memory it takes between blocks, at most and about.
    pub(super) fn bytes(&self) -> u64 {
        bytes_upto(self.depth)
    }

    /// Keeps what is above of a trie that was led to `keys`, which are in order.
    pub(super) fn keep(&self, root: B256, mut trie: Link, keys: &[Nibbles]) {
        trie.prune(0, self.depth as usize, keys);
        *self.trie.lock() = Some((root, trie));
    }

    fn take(&self, root: B256) -> Option<Link> {
        self.trie.lock().take().filter(|(of, _)| *of == root).map(|(_, trie)| trie)
    }
}

/// What all branches down to a depth take, and the small ones right below.
fn bytes_upto(depth: u32) -> u64 {
    let many = |depth: u32| 16u64.pow(depth);
    (0..=depth).map(many).sum::<u64>() * BRANCH_BYTES + many(depth) * SMALL_BYTES
}

impl DiskStore {
    /// The trie of the accounts, as far as it is in memory.
    pub(super) fn accounts_trie(&self) -> SparseTrie<StoredNodes<'_>> {
        let nodes = StoredNodes::new(self, TrieId::Accounts);
        match self.resident.take(self.head.root) {
            Some(trie) => SparseTrie::of(nodes, trie),
            None => SparseTrie::new(nodes, self.head.root),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stores::disk::DiskConfig;

    #[test]
    fn the_usual_cache_has_room_for_all_levels_and_more_than_that_for_the_rest() {
        let resident = UpperTrie::within(DiskConfig::CACHE_BYTES);
        assert_eq!(resident.depth, DEEPEST);
        assert!(2 * resident.bytes() < DiskConfig::CACHE_BYTES);
        assert_eq!(UpperTrie::within(0).depth, 0);
    }
}
