//! Builds the tries of a flat state, in the order of its keys.

use alloy_primitives::{B256, U256};
use alloy_trie::EMPTY_ROOT_HASH;
use rayon::prelude::*;

use crate::{
    stores::disk::{
        DiskStore,
        account_entry::{AccountEntry, LifeId, StorageEntry},
        block_writes::BlockWrites,
        error::DiskError,
        genesis::AT_ONCE,
        keys::{Key, TrieId},
    },
    trie::change::{Insertion, Presence},
};

impl DiskStore {
    /// Builds the tries of all accounts and slots, and returns the state root. Sets the storage roots in the account
    /// entries.
    pub(super) fn build_tries(&mut self) -> Result<B256, DiskError> {
        let mut from = TrieId::Accounts.prefix();
        loop {
            let accounts = self.pairs(TrieId::Accounts, &from)?;
            let Some((last, _)) = accounts.last() else { break };
            from = TrieId::Accounts.leaf(*last).after();
            let mut writes = BlockWrites::default();
            let entries = self.build_storages(accounts, &mut writes)?;
            let leaf = |(hash, entry): &(B256, AccountEntry)| {
                Insertion::new(*hash, alloy_rlp::encode(entry.leaf()), Presence::Unknown)
            };
            let mut trie = self.accounts_trie();
            let mut leaves: Vec<_> = entries.iter().map(leaf).collect();
            trie.insert_all(&mut leaves)?;
            let nodes = trie.take_changes();
            let root = nodes.root;
            let keys: Vec<_> = leaves.iter().map(|leaf| leaf.key).collect();
            self.upper_trie.keep(root, trie.into_root(), &keys);
            self.head.write().block.root = root;
            writes.add_nodes(TrieId::Accounts, nodes);
            self.write(writes)?;
        }
        Ok(self.root())
    }

    /// Builds the storage tries of some accounts.
    fn build_storages(
        &mut self,
        accounts: Vec<(B256, Vec<u8>)>,
        writes: &mut BlockWrites,
    ) -> Result<Vec<(B256, AccountEntry)>, DiskError> {
        let decode = |(hash, bytes): (B256, Vec<u8>)| {
            Ok((hash, AccountEntry::decode(&bytes).ok_or_else(|| self.damaged_account(hash))?))
        };
        let mut entries = accounts.into_iter().map(decode).collect::<Result<Vec<_>, DiskError>>()?;
        for (hash, entry) in &mut entries {
            if let Some(StorageEntry { life, root }) = &mut entry.storage {
                *root = self.build_storage(*life, writes)?;
                writes.batch.insert(TrieId::Accounts.leaf(*hash), Some(entry.encode()));
                if writes.batch.len() >= AT_ONCE {
                    self.write(std::mem::take(writes))?;
                }
            }
        }
        Ok(entries)
    }

    /// Builds a storage trie part by part, and returns its root.
    fn build_storage(&mut self, life: LifeId, writes: &mut BlockWrites) -> Result<B256, DiskError> {
        let trie = TrieId::Storage(life);
        let (mut from, mut root) = (trie.prefix(), EMPTY_ROOT_HASH);
        loop {
            let slots = self.pairs(trie, &from)?;
            let Some((last, _)) = slots.last() else { return Ok(root) };
            from = trie.leaf(*last).after();
            let is_last = slots.len() < AT_ONCE;
            let leaf = |(hash, bytes): &(B256, Vec<u8>)| {
                let value = U256::try_from_be_slice(bytes).ok_or_else(|| self.damaged_slot(*hash))?;
                Ok(Insertion::new(*hash, alloy_rlp::encode(value), Presence::Unknown))
            };
            let mut leaves = slots.par_iter().map(leaf).collect::<Result<Vec<_>, DiskError>>()?;
            let mut part = self.storage_trie(life, root);
            part.insert_all(&mut leaves)?;
            let nodes = part.take_changes();
            drop(part);
            root = nodes.root;
            writes.add_nodes(trie, nodes);
            if is_last {
                return Ok(root);
            }
            self.write(std::mem::take(writes))?;
        }
    }

    /// The keys and values of the next leaves of a trie.
    fn pairs(&self, trie: TrieId, from: &Key) -> Result<Vec<(B256, Vec<u8>)>, DiskError> {
        let pairs = self.tables.range(from, &trie.end())?.take(AT_ONCE);
        let pair = |pair: Result<(Vec<u8>, Vec<u8>), DiskError>| {
            let (key, value) = pair?;
            let hash = trie.leaf_key(&key).ok_or_else(|| self.damaged("a key", "it is no hash"))?;
            Ok((hash, value))
        };
        pairs.map(pair).collect()
    }

    fn write(&mut self, writes: BlockWrites) -> Result<(), DiskError> {
        self.tables.add(writes.batch, None, || self.cache.put_all(writes.cached));
        self.tables.flush(|| ())
    }
}
