//! The database writes and cache updates of a staged block.

use alloy_trie::Nibbles;

use crate::{
    stores::disk::{
        DiskStore,
        account_entry::LifeId,
        cache::{CacheKey, CacheValue},
        keys::{Key, TrieId},
        staged::{Staged, StagedAccount, StagedSlot},
        tables::WriteBatch,
        undo::Undo,
    },
    trie::sparse::NodeChanges,
};

/// The writes of a block.
#[derive(Debug, Default)]
pub(super) struct BlockWrites {
    pub(super) batch: WriteBatch,
    pub(super) undo: Undo,
    /// The lives that ended.
    pub(super) ended: Vec<LifeId>,
    /// The cache updates; `None` removes an entry.
    pub(super) cached: Vec<(CacheKey, Option<CacheValue>)>,
}

impl DiskStore {
    /// The writes of a staged block. Keeps the upper part of its account trie in memory.
    pub(super) fn block_writes(&self, staged: Staged) -> BlockWrites {
        let Staged { root, accounts, codes, nodes, trie, prefetched, .. } = staged;
        let hashes = accounts.iter().flatten().map(|account| account.hash).chain(prefetched);
        let mut keys: Vec<_> = hashes.map(Nibbles::unpack).collect();
        keys.sort_unstable();
        self.upper_trie.keep(root, trie, &keys);
        let mut writes = BlockWrites::default();
        writes.add_nodes(TrieId::Accounts, nodes);
        accounts.into_iter().flatten().for_each(|account| writes.add_account(account));
        for (hash, code) in codes {
            writes.batch.insert(Key::code(hash), Some(code.original_bytes().to_vec()));
            writes.cached.push((CacheKey::Code(hash), Some(CacheValue::Code(code))));
        }
        writes
    }
}

impl BlockWrites {
    fn add_account(&mut self, account: StagedAccount) {
        let StagedAccount { address, hash, before, after, slots, nodes } = account;
        self.batch.insert(TrieId::Accounts.leaf(hash), after.map(|entry| entry.encode()));
        self.undo.add_account(hash, before.as_ref());
        self.cached.push((CacheKey::Account(address), Some(CacheValue::Account(after.map(Box::new)))));
        let life = after.and_then(|entry| entry.storage).map(|storage| storage.life);
        let life_before = before.and_then(|entry| entry.storage).map(|storage| storage.life);
        self.ended.extend(life_before.filter(|before| life != Some(*before)));
        let Some(life) = life else { return };
        for StagedSlot { key, hash, change } in slots {
            let value = (!change.after.is_zero()).then(|| change.after.to_be_bytes_trimmed_vec());
            self.batch.insert(TrieId::Storage(life).leaf(hash), value);
            self.cached.push((CacheKey::Slot(life, key), Some(CacheValue::Slot(change.after))));
            // Undoing a new life drops all its slots, so that they need no undo data.
            if life_before == Some(life) {
                self.undo.add_slot(life, hash, change.before);
            }
        }
        if let Some(nodes) = nodes {
            self.add_nodes(TrieId::Storage(life), nodes);
        }
    }

    /// Adds the changed nodes of a trie.
    pub(super) fn add_nodes(&mut self, trie: TrieId, nodes: NodeChanges) {
        let cache_key = |path| CacheKey::Node(trie.node(path));
        self.cached.extend(nodes.deleted.iter().map(|path| (cache_key(path), None)));
        let cache_value = |record: &Vec<u8>| Some(CacheValue::Node(record.as_slice().into()));
        self.cached.extend(nodes.written.iter().map(|(path, record)| (cache_key(path), cache_value(record))));
        nodes.write_into(&mut self.batch, trie);
    }
}

impl NodeChanges {
    /// Adds the changed nodes of a trie to a batch.
    pub(super) fn write_into(self, batch: &mut WriteBatch, trie: TrieId) {
        batch.extend(self.deleted.into_iter().map(|path| (trie.node(&path), None)));
        batch.extend(self.written.into_iter().map(|(path, record)| (trie.node(&path), Some(record))));
    }
}
