//! The tries of a state together: the account trie, and the storage trie of each account.
//!
//! Reads what an execution read, and computes the root after its changes, from any source of nodes. Promises that a
//! failure names the account or slot.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_rlp::Decodable;
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles, TrieAccount};

use crate::{
    model::{
        accesses::Accesses,
        account::Account,
        changes::{AccountChange, Changes, Life, account_difference},
        mismatch::Mismatch,
    },
    sync::Mutex,
    trie::{
        change::Presence,
        error::TrieError,
        node::{Node, NodeKind, Nodes, UnknownSibling},
        slot_key,
        sparse::SparseTrie,
    },
};

/// The sources of the nodes of a state's tries.
pub(crate) trait StateTries {
    /// The nodes of one trie.
    type Nodes: Nodes;
    /// Why the tries cannot be read or changed.
    type Error: From<Mismatch>;

    /// The nodes of the account trie, and its root.
    fn accounts(&self) -> (Self::Nodes, B256);

    /// The nodes of the storage trie of an account.
    ///
    /// # Errors
    ///
    /// If they cannot be found.
    fn storage(&self, address: Address) -> Result<Self::Nodes, Self::Error>;

    /// The error of the leaf that was looked up or changed.
    fn error(leaf: LeafName, error: <Self::Nodes as Nodes>::Error) -> Self::Error;
}

/// What a leaf of a trie is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeafName {
    /// An account.
    Account(Address),
    /// A slot of an account.
    Slot(Address, U256),
}

impl LeafName {
    /// The key of the leaf.
    fn key(&self) -> B256 {
        match self {
            Self::Account(address) => keccak256(address),
            Self::Slot(_, key) => slot_key(key),
        }
    }
}

/// New values of leaves; `None` removes the leaf.
type LeafUpdates = Vec<(LeafName, Option<Vec<u8>>)>;

/// A trie of a state.
struct StateTrie<T: StateTries>(SparseTrie<T::Nodes>);

impl<T: StateTries> StateTrie<T> {
    fn accounts(tries: &T) -> Self {
        let (nodes, root) = tries.accounts();
        Self(SparseTrie::new(nodes, root))
    }

    fn storage(tries: &T, address: Address, root: B256) -> Result<Self, T::Error> {
        Ok(Self(SparseTrie::new(tries.storage(address)?, root)))
    }

    /// The decoded value of a leaf.
    fn get<V: Decodable>(&mut self, leaf: LeafName) -> Result<Option<V>, T::Error> {
        let key = leaf.key();
        let value = self.0.get(key).map_err(|error| T::error(leaf, error))?;
        value.map(|value| decode_value(key, value)).transpose().map_err(|error| T::error(leaf, error.into()))
    }

    /// Sets the new values of some leaves: first the insertions, then the removals. In this order a branch that
    /// loses a child and gains another never joins with a child, so that no node is read that the root does not
    /// depend on.
    fn update(&mut self, updates: LeafUpdates) -> Result<(), T::Error> {
        let mut removed = Vec::new();
        for (leaf, value) in updates {
            let Some(value) = value else {
                removed.push(leaf);
                continue;
            };
            let inserted = self.0.insert(leaf.key(), value, Presence::Unknown);
            inserted.map_err(|error| T::error(leaf, error))?;
        }
        removed.into_iter().try_for_each(|leaf| {
            let removed = self.0.remove(leaf.key(), Presence::Unknown);
            removed.map(drop).map_err(|error| T::error(leaf, error))
        })
    }
}

/// The value of the leaf under `key`.
pub(super) fn decode_value<V: Decodable>(key: B256, value: &[u8]) -> Result<V, TrieError> {
    alloy_rlp::decode_exact(value).map_err(|reason| TrieError::Value { key, reason })
}

/// The state root after `changes`.
///
/// # Errors
///
/// If a required node is missing or malformed; a mismatch for the first location, in order of addresses, that
/// differs from the value that the changes started from.
pub(crate) fn root_after<T: StateTries>(tries: &T, changes: &Changes) -> Result<B256, T::Error> {
    let mut accounts = StateTrie::<T>::accounts(tries);
    let mut listed: Vec<_> = changes.accounts.iter().collect();
    listed.sort_unstable_by_key(|(address, _)| **address);
    let mut updates = Vec::with_capacity(listed.len());
    for (address, change) in listed {
        let leaf = LeafName::Account(*address);
        let after = account_after(tries, *address, accounts.get(leaf)?, change)?;
        updates.push((leaf, after.map(alloy_rlp::encode)));
    }
    accounts.update(updates)?;
    Ok(accounts.0.root())
}

fn account_after<T: StateTries>(
    tries: &T,
    address: Address,
    before: Option<TrieAccount>,
    change: &AccountChange,
) -> Result<Option<TrieAccount>, T::Error> {
    let found = before.as_ref().map(without_root);
    if let Some(mismatch) = account_difference(address, change.account.before, found) {
        return Err(mismatch.into());
    }
    let storage_root = match (change.life, before) {
        (Life::Same, Some(before)) => before.storage_root,
        (Life::Same, None) | (Life::New, _) => EMPTY_ROOT_HASH,
    };
    if change.slots.is_empty() {
        return Ok(change.account.after.map(|after| after.into_leaf(storage_root)));
    }
    let mut storage = StateTrie::<T>::storage(tries, address, storage_root)?;
    let updates = slot_updates(&mut storage, address, change)?;
    let Some(after) = change.account.after else { return Ok(None) };
    storage.update(updates)?;
    Ok(Some(after.into_leaf(storage.0.root())))
}

/// The updates of the slots, after a check of their values before.
fn slot_updates<T: StateTries>(
    storage: &mut StateTrie<T>,
    address: Address,
    change: &AccountChange,
) -> Result<LeafUpdates, T::Error> {
    let mut slots: Vec<_> = change.slots.iter().collect();
    slots.sort_unstable_by_key(|(key, _)| **key);
    let mut updates = Vec::with_capacity(slots.len());
    for (key, change) in slots {
        let leaf = LeafName::Slot(address, *key);
        let found = storage.get(leaf)?.unwrap_or_default();
        if found != change.before {
            return Err(Mismatch::of_slot(address, *key, change.before, found).into());
        }
        if change.is_change() {
            updates.push((leaf, (!change.after.is_zero()).then(|| alloy_rlp::encode(change.after))));
        }
    }
    Ok(updates)
}

/// An account without its storage root.
pub(super) fn without_root(leaf: &TrieAccount) -> Account {
    Account { balance: leaf.balance, nonce: leaf.nonce, code_hash: leaf.code_hash }
}

/// Every node that `accesses` and the root after `changes` need, in the order of their hashes.
///
/// # Errors
///
/// If a node cannot be read, or the changes started from another state.
pub(crate) fn witness_nodes<T: StateTries>(
    tries: &T,
    accesses: &Accesses,
    changes: &Changes,
) -> Result<Vec<Bytes>, T::Error> {
    let noting = NotingTries { tries, noted: Mutex::default() };
    read_all(&&noting, accesses)?;
    root_after(&&noting, changes)?;
    Ok(noting.noted.into_inner().into_values().collect())
}

/// Reads all accounts and slots that were accessed.
fn read_all<T: StateTries>(tries: &T, accesses: &Accesses) -> Result<(), T::Error> {
    let mut accounts = StateTrie::<T>::accounts(tries);
    for (address, slots) in &accesses.accounts {
        let leaf: Option<TrieAccount> = accounts.get(LeafName::Account(*address))?;
        let root = leaf.map_or(EMPTY_ROOT_HASH, |leaf| leaf.storage_root);
        if slots.is_empty() || root == EMPTY_ROOT_HASH {
            continue;
        }
        let mut storage = StateTrie::<T>::storage(tries, *address, root)?;
        slots.iter().try_for_each(|key| storage.get::<U256>(LeafName::Slot(*address, *key)).map(drop))?;
    }
    Ok(())
}

/// The tries of a state, which note each node that is read.
struct NotingTries<'t, T> {
    tries: &'t T,
    noted: Mutex<BTreeMap<B256, Bytes>>,
}

/// The nodes of one of these tries.
struct NotingNodes<'n, N> {
    nodes: N,
    noted: &'n Mutex<BTreeMap<B256, Bytes>>,
}

impl<'n, T: StateTries> StateTries for &'n NotingTries<'_, T> {
    type Nodes = NotingNodes<'n, T::Nodes>;
    type Error = T::Error;

    fn accounts(&self) -> (Self::Nodes, B256) {
        let (nodes, root) = self.tries.accounts();
        (NotingNodes { nodes, noted: &self.noted }, root)
    }

    fn storage(&self, address: Address) -> Result<Self::Nodes, T::Error> {
        Ok(NotingNodes { nodes: self.tries.storage(address)?, noted: &self.noted })
    }

    fn error(leaf: LeafName, error: <T::Nodes as Nodes>::Error) -> T::Error {
        T::error(leaf, error)
    }
}

impl<N: Nodes> Nodes for NotingNodes<'_, N> {
    type Error = N::Error;

    fn node(&self, hash: B256, kind: NodeKind, path: &Nibbles) -> Result<Option<Node>, N::Error> {
        let node = self.nodes.node(hash, kind, path)?;
        if let Some(node) = &node {
            let mut encoded = Vec::new();
            node.encode(&mut encoded);
            self.noted.lock().insert(hash, encoded.into());
        }
        Ok(node)
    }

    fn unknown_sibling(&self) -> UnknownSibling {
        self.nodes.unknown_sibling()
    }
}
