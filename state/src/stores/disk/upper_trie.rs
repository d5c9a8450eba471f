//! The upper part of the account trie, which nearly every block reads: it stays in memory between blocks.

use alloy_primitives::B256;
use alloy_trie::Nibbles;

use crate::{
    stores::disk::{DiskStore, keys::TrieId, nodes::StoredNodes},
    sync::Mutex,
    trie::{node::NodeLink, sparse::SparseTrie},
};

/// The approximate largest size of a branch in memory.
const BRANCH_BYTES: u64 = 1040;

/// The approximate largest size of the small branches below one of the deepest branches: keys are hashes, so at most
/// 0.27 of a branch's 16 children are branches of two and 0.24 are branches of three.
const SMALL_BYTES: u64 = 16 * 88;

/// The largest depth whose branches are all kept: there are at most 70,000 branches down to it.
const DEEPEST: u32 = 4;

/// The upper part of a trie in memory.
#[derive(Debug)]
pub(super) struct UpperTrie {
    /// The trie and its root; `None` while it is taken, and after a taken trie was dropped.
    trie: Mutex<Option<(B256, NodeLink)>>,
    depth: u32,
}

impl UpperTrie {
    /// Keeps as many levels as fit into two thirds of this many bytes for any number of accounts.
    pub(super) fn within(bytes: u64) -> Self {
        let deepest = (0..=DEEPEST).rev().find(|depth| bytes_up_to(*depth) <= bytes / 3 * 2);
        Self { trie: Mutex::new(None), depth: deepest.unwrap_or(0) }
    }

    /// The approximate largest memory use between blocks.
    pub(super) fn bytes(&self) -> u64 {
        bytes_up_to(self.depth)
    }

    /// Keeps the upper part of a trie. `keys` are the accessed keys, in order.
    pub(super) fn keep(&self, root: B256, mut trie: NodeLink, keys: &[Nibbles]) {
        trie.prune(0, self.depth as usize, keys);
        *self.trie.lock() = Some((root, trie));
    }

    fn take(&self, root: B256) -> Option<NodeLink> {
        self.trie.lock().take().filter(|(of, _)| *of == root).map(|(_, trie)| trie)
    }
}

/// The memory of all branches down to a depth, and of the small branches one level below.
fn bytes_up_to(depth: u32) -> u64 {
    let many = |depth: u32| 16u64.pow(depth);
    (0..=depth).map(many).sum::<u64>() * BRANCH_BYTES + many(depth) * SMALL_BYTES
}

impl DiskStore {
    /// The account trie, with the part that is in memory.
    pub(super) fn accounts_trie(&self) -> SparseTrie<StoredNodes<'_>> {
        let nodes = StoredNodes::new(self, TrieId::Accounts);
        let root = self.root();
        match self.upper_trie.take(root) {
            Some(trie) => SparseTrie::of(nodes, trie),
            None => SparseTrie::new(nodes, root),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stores::disk::DiskConfig;

    #[test]
    fn the_default_cache_holds_all_levels_in_less_than_half_of_its_size() {
        let upper_trie = UpperTrie::within(DiskConfig::CACHE_BYTES);
        assert_eq!(upper_trie.depth, DEEPEST);
        assert!(2 * upper_trie.bytes() < DiskConfig::CACHE_BYTES);
        assert_eq!(UpperTrie::within(0).depth, 0);
    }

    #[test]
    fn two_thirds_of_the_cache_hold_the_levels_that_are_kept() {
        // One branch of 1040 bytes and its small branches; 17 and 16; 273 and 256.
        for (depth, bytes) in
            [2448u64, 17 * 1040 + 16 * 1408, 273 * 1040 + 256 * 1408].into_iter().enumerate()
        {
            let kept = |bytes| UpperTrie::within(bytes);
            let enough = bytes.div_ceil(2) * 3;
            assert_eq!((kept(enough).depth as usize, kept(enough).bytes()), (depth, bytes));
            assert_eq!(kept(enough - 3).depth as usize, depth.saturating_sub(1), "{bytes}");
        }
    }

    #[test]
    fn the_kept_trie_is_taken_once_and_only_for_its_root() {
        let upper_trie = UpperTrie::within(0);
        let [root, other] = [1, 2].map(B256::repeat_byte);
        let is_taken = |root| upper_trie.take(root).is_some();
        assert!(!is_taken(root));
        upper_trie.keep(root, NodeLink::Empty, &[]);
        assert!(is_taken(root) && !is_taken(root));
        upper_trie.keep(root, NodeLink::Empty, &[]);
        assert!(!is_taken(other) && !is_taken(root), "a trie of another root is dropped");
    }
}
