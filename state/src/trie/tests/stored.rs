//! For the tests: tries whose nodes are kept by their path, block after block, as a store does it.

use std::collections::BTreeMap;

use alloy_primitives::{B256, keccak256};
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles, nodes::LeafNodeRef};
use proptest::{collection::vec, prelude::*};

use crate::trie::{
    change::{Insertion, Presence},
    expected_leaves::ExpectedLeaves,
    error::TrieError,
    node::{Link, Node, Nodes, NodeKind},
    sparse::SparseTrie,
    tests::full::FullTrie,
};

/// Branches and extensions by their path, and what leaves hold by their key.
#[derive(Clone, Default)]
struct Kept {
    records: BTreeMap<Nibbles, Vec<u8>>,
    leaves: BTreeMap<B256, Vec<u8>>,
}

impl Kept {
    fn leaf(&self, hash: B256, path: &Nibbles) -> Option<Node> {
        let mut from = B256::ZERO;
        path.pack_to(&mut from[..]);
        let (key, value) = self.leaves.range(from..).next()?;
        let way = Nibbles::unpack(key);
        let rest = way.starts_with(path).then(|| way.slice(path.len()..))?;
        let mut encoded = Vec::new();
        alloy_rlp::Encodable::encode(&LeafNodeRef::new(&rest, value), &mut encoded);
        (keccak256(encoded) == hash).then(|| Node::leaf(rest, value.clone()))
    }

    fn inner(&self, path: &Nibbles) -> Option<Node> {
        self.records.get(path).map(|record| Node::from_record(record, path.len()).unwrap())
    }

    /// What would be kept if everything had been put in at once.
    fn anew(leaves: &BTreeMap<B256, Vec<u8>>) -> BTreeMap<Nibbles, Vec<u8>> {
        let mut trie = SparseTrie::new(Self::default(), EMPTY_ROOT_HASH);
        trie.update(leaves.iter().map(|(key, value)| (*key, Some(value.clone()))).collect()).unwrap();
        trie.take_changes().written.into_iter().collect()
    }
}

impl Nodes for Kept {
    type Error = TrieError;

    fn node(&self, hash: B256, sort: NodeKind, path: &Nibbles) -> Result<Option<Node>, TrieError> {
        Ok(match sort {
            NodeKind::Leaf => self.leaf(hash, path),
            NodeKind::Inner => self.inner(path),
            NodeKind::Unknown => self.inner(path).or_else(|| self.leaf(hash, path)),
        })
    }
}

/// Keys that part early, late or both, so that tries get deep and hold short nodes within others.
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

/// What happens to some keys, whether all at once, and how much of the trie stays in memory.
#[derive(Clone, Debug)]
struct Block {
    updates: Vec<(B256, Option<Vec<u8>>)>,
    order: Order,
    kept_depth: Option<usize>,
}

#[derive(Clone, Copy, Debug)]
enum Order {
    AllAtOnce,
    OneByOne,
}

fn block() -> impl Strategy<Value = Block> {
    let update = (key(), prop_oneof![1 => value().prop_map(Some), 1 => Just(None)]);
    let order = prop_oneof![Just(Order::AllAtOnce), Just(Order::OneByOne)];
    let parts = (vec(update, 1..60), order, proptest::option::of(0usize..6));
    parts.prop_map(|(updates, order, kept_depth)| Block { updates, order, kept_depth })
}

fn presence(leaves: &BTreeMap<B256, Vec<u8>>, key: &B256) -> Presence {
    if leaves.contains_key(key) { Presence::Present } else { Presence::Unknown }
}

/// Makes the updates of a block, and says what the leaves hold after them.
fn make(
    trie: &mut SparseTrie<&Kept>,
    block: &Block,
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
            let mut claims = ExpectedLeaves::default();
            for Insertion { key, found, .. } in &insertions {
                let held = leaves.get(&B256::from_slice(&key.pack()));
                claims.add(0, key, held.map_or(&[], |held| held), found);
            }
            for (key, value) in last {
                match value {
                    Some(value) => drop(leaves.insert(key, value)),
                    None => {
                        let found = trie.remove(key, presence(&leaves, &key)).unwrap();
                        let held = leaves.remove(&key).unwrap_or_default();
                        claims.add(1, &Nibbles::unpack(key), &held, &found);
                    }
                }
            }
            assert!(claims.refuted().is_empty(), "what is found is what was there");
        }
        Order::OneByOne => {
            for (key, value) in block.updates.iter().cloned() {
                trie.look_up(key).unwrap();
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
    fn what_is_kept_is_what_would_be_kept_of_the_whole_trie(blocks in vec(block(), 1..8)) {
        let (mut kept, mut root, mut resident) = (Kept::default(), EMPTY_ROOT_HASH, None::<Link>);
        for block in blocks {
            let before = kept.clone();
            let mut trie = match resident.take() {
                Some(link) => SparseTrie::of(&before, link),
                None => SparseTrie::new(&before, root),
            };
            kept.leaves = make(&mut trie, &block, kept.leaves);
            let changes = trie.take_changes();
            changes.gone.iter().for_each(|path| drop(kept.records.remove(path)));
            kept.records.extend(changes.written);
            root = changes.root;
            prop_assert_eq!(root, FullTrie::of(&kept.leaves).root);
            prop_assert_eq!(&Kept::anew(&kept.leaves), &kept.records);
            let count = SparseTrie::new(&kept, root).check_stored().unwrap();
            prop_assert_eq!(count.leaves, kept.leaves.len() as u64);
            if let Some(depth) = block.kept_depth {
                let mut keys: Vec<_> = block.updates.iter().map(|(key, _)| Nibbles::unpack(key)).collect();
                keys.sort_unstable();
                let mut link = trie.into_root();
                link.prune(0, depth, &keys);
                resident = Some(link);
            }
        }
    }
}

#[test]
fn many_insertions_at_once_take_no_more_of_the_stack() {
    let leaves = (0..200_000u64).map(|number| (keccak256(number.to_be_bytes()), Some(vec![1])));
    let mut trie = SparseTrie::new(Kept::default(), EMPTY_ROOT_HASH);
    trie.update(leaves.collect()).unwrap();
    assert_ne!(trie.root(), EMPTY_ROOT_HASH);
}

#[test]
fn a_leaf_that_is_not_what_its_branch_says_is_missed_when_the_branch_collapses() {
    let keys = [B256::ZERO, B256::repeat_byte(0x11)];
    let mut kept = Kept::default();
    kept.leaves.extend(keys.map(|key| (key, vec![9; 40])));
    let mut trie = SparseTrie::new(Kept::default(), EMPTY_ROOT_HASH);
    trie.update(kept.leaves.iter().map(|(key, value)| (*key, Some(value.clone()))).collect()).unwrap();
    let changes = trie.take_changes();
    kept.records.extend(changes.written);
    kept.leaves.insert(keys[1], vec![8; 40]);
    let error = SparseTrie::new(&kept, changes.root).remove(keys[0], Presence::Present).unwrap_err();
    assert!(matches!(error, TrieError::Missing { .. }), "{error}");
}

#[test]
fn a_branch_that_takes_a_branch_for_a_leaf_shows_in_the_number_of_leaves() {
    let mut kept = Kept::default();
    kept.leaves.extend((0..64u8).map(|number| (keccak256([number]), vec![9; 40])));
    kept.records = Kept::anew(&kept.leaves);
    let root = FullTrie::of(&kept.leaves).root;
    assert_eq!(SparseTrie::new(&kept, root).check_stored().unwrap().leaves, 64);
    // The root is a branch; the first two bytes of its record say which children are leaves.
    let record = kept.records.get_mut(&Nibbles::new()).unwrap();
    record[..2].copy_from_slice(&[0xff; 2]);
    let count = SparseTrie::new(&kept, root).check_stored().unwrap();
    assert!(count.leaves < 64, "{count:?}");
}

/// Whether something is known of the way to a key down to a depth without asking anybody.
fn is_at_hand(link: &mut Link, key: &Nibbles, depth: usize) -> bool {
    (0..depth)
        .try_fold(link, |link, at| match link {
            Link::Revealed(Node::Branch(branch), _) => branch.child_mut(key.get(at)?),
            Link::Empty | Link::Blinded(..) | Link::Revealed(..) => None,
        })
        .is_some_and(|link| matches!(link, Link::Revealed(Node::Branch(_), _)))
}

#[test]
fn small_branches_right_below_those_that_stay_stay_as_well() {
    // Below the root one branch of three leaves, one of four, and one of two branches of two leaves.
    let ways: [&[u8]; 11] = [
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
    let mut keys = ways.map(|way| {
        let mut nibbles = [0; 64];
        nibbles[..way.len()].copy_from_slice(way);
        Nibbles::from_nibbles(nibbles)
    });
    keys.sort_unstable();
    let leaves = keys.iter().map(|key| (B256::from_slice(&key.pack()), Some(vec![9; 40])));
    let mut trie = SparseTrie::new(Kept::default(), EMPTY_ROOT_HASH);
    trie.update(leaves.collect()).unwrap();
    trie.take_changes();
    let mut link = trie.into_root();
    link.prune(0, 0, &keys);
    let at_hand = |link: &mut Link, way: [u8; 2], depth| is_at_hand(link, &Nibbles::from_nibbles(way), depth);
    assert!(at_hand(&mut link, [1, 0], 1), "it has three children");
    assert!(!at_hand(&mut link, [2, 0], 1), "it has four");
    assert!(at_hand(&mut link, [3, 0], 1) && !at_hand(&mut link, [3, 0], 2), "one level, and no more");
}
