//! What keeping a staged block writes, and what the cache learns of it.

use alloy_trie::Nibbles;

use crate::{
    stores::disk::{
        DiskStore,
        cache::{CacheValue, CacheKey},
        account_entry::LifeId,
        keys::{Key, TrieId},
        stage::{Staged, StagedAccount, StagedSlot},
        tables::Batch,
        undo::Undo,
    },
    trie::sparse::NodeChanges,
};

/// What is written of a block.
#[derive(Debug, Default)]
pub(super) struct BlockWrites {
    pub(super) batch: Batch,
    pub(super) undo: Undo,
    /// The lives that ended.
    pub(super) ended: Vec<LifeId>,
    /// What the cache has to say from then on, or no more.
    pub(super) answers: Vec<(CacheKey, Option<CacheValue>)>,
}

impl DiskStore {
    /// What keeping what was staged writes. The upper part of the accounts' trie stays in memory.
    pub(super) fn writing(&self, staged: Staged) -> BlockWrites {
        let Staged { root, accounts, codes, nodes, trie, looked_up, .. } = staged;
        let hashes = accounts.iter().flatten().map(|account| account.hash).chain(looked_up);
        let mut keys: Vec<_> = hashes.map(Nibbles::unpack).collect();
        keys.sort_unstable();
        self.resident.keep(root, trie, &keys);
        let mut writing = BlockWrites::default();
        writing.add_nodes(TrieId::Accounts, nodes);
        accounts.into_iter().flatten().for_each(|account| writing.add_account(account));
        for (hash, code) in codes {
            writing.batch.insert(Key::code(hash), Some(code.original_bytes().to_vec()));
            writing.answers.push((CacheKey::Code(hash), Some(CacheValue::Code(code))));
        }
        writing
    }
}

impl BlockWrites {
    fn add_account(&mut self, account: StagedAccount) {
        let StagedAccount { address, hash, before, after, slots, nodes } = account;
        self.batch.insert(TrieId::Accounts.leaf(hash), after.map(|entry| entry.encode()));
        self.undo.add_account(hash, before.as_ref());
        self.answers.push((CacheKey::Account(address), Some(CacheValue::Account(after.map(Box::new)))));
        let life = after.and_then(|entry| entry.storage).map(|storage| storage.life);
        let life_before = before.and_then(|entry| entry.storage).map(|storage| storage.life);
        self.ended.extend(life_before.filter(|before| life != Some(*before)));
        let Some(life) = life else { return };
        for StagedSlot { key, hash, change } in slots {
            let value = (!change.after.is_zero()).then(|| change.after.to_be_bytes_trimmed_vec());
            self.batch.insert(TrieId::Storage(life).leaf(hash), value);
            self.answers.push((CacheKey::Slot(life, key), Some(CacheValue::Slot(change.after))));
            // What a new life began with is gone with it.
            if life_before == Some(life) {
                self.undo.add_slot(life, hash, change.before);
            }
        }
        if let Some(nodes) = nodes {
            self.add_nodes(TrieId::Storage(life), nodes);
        }
    }

    /// Adds what became of the nodes of a trie.
    pub(super) fn add_nodes(&mut self, trie: TrieId, nodes: NodeChanges) {
        let question = |path| CacheKey::Node(trie.node(path));
        self.answers.extend(nodes.gone.iter().map(|path| (question(path), None)));
        let answer = |record: &Vec<u8>| Some(CacheValue::Node(record.as_slice().into()));
        self.answers.extend(nodes.written.iter().map(|(path, record)| (question(path), answer(record))));
        nodes.write_into(&mut self.batch, trie);
    }
}

impl NodeChanges {
    /// Adds what became of the nodes of a trie to what is written.
    pub(super) fn write_into(self, batch: &mut Batch, trie: TrieId) {
        batch.extend(self.gone.into_iter().map(|path| (trie.node(&path), None)));
        batch.extend(self.written.into_iter().map(|(path, record)| (trie.node(&path), Some(record))));
    }
}
