//! Witnesses of blocks on the state of the store.

use alloy_primitives::{Address, B256, Bytes};

use crate::{
    model::{accesses::Accesses, changes::Changes},
    stores::disk::{DiskStore, error::DiskError, keys::TrieId, nodes::StoredNodes},
    trie::state_tries::{LeafName, StateTries, witness_nodes},
};

/// The tries of a store.
struct StoredTries<'s>(&'s DiskStore);

impl<'s> StateTries for StoredTries<'s> {
    type Nodes = StoredNodes<'s>;
    type Error = DiskError;

    fn accounts(&self) -> (StoredNodes<'s>, B256) {
        (StoredNodes::new(self.0, TrieId::Accounts), self.0.root())
    }

    fn storage(&self, address: Address) -> Result<StoredNodes<'s>, DiskError> {
        let storage = self.0.entry(address)?.and_then(|entry| entry.storage);
        // An account without storage has an empty trie, which reads no node.
        let trie = storage.map_or(TrieId::Accounts, |storage| TrieId::Storage(storage.life));
        Ok(StoredNodes::new(self.0, trie))
    }

    fn error(_: LeafName, error: DiskError) -> DiskError {
        error
    }
}

impl DiskStore {
    /// The nodes of the tries that prove `accesses` and the root after `changes` on the state after the last block, in
    /// the order of their hashes: each of them is needed.
    ///
    /// # Errors
    ///
    /// If the store cannot be read, or the changes started from another state.
    pub fn witness(&self, accesses: &Accesses, changes: &Changes) -> Result<Vec<Bytes>, DiskError> {
        witness_nodes(&StoredTries(self), accesses, changes)
    }
}
