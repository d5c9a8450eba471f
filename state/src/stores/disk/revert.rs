//! Reverting: undoes the last blocks, all at once.

use alloy_primitives::{
    B256, U256,
    map::{B256Map, HashMap, HashSet},
};
use alloy_trie::EMPTY_ROOT_HASH;

use crate::{
    stores::disk::{
        DiskStore,
        account_entry::{AccountEntry, LifeId, StorageEntry},
        block_metadata::BlockMetadata,
        error::DiskError,
        keys::{Key, TrieId},
        nodes::StoredNodes,
        tables::WriteBatch,
        undo::Undo,
    },
    trie::sparse::{NodeChanges, SparseTrie},
};

/// The values before the undone blocks, at all locations that these blocks wrote.
#[derive(Debug, Default)]
struct RevertPlan {
    accounts: B256Map<Option<AccountEntry>>,
    slots: HashMap<LifeId, B256Map<U256>>,
    /// The current roots of the storage tries.
    roots: HashMap<LifeId, B256>,
    /// The lives that had not begun before the undone blocks.
    unstarted: Vec<LifeId>,
}

impl DiskStore {
    /// Undoes blocks until `number` is the last block, also in the database.
    ///
    /// # Errors
    ///
    /// If the store has no such block yet, if the undo data is pruned or damaged, or if the database cannot be
    /// written. The store is then unchanged, or at the last block in the database.
    pub fn revert_to(&mut self, number: u64) -> Result<(), DiskError> {
        let head = self.head().number;
        if number > head {
            return Err(DiskError::OutOfOrder { number, head });
        }
        if number == head {
            return self.flush();
        }
        let kept = self.undoable()?;
        let too_far = || DiskError::TooFarBack { to: number, head, kept };
        let target = self.block_metadata(number)?.ok_or_else(too_far)?;
        let mut plan = RevertPlan::default();
        for block in (number + 1..=head).rev() {
            let undo = self.tables.get(&Key::undo(block))?.ok_or_else(too_far)?;
            self.undo_block(&mut plan, block, &undo)?;
        }
        let batch = self.revert_batch(plan, &target)?;
        self.tables.add(batch, Some(number), || self.cache.clear());
        self.head.write().block = target;
        self.flush()
    }

    /// The number of blocks that can be undone.
    ///
    /// # Errors
    ///
    /// If the store cannot be read.
    pub fn undoable(&self) -> Result<u64, DiskError> {
        let head = self.head().number;
        let mut kept = 0;
        while kept < head && self.tables.get(&Key::undo(head - kept))?.is_some() {
            kept += 1;
        }
        Ok(kept)
    }

    /// Adds one more block to the plan: the last block that is not undone yet.
    fn undo_block(&self, plan: &mut RevertPlan, block: u64, undo: &[u8]) -> Result<(), DiskError> {
        let damaged = || self.damaged(format!("the undo data of block {block}"), "it does not decode");
        let undo: Undo = alloy_rlp::decode_exact(undo).map_err(|_| damaged())?;
        let written: HashSet<LifeId> = undo.slots().map(|slots| slots[0].life()).collect();
        for (hash, before) in undo.accounts().ok_or_else(damaged)? {
            let now = match plan.accounts.get(&hash) {
                Some(entry) => *entry,
                None => self.entry_by_hash(hash)?,
            };
            plan.undo_account(hash, before, now, &written);
        }
        for slots in undo.slots() {
            let of_life = plan.slots.entry(slots[0].life()).or_default();
            of_life.extend(slots.iter().map(|slot| (slot.hash, slot.value)));
        }
        Ok(())
    }

    /// The writes that restore the state after the block `target`.
    fn revert_batch(&self, plan: RevertPlan, target: &BlockMetadata) -> Result<WriteBatch, DiskError> {
        let mut batch = self.delete_blocks_after(target.number)?;
        let RevertPlan { accounts, mut slots, roots, unstarted } = plan;
        let mut trie = SparseTrie::new(StoredNodes::new(self, TrieId::Accounts), self.root());
        let mut updates = Vec::with_capacity(accounts.len());
        for (hash, entry) in accounts {
            batch.insert(TrieId::Accounts.leaf(hash), entry.map(|entry| entry.encode()));
            if let Some(StorageEntry { life, root }) = entry.and_then(|entry| entry.storage)
                && let Some(slots) = slots.remove(&life)
            {
                let nodes = self.revert_slots(life, roots[&life], slots, &mut batch)?;
                if nodes.root != root {
                    return Err(DiskError::StorageRoot { account: hash, expected: root, found: nodes.root });
                }
                nodes.write_into(&mut batch, TrieId::Storage(life));
            }
            updates.push((hash, entry.map(|entry| alloy_rlp::encode(entry.leaf()))));
        }
        trie.update(updates)?;
        let nodes = trie.take_changes();
        if nodes.root != target.root {
            return Err(DiskError::Root { number: target.number, expected: target.root, found: nodes.root });
        }
        nodes.write_into(&mut batch, TrieId::Accounts);
        unstarted.into_iter().for_each(|life| drop(batch.insert(Key::ended(0, life), Some(Vec::new()))));
        batch.insert(Key::head(), Some(target.number.to_be_bytes().to_vec()));
        Ok(batch)
    }

    /// Restores slots of a life, and returns the changed nodes of their trie, whose current root is `root`.
    fn revert_slots(
        &self,
        life: LifeId,
        root: B256,
        slots: B256Map<U256>,
        batch: &mut WriteBatch,
    ) -> Result<NodeChanges, DiskError> {
        let mut trie = self.storage_trie(life, root);
        let mut updates = Vec::with_capacity(slots.len());
        for (hash, value) in slots {
            let present = (!value.is_zero()).then_some(value);
            batch.insert(
                TrieId::Storage(life).leaf(hash),
                present.map(|value| value.to_be_bytes_trimmed_vec()),
            );
            updates.push((hash, present.map(alloy_rlp::encode)));
        }
        trie.update(updates)?;
        Ok(trie.take_changes())
    }

    /// Deletes the data of the blocks after `number`, except for the state.
    fn delete_blocks_after(&self, number: u64) -> Result<WriteBatch, DiskError> {
        let mut batch = WriteBatch::new();
        for block in number + 1..=self.head().number {
            batch.insert(Key::undo(block), None);
            batch.insert(Key::block(block), None);
            batch.insert(Key::encoded(block), None);
        }
        let (from, to) = (Key::ended(number + 1, LifeId::FIRST), Key::all_ended().1);
        for pair in self.tables.range(&from, &to)? {
            batch.insert(Key::from(pair?.0.as_slice()), None);
        }
        Ok(batch)
    }
}

impl RevertPlan {
    /// Restores an account to its entry before a block. The block wrote slots of the lives `written`.
    fn undo_account(
        &mut self,
        hash: B256,
        before: Option<AccountEntry>,
        now: Option<AccountEntry>,
        written: &HashSet<LifeId>,
    ) {
        let [before_storage, now_storage] = [before, now].map(|entry| entry.and_then(|entry| entry.storage));
        let is_same_life = |now: &StorageEntry| before_storage.is_some_and(|before| before.life == now.life);
        if let Some(StorageEntry { life, root }) = before_storage {
            // A life whose slots the block wrote continued after the block. If the account has another life now, the
            // continued one was dropped later, when it was empty. An ended life gets no more writes.
            let dropped_root = if written.contains(&life) { EMPTY_ROOT_HASH } else { root };
            let root_now = now_storage.filter(is_same_life).map_or(dropped_root, |now| now.root);
            self.roots.entry(life).or_insert(root_now);
        }
        self.unstarted.extend(now_storage.filter(|now| !is_same_life(now)).map(|now| now.life));
        self.accounts.insert(hash, before);
    }
}
