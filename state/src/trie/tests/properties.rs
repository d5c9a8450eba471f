//! Properties of sparse tries and witnesses, compared with full tries and a full state.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_trie::{
    EMPTY_ROOT_HASH, Nibbles, TrieMask,
    nodes::{BranchNode, ExtensionNode, RlpNode, TrieNode},
    proof::verify_proof,
};
use proptest::{
    collection::{btree_map, btree_set, vec},
    prelude::*,
    sample::Index,
};
use revm_database_interface::DatabaseRef;

use crate::{
    model::{
        accesses::Accesses,
        account::Account,
        allocation::Allocation,
        changes::{AccountChange, Change, Changes, Life},
    },
    stores::{memory::MemoryStore, witness::WitnessStore},
    trie::{
        change::Presence,
        error::{TrieError, WitnessError},
        node::UnknownSibling,
        node_index::NodeIndex,
        sparse::{SparseTrie, Update},
        tests::full::{FullTrie, Leaves, Updates},
        witness::Witness,
    },
};

/// Keys of few different nibbles that diverge early, late or both, so that tries are deep, have long
/// extensions and embedded nodes; and some real hashes.
fn key() -> impl Strategy<Value = B256> {
    let crowded = (0u8..3, 0u8..2, 0u8..3, 0u8..2, 0u8..6).prop_map(|(first, early, middle, late, last)| {
        let mut key = B256::ZERO;
        (key[0], key[1], key[16], key[30], key[31]) = (first << 4, early, middle, late << 4, last << 3);
        key
    });
    prop_oneof![4 => crowded, 1 => (0u8..64).prop_map(|seed| keccak256([seed]))]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![vec(1u8..128, 1..3), vec(any::<u8>(), 1..80)]
}

fn leaves() -> impl Strategy<Value = Leaves> {
    btree_map(key(), value(), 0..40)
}

/// Updates of random keys and of present keys. Without the latter, few removals would remove anything.
fn updates(leaves: &Leaves) -> impl Strategy<Value = Updates> + use<> {
    let mut present: Vec<_> = leaves.keys().copied().collect();
    present.push(B256::ZERO);
    let key = prop_oneof![1 => key(), 2 => proptest::sample::select(present)];
    btree_map(key, prop_oneof![1 => value().prop_map(Some), 2 => Just(None)], 0..20)
}

fn trie_and_updates() -> impl Strategy<Value = (Leaves, Vec<Update>)> {
    leaves().prop_flat_map(|leaves| {
        let updates = updates(&leaves).prop_map(|updates| updates.into_iter().collect::<Vec<_>>());
        (Just(leaves), updates.prop_shuffle())
    })
}

fn try_all(trie: &mut SparseTrie<&NodeIndex>, updates: &[Update]) -> Result<B256, TrieError> {
    for (key, value) in updates {
        trie.get(*key)?;
        match value {
            Some(value) => trie.insert(*key, value.clone(), Presence::Unknown).map(drop)?,
            None => trie.remove(*key, Presence::Unknown).map(drop)?,
        }
    }
    Ok(trie.root())
}

/// A hostile change of one node.
#[derive(Clone, Debug)]
enum Damage {
    Flip(Index, u8),
    Truncate(Index),
    Replace(Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        4 => (any::<Index>(), 0u8..8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        1 => any::<Index>().prop_map(Damage::Truncate),
        2 => any::<Index>().prop_map(Damage::Replace),
    ]
}

fn damaged(nodes: &[Bytes], node: &Bytes, damage: &Damage) -> Bytes {
    let mut bytes = node.to_vec();
    match damage {
        Damage::Flip(at, bit) => *at.get_mut(&mut bytes) ^= 1 << bit,
        Damage::Truncate(at) => bytes.truncate(at.index(node.len())),
        Damage::Replace(with) => return with.get(nodes).clone(),
    }
    bytes.into()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_sparse_trie_has_the_root_of_the_full_trie((leaves, updates) in trie_and_updates()) {
        let full = FullTrie::of(&leaves);
        let listed = updates.iter().cloned().collect();
        let nodes: NodeIndex = full.witness(&listed).into_iter().collect();
        let nodes = nodes.with_unknown_sibling(UnknownSibling::Branch);
        let expected = FullTrie::of(&full.after(&listed)).root;

        let mut in_any_order = SparseTrie::new(&nodes, full.root);
        prop_assert_eq!(try_all(&mut in_any_order, &updates), Ok(expected));

        let mut removals_last = SparseTrie::new(&nodes, full.root);
        prop_assert_eq!(removals_last.root(), full.root);
        prop_assert_eq!(removals_last.update(updates.clone()), Ok(()));
        prop_assert_eq!(removals_last.root(), expected);
        for (key, value) in &updates {
            prop_assert_eq!(removals_last.get(*key), Ok(value.as_deref()));
        }
    }

    #[test]
    fn the_root_does_not_depend_on_which_nodes_are_in_memory((leaves, updates) in trie_and_updates()) {
        let full = FullTrie::of(&leaves);
        let expected = FullTrie::of(&full.after(&updates.iter().cloned().collect())).root;
        let all: NodeIndex = full.nodes().into_iter().collect();
        prop_assert_eq!(try_all(&mut SparseTrie::new(&all, full.root), &updates), Ok(expected));

        // Built from an empty trie, and emptied again.
        let none = NodeIndex::default();
        let mut built = SparseTrie::new(&none, EMPTY_ROOT_HASH);
        let insertions: Vec<_> = leaves.iter().map(|(key, value)| (*key, Some(value.clone()))).collect();
        prop_assert_eq!(try_all(&mut built, &insertions), Ok(full.root));
        prop_assert_eq!(try_all(&mut built, &updates), Ok(expected));
        let removals: Vec<_> = leaves.keys().chain(updates.iter().map(|(key, _)| key)).collect();
        let removals: Vec<_> = removals.into_iter().map(|key| (*key, None)).collect();
        prop_assert_eq!(try_all(&mut built, &removals), Ok(EMPTY_ROOT_HASH));
    }

    #[test]
    fn a_proof_has_the_nodes_on_the_path_that_are_not_embedded_and_no_other(
        leaves in leaves(),
        other in key(),
        flipped in 0..32usize,
    ) {
        let full = FullTrie::of(&leaves);
        let nodes: NodeIndex = full.nodes().into_iter().collect();
        let mut trie = SparseTrie::new(&nodes, full.root);
        // Keys that leave the path of a leaf, in an extension for example.
        let beside = leaves.keys().map(|key| {
            let mut key = *key;
            key[flipped] ^= 1;
            key
        });
        for key in leaves.keys().copied().chain(beside).chain([other]) {
            let proof = trie.prove(key).unwrap();
            let verify = |nodes: &[Bytes]| {
                verify_proof(full.root, Nibbles::unpack(key), leaves.get(&key).cloned(), nodes)
            };
            prop_assert_eq!(verify(&proof), Ok(()));
            // Each node is needed.
            prop_assert!(proof.split_last().is_none_or(|(_, others)| verify(others).is_err()));
        }
    }

    #[test]
    fn the_error_of_a_missing_node_on_the_path_gives_the_node(leaves in leaves(), lost in any::<Index>()) {
        prop_assume!(!leaves.is_empty());
        let full = FullTrie::of(&leaves);
        let all = full.nodes();
        let lost = lost.get(&all);
        let nodes: NodeIndex = all.iter().filter(|node| *node != lost).cloned().collect();
        for (key, value) in &leaves {
            match SparseTrie::new(&nodes, full.root).get(*key) {
                Ok(found) => prop_assert_eq!(found, Some(&value[..])),
                Err(TrieError::Missing { hash, path }) => {
                    prop_assert_eq!(hash, keccak256(lost));
                    prop_assert!(Nibbles::unpack(key).starts_with(&path));
                }
                Err(other) => prop_assert!(false, "{other}"),
            }
        }
    }

    #[test]
    fn damaged_nodes_never_panic(
        (leaves, updates) in trie_and_updates(),
        damages in vec((any::<Index>(), damage()), 1..4),
    ) {
        let full = FullTrie::of(&leaves);
        let mut nodes: Vec<_> = full.nodes().into_iter().map(|node| (keccak256(&node), node)).collect();
        let honest = full.nodes();
        prop_assume!(!nodes.is_empty());
        for (at, damage) in &damages {
            let (_, node) = at.get_mut(&mut nodes);
            if !node.is_empty() {
                *node = damaged(&honest, node, damage);
            }
        }
        // Under the hash of the original node: the decoder and the walk see each damaged node.
        let forged = NodeIndex::forged(nodes.clone());
        let mut trie = SparseTrie::new(&forged, full.root);
        if try_all(&mut trie, &updates).is_err() {
            // The root of a trie after an error is unspecified, but does not panic.
            trie.root();
        }
        // Under their own hash, as in a received witness.
        let index: NodeIndex = nodes.into_iter().map(|(_, node)| node).collect();
        let _ = try_all(&mut SparseTrie::new(&index, full.root), &updates);
    }
}

fn address() -> impl Strategy<Value = Address> {
    (0u8..24).prop_map(Address::with_last_byte)
}

fn slots() -> impl Strategy<Value = BTreeMap<U256, U256>> {
    btree_map((0u64..12).prop_map(U256::from), (0u64..3).prop_map(U256::from), 0..10)
}

pub(super) fn store() -> impl Strategy<Value = MemoryStore> {
    let allocation = (0u64..5, 0u64..3, slots()).prop_map(|(balance, nonce, storage)| Allocation {
        balance: U256::from(balance),
        nonce,
        storage,
        ..Allocation::default()
    });
    btree_map(address(), allocation, 0..20).prop_map(MemoryStore::from_genesis)
}

fn account() -> impl Strategy<Value = Account> {
    let codes = prop_oneof![Just(Account::EMPTY.code_hash), any::<u8>().prop_map(B256::repeat_byte)];
    (0u64..5, 0u64..3, codes).prop_map(|(balance, nonce, code_hash)| Account {
        balance: U256::from(balance),
        nonce,
        code_hash,
    })
}

/// A planned change of an account. The values before it come from the store.
pub(super) type PlannedChange = (Option<Account>, Life, BTreeMap<U256, U256>);

pub(super) fn planned_changes() -> impl Strategy<Value = BTreeMap<Address, PlannedChange>> {
    let life = prop_oneof![3 => Just(Life::Same), 1 => Just(Life::New)];
    btree_map(address(), (proptest::option::weighted(0.7, account()), life, slots()), 0..12)
}

pub(super) fn changes(store: &MemoryStore, planned: BTreeMap<Address, PlannedChange>) -> Changes {
    let accounts = planned.into_iter().map(|(address, (after, life, slots))| {
        let stored = store.account(&address);
        let before = |key: &U256| match life {
            Life::Same => stored.and_then(|stored| stored.slots.get(key)).copied().unwrap_or_default(),
            Life::New => U256::ZERO,
        };
        let slots = slots.iter().map(|(key, after)| (*key, Change { before: before(key), after: *after }));
        let account = Change { before: stored.map(|stored| stored.account), after };
        (address, AccountChange { account, life, slots: slots.collect() })
    });
    Changes { accounts: accounts.collect(), ..Changes::default() }
}

/// The nodes that `changes` need, and no others.
fn witness(before: &MemoryStore, after: &MemoryStore, changes: &Changes) -> Vec<Bytes> {
    let (accounts, storages) = FullTrie::of_store(before);
    let (accounts_after, _) = FullTrie::of_store(after);
    let accounts_after = accounts_after.after(&Updates::new());
    let listed = changes.accounts.keys().map(keccak256);
    let updates = listed.map(|key| (key, accounts_after.get(&key).cloned())).collect();
    let mut nodes = accounts.witness(&updates);
    for (address, change) in &changes.accounts {
        let (Some(storage), Life::Same) = (storages.get(address), change.life) else { continue };
        let value = |value: U256| (!value.is_zero()).then(|| alloy_rlp::encode(value));
        let slots = change.slots.iter();
        let updates = slots.map(|(key, slot)| (keccak256(key.to_be_bytes::<32>()), value(slot.after)));
        nodes.extend(storage.witness(&updates.collect()));
    }
    nodes
}

proptest! {
    #[test]
    fn the_root_after_changes_is_the_root_of_the_store_after_them(
        before in store(),
        planned in planned_changes(),
        lost in any::<Index>(),
    ) {
        let changes = changes(&before, planned);
        let mut after = before.clone();
        prop_assert!(after.apply(&changes).is_ok());
        let mut nodes = witness(&before, &after, &changes);
        let root = Witness::new(nodes.clone()).without_branches_beside().root_after(before.root(), &changes);
        prop_assert_eq!(root, Ok(after.root()));

        // Without one of the nodes the result is an error, or a wrong root if a missing sibling is taken for a
        // branch, but never a panic or a mismatch.
        if !nodes.is_empty() {
            nodes.swap_remove(lost.index(nodes.len()));
            let root = Witness::new(nodes).without_branches_beside().root_after(before.root(), &changes);
            prop_assert!(!matches!(root, Err(WitnessError::Mismatch(_))));
        }
    }

    #[test]
    fn a_made_witness_answers_as_the_store_does_and_has_no_superfluous_node(
        before in store(),
        planned in planned_changes(),
        accounts in btree_map(address(), btree_set((0u64..14).prop_map(U256::from), 0..4), 0..12),
    ) {
        let (changes, root) = (changes(&before, planned), before.root());
        let accesses = Accesses { accounts, ..Accesses::default() };
        let mut after = before.clone();
        prop_assert!(after.apply(&changes).is_ok());
        let nodes = before.witness(&accesses, &changes).unwrap();
        prop_assert!(nodes.iter().map(keccak256).is_sorted());
        let answers = |nodes: Vec<Bytes>| -> Result<_, WitnessError> {
            let store = WitnessStore::new(Witness::new(nodes), root);
            let read = read_all(&store, &accesses)?;
            Ok((read, store.root_after(&changes)?))
        };
        let expected = (read_all(&before, &accesses).unwrap(), after.root());
        prop_assert_eq!(answers(nodes.clone()), Ok(expected));
        for lost in 0..nodes.len() {
            let mut others = nodes.clone();
            let hash = keccak256(others.remove(lost));
            let error = answers(others).unwrap_err();
            let named = match error.of_trie() {
                Some(TrieError::Missing { hash, .. } | TrieError::MissingSibling { hash, .. }) => Some(*hash),
                _ => None,
            };
            prop_assert_eq!(named, Some(hash), "{}", error);
        }
    }

    #[test]
    fn a_look_up_in_raw_nodes_finds_what_a_sparse_trie_finds(
        (leaves, updates) in trie_and_updates(),
        damages in vec((any::<Index>(), damage()), 0..3),
    ) {
        let full = FullTrie::of(&leaves);
        let honest = full.nodes();
        let mut nodes: Vec<_> = honest.iter().map(|node| (keccak256(node), node.clone())).collect();
        for (at, damage) in damages.iter().filter(|_| !honest.is_empty()) {
            let (_, node) = at.get_mut(&mut nodes);
            if !node.is_empty() {
                *node = damaged(&honest, node, damage);
            }
        }
        let nodes = NodeIndex::forged(nodes);
        for key in leaves.keys().copied().chain(updates.into_iter().map(|(key, _)| key)) {
            let found = nodes.find(full.root, key);
            match SparseTrie::new(&nodes, full.root).get(key) {
                Ok(value) => prop_assert_eq!(found, Ok(value.map(<[u8]>::to_vec))),
                // A sparse trie decodes the nodes that are embedded beside the path as well, so it finds a malformed node
                // first.
                Err(TrieError::Malformed { .. }) => {}
                Err(error) => prop_assert_eq!(found, Err(error)),
            }
        }
    }
}

/// The accounts and slots that were accessed.
type Answers = (Vec<Option<Account>>, Vec<U256>);

/// The accounts and slots that were accessed, as a store has them.
fn read_all<S: DatabaseRef>(store: &S, accesses: &Accesses) -> Result<Answers, S::Error> {
    let (mut accounts, mut slots) = (Vec::new(), Vec::new());
    for (address, keys) in &accesses.accounts {
        let info = store.basic_ref(*address)?;
        accounts.push(info.as_ref().map(Account::from));
        for key in keys {
            let value = store.storage_ref(*address, *key)?;
            if let Some(id) = info.as_ref().and_then(|info| info.account_id) {
                assert_eq!(store.storage_by_account_id_ref(*address, id, *key)?, value);
            }
            slots.push(value);
        }
    }
    Ok((accounts, slots))
}

#[test]
fn a_node_that_references_itself_ends_at_the_length_of_a_key() {
    let hash = B256::repeat_byte(3);
    let reference = RlpNode::word_rlp(&hash);
    let branch = TrieNode::Branch(BranchNode::new(vec![reference.clone(); 16], TrieMask::new(u16::MAX)));
    let extension = TrieNode::Extension(ExtensionNode::new(Nibbles::from_nibbles([0]), reference));
    for node in [branch, extension] {
        let nodes = NodeIndex::forged([(hash, alloy_rlp::encode(node).into())]);
        let mut trie = SparseTrie::new(&nodes, hash);
        let ends = |result: Result<(), TrieError>| {
            assert!(matches!(result, Err(TrieError::Malformed { path, .. }) if path.len() >= 63));
        };
        ends(trie.get(B256::ZERO).map(drop));
        ends(trie.insert(B256::ZERO, vec![1], Presence::Unknown).map(drop));
        ends(trie.remove(B256::ZERO, Presence::Unknown).map(drop));
    }
}
