//! Going back: undoing the last blocks, all at once.

use alloy_primitives::{
    B256, U256,
    map::{B256Map, HashMap, HashSet},
};
use alloy_trie::EMPTY_ROOT_HASH;

use crate::{
    stores::disk::{
        DiskStore,
        block_metadata::BlockMetadata,
        account_entry::{AccountEntry, LifeId, Storage},
        error::DiskError,
        keys::{Key, TrieId},
        nodes::StoredNodes,
        tables::Batch,
        undo::Undo,
    },
    trie::sparse::{NodeChanges, SparseTrie},
};

/// What stood where the blocks that are undone wrote.
#[derive(Debug, Default)]
struct RevertPlan {
    accounts: B256Map<Option<AccountEntry>>,
    slots: HashMap<LifeId, B256Map<U256>>,
    /// The roots of storages, as their tries stand now.
    roots: HashMap<LifeId, B256>,
    /// The lives that nobody lives then.
    unborn: Vec<LifeId>,
}

impl DiskStore {
    /// Undoes blocks until `number` is the last one, which it is in the file when this returns.
    ///
    /// # Errors
    ///
    /// If there is no such block yet, if what undoes the blocks is not kept any more or is damaged, or if the
    /// file cannot be written. The store then stands where it stood, or at the last block that is in the
    /// file.
    pub fn revert_to(&mut self, number: u64) -> Result<(), DiskError> {
        let head = self.head.number;
        if number > head {
            return Err(DiskError::OutOfOrder { number, head });
        }
        if number == head {
            return self.flush();
        }
        let kept = self.undoable()?;
        let too_far = || DiskError::TooFarBack { to: number, head, kept };
        let mark = self.block_metadata(number)?.ok_or_else(too_far)?;
        let mut plan = RevertPlan::default();
        for block in (number + 1..=head).rev() {
            let undo = self.tables.get(&Key::undo(block))?.ok_or_else(too_far)?;
            self.take_back(&mut plan, block, &undo)?;
        }
        let batch = self.batch_back(plan, &mark)?;
        self.tables.add(batch);
        self.cache.clear();
        self.head = mark;
        self.flush()
    }

    /// How many blocks can be undone.
    ///
    /// # Errors
    ///
    /// If that cannot be read.
    pub fn undoable(&self) -> Result<u64, DiskError> {
        let head = self.head.number;
        let mut kept = 0;
        while kept < head && self.tables.get(&Key::undo(head - kept))?.is_some() {
            kept += 1;
        }
        Ok(kept)
    }

    /// Takes one more block back, the last of those that are left.
    fn take_back(&self, plan: &mut RevertPlan, block: u64, undo: &[u8]) -> Result<(), DiskError> {
        let damaged = || self.damaged(format!("what undoes block {block}"), "it does not decode");
        let undo: Undo = alloy_rlp::decode_exact(undo).map_err(|_| damaged())?;
        let written: HashSet<LifeId> = undo.slots().map(|slots| slots[0].life()).collect();
        for (hash, before) in undo.accounts().ok_or_else(damaged)? {
            let now = match plan.accounts.get(&hash) {
                Some(entry) => *entry,
                None => self.entry_by_hash(hash)?,
            };
            plan.take_account_back(hash, before, now, &written);
        }
        for slots in undo.slots() {
            let of_life = plan.slots.entry(slots[0].life()).or_default();
            of_life.extend(slots.iter().map(|slot| (slot.hash, slot.value)));
        }
        Ok(())
    }

    /// What is to be written so that the state is the one after the block `mark`.
    fn batch_back(&self, plan: RevertPlan, mark: &BlockMetadata) -> Result<Batch, DiskError> {
        let mut batch = self.without_blocks_after(mark.number)?;
        let RevertPlan { accounts, mut slots, roots, unborn } = plan;
        let mut trie = SparseTrie::new(StoredNodes::new(self, TrieId::Accounts), self.head.root);
        let mut updates = Vec::with_capacity(accounts.len());
        for (hash, entry) in accounts {
            batch.insert(TrieId::Accounts.leaf(hash), entry.map(|entry| entry.encode()));
            if let Some(Storage { life, root }) = entry.and_then(|entry| entry.storage)
                && let Some(slots) = slots.remove(&life)
            {
                let nodes = self.slots_back(life, roots[&life], slots, &mut batch)?;
                if nodes.root != root {
                    return Err(DiskError::StorageRoot { account: hash, expected: root, found: nodes.root });
                }
                nodes.write_into(&mut batch, TrieId::Storage(life));
            }
            updates.push((hash, entry.map(|entry| alloy_rlp::encode(entry.leaf()))));
        }
        trie.update(updates)?;
        let nodes = trie.take_changes();
        if nodes.root != mark.root {
            return Err(DiskError::Root { number: mark.number, expected: mark.root, found: nodes.root });
        }
        nodes.write_into(&mut batch, TrieId::Accounts);
        unborn.into_iter().for_each(|life| drop(batch.insert(Key::ended(0, life), Some(Vec::new()))));
        batch.insert(Key::head(), Some(mark.number.to_be_bytes().to_vec()));
        Ok(batch)
    }

    /// Puts back what slots of a life held, and says what becomes of their trie, whose root is `root` now.
    fn slots_back(
        &self,
        life: LifeId,
        root: B256,
        slots: B256Map<U256>,
        batch: &mut Batch,
    ) -> Result<NodeChanges, DiskError> {
        let mut trie = self.storage_trie(life, root);
        let mut updates = Vec::with_capacity(slots.len());
        for (hash, value) in slots {
            let held = (!value.is_zero()).then_some(value);
            batch.insert(TrieId::Storage(life).leaf(hash), held.map(|value| value.to_be_bytes_trimmed_vec()));
            updates.push((hash, held.map(alloy_rlp::encode)));
        }
        trie.update(updates)?;
        Ok(trie.take_changes())
    }

    /// Takes away what is kept of the blocks after `number` beside the state.
    fn without_blocks_after(&self, number: u64) -> Result<Batch, DiskError> {
        let mut batch = Batch::new();
        for block in number + 1..=self.head.number {
            batch.insert(Key::undo(block), None);
            batch.insert(Key::block(block), None);
        }
        let (from, to) = (Key::ended(number + 1, LifeId::FIRST), Key::all_ended().1);
        for pair in self.tables.range(&from, &to)? {
            batch.insert(Key::from(pair?.0.as_slice()), None);
        }
        Ok(batch)
    }
}

impl RevertPlan {
    /// Takes an account back to what it was before a block, which wrote slots of the lives `written`.
    fn take_account_back(
        &mut self,
        hash: B256,
        before: Option<AccountEntry>,
        now: Option<AccountEntry>,
        written: &HashSet<LifeId>,
    ) {
        let [before_storage, now_storage] = [before, now].map(|entry| entry.and_then(|entry| entry.storage));
        let goes_on = |now: &Storage| before_storage.is_some_and(|before| before.life == now.life);
        if let Some(Storage { life, root }) = before_storage {
            // A life in which the block wrote slots went on after it: whoever does not live it now forgot it
            // later, when it was empty. In one that ended nobody wrote any more.
            let gone = if written.contains(&life) { EMPTY_ROOT_HASH } else { root };
            let root_now = now_storage.filter(goes_on).map_or(gone, |now| now.root);
            self.roots.entry(life).or_insert(root_now);
        }
        self.unborn.extend(now_storage.filter(|now| !goes_on(now)).map(|now| now.life));
        self.accounts.insert(hash, before);
    }
}
