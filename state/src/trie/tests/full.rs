//! For the tests: a full trie, built by an independent implementation, and the witness of some changes.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_trie::{HashBuilder, Nibbles, TrieAccount, nodes::TrieNode, proof::ProofRetainer};

use crate::stores::memory::MemoryStore;

/// The value of each key.
pub(super) type Leaves = BTreeMap<B256, Vec<u8>>;

/// New values of some keys; `None` removes a key.
pub(super) type Updates = BTreeMap<B256, Option<Vec<u8>>>;

/// A trie with all its nodes, by path.
#[derive(Debug)]
pub(crate) struct FullTrie {
    leaves: Leaves,
    nodes: BTreeMap<Nibbles, Bytes>,
    pub(crate) root: B256,
}

impl FullTrie {
    pub(crate) fn of(leaves: &Leaves) -> Self {
        let targets = leaves.keys().map(Nibbles::unpack).collect();
        let mut builder = HashBuilder::default().with_proof_retainer(ProofRetainer::new(targets));
        for (key, value) in leaves {
            builder.add_leaf(Nibbles::unpack(key), value);
        }
        let root = builder.root();
        let nodes = builder.take_proof_nodes().into_nodes_sorted().into_iter().collect();
        Self { leaves: leaves.clone(), nodes, root }
    }

    /// The trie of accounts, and the storage trie of each.
    pub(crate) fn of_store(store: &MemoryStore) -> (Self, BTreeMap<Address, Self>) {
        let mut storages = BTreeMap::new();
        let mut accounts = Leaves::new();
        for (address, stored) in store.accounts() {
            let slot =
                |(key, value): (&U256, &U256)| (keccak256(key.to_be_bytes::<32>()), alloy_rlp::encode(value));
            let storage = Self::of(&stored.slots.iter().map(slot).collect());
            let account = stored.account;
            let leaf = TrieAccount::new(account.nonce, account.balance, storage.root, account.code_hash);
            accounts.insert(keccak256(address), alloy_rlp::encode(leaf));
            storages.insert(*address, storage);
        }
        (Self::of(&accounts), storages)
    }

    /// Every node.
    pub(crate) fn nodes(&self) -> Vec<Bytes> {
        self.nodes.values().cloned().collect()
    }

    /// The leaves after `updates`.
    pub(super) fn after(&self, updates: &Updates) -> Leaves {
        let mut leaves = self.leaves.clone();
        for (key, value) in updates {
            match value {
                Some(value) => leaves.insert(*key, value.clone()),
                None => leaves.remove(key),
            };
        }
        leaves
    }

    /// The nodes on the paths to all updated keys and, for each branch that is left with a single child, that
    /// child if it is a leaf or an extension. No other node.
    pub(super) fn witness(&self, updates: &Updates) -> Vec<Bytes> {
        let after = self.after(updates);
        let paths: Vec<_> = updates.keys().map(Nibbles::unpack).collect();
        let is_on_path = |at: &Nibbles| at.is_empty() || paths.iter().any(|path| path.starts_with(at));
        let mut included: BTreeSet<Nibbles> =
            self.nodes.keys().filter(|path| is_on_path(path)).copied().collect();
        for path in included.clone() {
            let TrieNode::Branch(_) = self.decode(&path) else { continue };
            let keys = after.keys().map(Nibbles::unpack).filter(|key| key.starts_with(&path));
            let nibbles: BTreeSet<u8> = keys.map(|key| key.get(path.len()).unwrap()).collect();
            if let (Some(nibble), 1) = (nibbles.first(), nibbles.len()) {
                let child = path.join(&Nibbles::from_nibbles([*nibble]));
                let inserted = !self.nodes.contains_key(&child);
                if !inserted && !matches!(self.decode(&child), TrieNode::Branch(_)) {
                    included.insert(child);
                }
            }
        }
        included.iter().map(|path| self.nodes[path].clone()).collect()
    }

    fn decode(&self, path: &Nibbles) -> TrieNode {
        alloy_rlp::decode_exact(&self.nodes[path]).unwrap()
    }
}
