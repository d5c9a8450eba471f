//! Tries over nodes that are stored by path, block after block, as in the store on disk.

use std::collections::BTreeMap;

use alloy_primitives::{B256, keccak256};
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles, nodes::LeafNodeRef};
use proptest::{collection::vec, prelude::*};

use crate::trie::{
    change::{Insertion, Presence},
    error::TrieError,
    expected_leaves::ExpectedLeaves,
    node::{Node, NodeKind, NodeLink, Nodes},
    sparse::{NodeCount, SparseTrie},
    tests::full::FullTrie,
};

/// Branches and extensions by path, and the values of leaves by key.
#[derive(Clone, Default)]
struct PathStore {
    records: BTreeMap<Nibbles, Vec<u8>>,
    leaves: BTreeMap<B256, Vec<u8>>,
}

impl PathStore {
    fn leaf(&self, hash: B256, path: &Nibbles) -> Option<Node> {
        let mut from = B256::ZERO;
        path.pack_to(&mut from[..]);
        let (key, value) = self.leaves.range(from..).next()?;
        let key = Nibbles::unpack(key);
        let suffix = key.starts_with(path).then(|| key.slice(path.len()..))?;
        let mut encoded = Vec::new();
        alloy_rlp::Encodable::encode(&LeafNodeRef::new(&suffix, value), &mut encoded);
        (keccak256(encoded) == hash).then(|| Node::leaf(suffix, value.clone()))
    }

    fn inner(&self, path: &Nibbles) -> Option<Node> {
        self.records.get(path).map(|record| Node::from_record(record, path.len()).unwrap())
    }

    /// The records of a trie that is built from these leaves at once.
    fn records_of(leaves: &BTreeMap<B256, Vec<u8>>) -> BTreeMap<Nibbles, Vec<u8>> {
        let mut trie = SparseTrie::new(Self::default(), EMPTY_ROOT_HASH);
        trie.update(leaves.iter().map(|(key, value)| (*key, Some(value.clone()))).collect()).unwrap();
        trie.take_changes().written.into_iter().collect()
    }
}

impl Nodes for PathStore {
    type Error = TrieError;

    fn node(&self, hash: B256, kind: NodeKind, path: &Nibbles) -> Result<Option<Node>, TrieError> {
        Ok(match kind {
            NodeKind::Leaf => self.leaf(hash, path),
            NodeKind::Inner => self.inner(path),
            NodeKind::Unknown => self.inner(path).or_else(|| self.leaf(hash, path)),
        })
    }
}

/// Keys that diverge early, late or both, so that tries are deep and have embedded nodes.
fn key() -> impl Strategy<Value = B256> {
    let crowded = (0u8..3, 0u8..2, 0u8..3, 0u8..2, 0u8..6).prop_map(|(first, early, middle, late, last)| {
        let mut key = B256::ZERO;
        (key[0], key[1], key[16], key[30], key[31]) = (first << 4, early, middle, late << 4, last << 3);
        key
    });
    let deep = (0u8..2, 0u8..4, 0u8..3).prop_map(|(first, low, high)| {
        let mut key = B256::ZERO;
        (key[0], key[31]) = (first, low | (high << 4));
        key
    });
    prop_oneof![4 => crowded, 3 => deep, 1 => (0u8..64).prop_map(|seed| keccak256([seed]))]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![vec(1u8..128, 1..3), vec(any::<u8>(), 1..80)]
}

/// The updates of a block, whether they are applied at once, and how much of the trie stays in memory after it.
#[derive(Clone, Debug)]
struct BlockUpdates {
    updates: Vec<(B256, Option<Vec<u8>>)>,
    order: Order,
    memory_depth: Option<usize>,
}

#[derive(Clone, Copy, Debug)]
enum Order {
    AllAtOnce,
    OneByOne,
}

fn block() -> impl Strategy<Value = BlockUpdates> {
    let update = (key(), prop_oneof![1 => value().prop_map(Some), 1 => Just(None)]);
    let order = prop_oneof![Just(Order::AllAtOnce), Just(Order::OneByOne)];
    let parts = (vec(update, 1..60), order, proptest::option::of(0usize..6));
    parts.prop_map(|(updates, order, memory_depth)| BlockUpdates { updates, order, memory_depth })
}

fn presence(leaves: &BTreeMap<B256, Vec<u8>>, key: &B256) -> Presence {
    if leaves.contains_key(key) { Presence::Present } else { Presence::Unknown }
}

/// Applies the updates of a block, and returns the leaves after them.
fn apply(
    trie: &mut SparseTrie<&PathStore>,
    block: &BlockUpdates,
    mut leaves: BTreeMap<B256, Vec<u8>>,
) -> BTreeMap<B256, Vec<u8>> {
    match block.order {
        Order::AllAtOnce => {
            let last: BTreeMap<_, _> = block.updates.iter().cloned().collect();
            let insertion = |(key, value): (&B256, &Option<Vec<u8>>)| {
                Some(Insertion::new(*key, value.clone()?, presence(&leaves, key)))
            };
            let mut insertions: Vec<_> = last.iter().filter_map(insertion).collect();
            trie.insert_all(&mut insertions).unwrap();
            let mut expected = ExpectedLeaves::default();
            for Insertion { key, previous, .. } in &insertions {
                let value = leaves.get(&B256::from_slice(&key.pack()));
                expected.add(0, key, value.map_or(&[], |value| value), previous);
            }
            for (key, value) in last {
                match value {
                    Some(value) => drop(leaves.insert(key, value)),
                    None => {
                        let previous = trie.remove(key, presence(&leaves, &key)).unwrap();
                        let value = leaves.remove(&key).unwrap_or_default();
                        expected.add(1, &Nibbles::unpack(key), &value, &previous);
                    }
                }
            }
            assert!(expected.mismatched().is_empty(), "the trie returns the previous values");
        }
        Order::OneByOne => {
            for (key, value) in block.updates.iter().cloned() {
                trie.prefetch(key).unwrap();
                match value {
                    Some(value) => {
                        trie.insert(key, value.clone(), presence(&leaves, &key)).unwrap();
                        leaves.insert(key, value);
                    }
                    None => {
                        trie.remove(key, presence(&leaves, &key)).unwrap();
                        leaves.remove(&key);
                    }
                }
            }
        }
    }
    leaves
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn the_stored_records_are_those_of_a_trie_that_is_built_at_once(blocks in vec(block(), 1..8)) {
        let (mut stored, mut root, mut in_memory) = (PathStore::default(), EMPTY_ROOT_HASH, None::<NodeLink>);
        for block in blocks {
            let before = stored.clone();
            let mut trie = match in_memory.take() {
                Some(link) => SparseTrie::of(&before, link),
                None => SparseTrie::new(&before, root),
            };
            stored.leaves = apply(&mut trie, &block, stored.leaves);
            let changes = trie.take_changes();
            changes.deleted.iter().for_each(|path| drop(stored.records.remove(path)));
            stored.records.extend(changes.written);
            root = changes.root;
            prop_assert_eq!(root, FullTrie::of(&stored.leaves).root);
            prop_assert_eq!(&PathStore::records_of(&stored.leaves), &stored.records);
            let count = SparseTrie::new(&stored, root).check_stored().unwrap();
            prop_assert_eq!(count.leaves, stored.leaves.len() as u64);
            if let Some(depth) = block.memory_depth {
                let mut keys: Vec<_> = block.updates.iter().map(|(key, _)| Nibbles::unpack(key)).collect();
                keys.sort_unstable();
                let mut link = trie.into_root();
                link.prune(0, depth, &keys);
                in_memory = Some(link);
            }
        }
    }
}

#[test]
fn many_insertions_at_once_do_not_overflow_the_stack() {
    let leaves = (0..200_000u64).map(|number| (keccak256(number.to_be_bytes()), Some(vec![1])));
    let mut trie = SparseTrie::new(PathStore::default(), EMPTY_ROOT_HASH);
    trie.update(leaves.collect()).unwrap();
    assert_ne!(trie.root(), EMPTY_ROOT_HASH);
}

#[test]
fn a_changed_leaf_is_reported_missing_when_its_branch_collapses() {
    let keys = [B256::ZERO, B256::repeat_byte(0x11)];
    let mut stored = PathStore::default();
    stored.leaves.extend(keys.map(|key| (key, vec![9; 40])));
    let mut trie = SparseTrie::new(PathStore::default(), EMPTY_ROOT_HASH);
    trie.update(stored.leaves.iter().map(|(key, value)| (*key, Some(value.clone()))).collect()).unwrap();
    let changes = trie.take_changes();
    stored.records.extend(changes.written);
    stored.leaves.insert(keys[1], vec![8; 40]);
    let error = SparseTrie::new(&stored, changes.root).remove(keys[0], Presence::Present).unwrap_err();
    assert!(matches!(error, TrieError::MissingSibling { .. }), "{error}");
}

#[test]
fn a_wrong_leaf_mask_shows_in_the_number_of_leaves() {
    let mut stored = PathStore::default();
    stored.leaves.extend((0..64u8).map(|number| (keccak256([number]), vec![9; 40])));
    stored.records = PathStore::records_of(&stored.leaves);
    let root = FullTrie::of(&stored.leaves).root;
    let all = NodeCount { inner: stored.records.len() as u64, leaves: 64 };
    assert_eq!(SparseTrie::new(&stored, root).check_stored().unwrap(), all);
    // The root is a branch. The first two bytes of its record are the mask of leaves.
    let record = stored.records.get_mut(&Nibbles::new()).unwrap();
    record[..2].copy_from_slice(&[0xff; 2]);
    let count = SparseTrie::new(&stored, root).check_stored().unwrap();
    assert!(count.leaves < 64, "{count:?}");
}

/// Whether the branches on the path to a key are in memory down to this depth.
fn is_in_memory(link: &mut NodeLink, key: &Nibbles, depth: usize) -> bool {
    (0..depth)
        .try_fold(link, |link, at| match link {
            NodeLink::Revealed(Node::Branch(branch), _) => branch.child_mut(key.get(at)?),
            NodeLink::Empty | NodeLink::Blinded(..) | NodeLink::Revealed(..) => None,
        })
        .is_some_and(|link| matches!(link, NodeLink::Revealed(Node::Branch(_), _)))
}

/// The key that begins with these nibbles and ends with zeros.
fn key_of(prefix: &[u8]) -> B256 {
    let mut nibbles = [0; 64];
    nibbles[..prefix.len()].copy_from_slice(prefix);
    B256::from_slice(&Nibbles::from_nibbles(nibbles).pack())
}

/// A hashed trie of the keys that begin with these nibbles, and its nodes.
fn trie_of(prefixes: &[&[u8]]) -> (SparseTrie<PathStore>, PathStore) {
    let mut stored = PathStore::default();
    stored.leaves.extend(prefixes.iter().map(|prefix| (key_of(prefix), vec![9; 40])));
    let leaves = stored.leaves.iter().map(|(key, value)| (*key, Some(value.clone())));
    let mut trie = SparseTrie::new(PathStore::default(), EMPTY_ROOT_HASH);
    trie.update(leaves.collect()).unwrap();
    stored.records.extend(trie.take_changes().written);
    (trie, stored)
}

/// The trie without the nodes on the paths to these keys, except for those that pruning to a depth of 0 keeps.
fn pruned(prefixes: &[&[u8]], keys: &[&[u8]]) -> NodeLink {
    let mut link = trie_of(prefixes).0.into_root();
    let keys: Vec<_> = keys.iter().map(|prefix| Nibbles::unpack(key_of(prefix))).collect();
    link.prune(0, 0, &keys);
    link
}

#[test]
fn pruning_keeps_small_branches_one_level_below_the_last_depth() {
    // Below the root one branch of three leaves, one of four, and one of two branches of two leaves.
    let prefixes: [&[u8]; 11] = [
        &[1, 0],
        &[1, 1],
        &[1, 2],
        &[2, 0],
        &[2, 1],
        &[2, 2],
        &[2, 3],
        &[3, 0, 0],
        &[3, 0, 1],
        &[3, 1, 0],
        &[3, 1, 1],
    ];
    let mut link = pruned(&prefixes, &prefixes);
    let in_memory =
        |link: &mut NodeLink, path: [u8; 2], depth| is_in_memory(link, &Nibbles::from_nibbles(path), depth);
    assert!(in_memory(&mut link, [1, 0], 1), "it has three children");
    assert!(!in_memory(&mut link, [2, 0], 1), "it has four");
    assert!(in_memory(&mut link, [3, 0], 1) && !in_memory(&mut link, [3, 0], 2), "one level, and no more");
}

#[test]
fn pruning_drops_what_is_below_an_extension_and_on_the_path_to_each_key() {
    let NodeLink::Revealed(Node::Extension(extension), _) =
        pruned(&[&[5, 0], &[5, 1], &[5, 2], &[5, 3]], &[&[5, 0]])
    else {
        panic!("the root is an extension")
    };
    assert!(matches!(extension.child, NodeLink::Blinded(..)));
    let prefixes: [&[u8]; 8] = [&[1, 0], &[1, 1], &[1, 2], &[1, 3], &[2, 0], &[2, 1], &[2, 2], &[2, 3]];
    let mut link = pruned(&prefixes, &[&[1, 0], &[2, 0]]);
    for first in [1, 2] {
        assert!(!is_in_memory(&mut link, &Nibbles::from_nibbles([first, 0]), 1), "key {first}");
    }
}

/// The number of branches and extensions on the path to a key that are in memory.
fn nodes_in_memory(link: &mut NodeLink, key: &Nibbles, depth: usize) -> usize {
    let NodeLink::Revealed(node, _) = link else { return 0 };
    1 + match node {
        Node::Leaf(_) => unreachable!("no leaf is read"),
        Node::Extension(extension) => {
            nodes_in_memory(&mut extension.child, key, depth + extension.segment.len())
        }
        Node::Branch(branch) => branch
            .child_mut(key.get(depth).unwrap())
            .map_or(0, |child| nodes_in_memory(child, key, depth + 1)),
    }
}

#[test]
fn a_prefetch_reads_the_branches_and_extensions_on_the_path_and_no_leaf() {
    let (mut trie, stored) = trie_of(&[&[1, 2, 3, 0], &[1, 2, 3, 1], &[4]]);
    // A branch, an extension, a branch; the last path leaves the extension, and all nodes are on the first one.
    for (read, count) in [(&[1, 2, 3, 0][..], 3), (&[4], 1), (&[7], 1), (&[1, 2, 4], 2)] {
        let mut prefetched = SparseTrie::new(&stored, trie.root());
        prefetched.prefetch(key_of(read)).unwrap();
        let key = Nibbles::unpack(key_of(&[1, 2, 3, 0]));
        assert_eq!(nodes_in_memory(&mut prefetched.into_root(), &key, 0), count, "{read:?}");
    }
}
