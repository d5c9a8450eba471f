//! The streaming root: processes the steps of a block on a thread of its own, while the block is still executed.
//!
//! The storage tries apply every step. In the account trie only the paths of accounts are prefetched, because the
//! accounts are final only at the end. Streamed results are untrusted: staging recomputes each storage that does not
//! match the changes of the block.

use std::{panic::resume_unwind, sync::mpsc, thread};

use alloy_primitives::{
    Address, B256, U256, keccak256,
    map::{AddressMap, U256Map},
};
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles};

use crate::{
    model::changes::{AccountChange, Change, Changes, Life},
    stores::disk::{
        DiskStore, Head,
        account_entry::{LifeId, StorageEntry},
        error::DiskError,
        nodes::StoredNodes,
        storage_trie::{LifeAllocator, StorageTrie, leaf_value, presence},
    },
    trie::{change::PreviousLeaf, expected_leaves::ExpectedLeaves, slot_key, sparse::SparseTrie},
};

/// Sends the steps of a block to a streaming root as they are committed.
#[derive(Debug)]
pub struct StepSender(mpsc::Sender<Changes>);

impl StepSender {
    /// Sends the changes of a step.
    pub fn send(&mut self, changes: Changes) {
        // The receiver is gone only after an error, which staging the block returns.
        let _ = self.0.send(changes);
    }
}

/// The streaming root of a block: the tries after the steps that were sent.
#[derive(Debug)]
pub struct StreamingRoot<'s> {
    store: &'s DiskStore,
    /// What the block starts from.
    pub(super) parent: Head,
    pub(super) accounts: SparseTrie<StoredNodes<'s>>,
    storages: AddressMap<StreamedStorage<'s>>,
    pub(super) lives: LifeAllocator,
    /// The hashed addresses of the accounts whose paths were prefetched.
    pub(super) prefetched: Vec<B256>,
    failure: Option<DiskError>,
}

/// The streamed storage of an account; `None` after the begin of a new life without a write.
pub(super) type StreamedStorage<'s> = Option<Box<WrittenStorage<'s>>>;

/// A storage with writes.
#[derive(Debug)]
pub(super) struct WrittenStorage<'s> {
    /// The life of the slots.
    pub(super) life: LifeId,
    /// The storage trie.
    pub(super) trie: StorageTrie<'s>,
    /// The first value before and the last value after of each written slot.
    values: U256Map<Change<U256>>,
    /// The values before, according to the steps. The trie must confirm them.
    expected: ExpectedLeaves,
}

impl DiskStore {
    /// Runs `execute`, which sends the steps of a block, and applies them to the tries on another thread meanwhile.
    ///
    /// # Panics
    ///
    /// If `execute` panics.
    pub fn stream_root<R>(&self, execute: impl FnOnce(&mut StepSender) -> R) -> (R, StreamingRoot<'_>) {
        let (sender, steps) = mpsc::channel();
        thread::scope(|scope| {
            let streaming = scope.spawn(|| {
                let mut root = self.new_streaming_root();
                steps.into_iter().for_each(|step| root.apply(&step));
                root
            });
            let result = execute(&mut StepSender(sender));
            (result, streaming.join().unwrap_or_else(|panic| resume_unwind(panic)))
        })
    }

    /// A streaming root without any step.
    pub(super) fn new_streaming_root(&self) -> StreamingRoot<'_> {
        let parent = self.head.read().clone();
        StreamingRoot {
            store: self,
            accounts: self.accounts_trie(),
            storages: AddressMap::default(),
            lives: LifeAllocator::from(parent.next_life),
            parent,
            prefetched: Vec::new(),
            failure: None,
        }
    }
}

impl<'s> StreamingRoot<'s> {
    /// Returns the error of a failed read.
    pub(super) fn check(&mut self) -> Result<(), DiskError> {
        self.failure.take().map_or(Ok(()), Err)
    }

    /// Takes the streamed storage of an account.
    pub(super) fn take(&mut self, address: Address) -> StreamedStorage<'s> {
        self.storages.remove(&address).flatten()
    }

    fn apply(&mut self, step: &Changes) {
        if self.failure.is_some() {
            return;
        }
        let applied =
            step.accounts.iter().try_for_each(|(address, change)| self.apply_account(*address, change));
        self.failure = applied.err();
    }

    fn apply_account(&mut self, address: Address, change: &AccountChange) -> Result<(), DiskError> {
        let hash = keccak256(address);
        self.accounts.prefetch(hash)?;
        self.prefetched.push(hash);
        let Change { before, after } = &change.account;
        if before.is_none() || after.is_none() || change.life == Life::New {
            self.storages.insert(address, None);
        }
        if after.is_none() || change.slots.is_empty() {
            return Ok(());
        }
        let WrittenStorage { trie, values, expected, .. } = &mut **self.storage(address)?;
        for (key, slot) in &change.slots {
            let hash = slot_key(key);
            let previous = write_slot(trie, hash, *slot)?;
            expected.add(0, &Nibbles::unpack(hash), &leaf_value(slot.before), &previous);
            let total = values.entry(*key).or_insert(Change { before: slot.before, after: slot.before });
            total.after = slot.after;
        }
        Ok(())
    }

    /// The storage of an account; a new one if the account has none.
    fn storage(&mut self, address: Address) -> Result<&mut Box<WrittenStorage<'s>>, DiskError> {
        let Self { store, storages, lives, .. } = self;
        let stored = match storages.contains_key(&address) {
            true => None,
            false => store.entry(address)?.and_then(|entry| entry.storage),
        };
        let streamed = storages.entry(address).or_default();
        Ok(streamed.get_or_insert_with(|| {
            let StorageEntry { life, root } =
                stored.unwrap_or_else(|| StorageEntry { life: lives.allocate(), root: EMPTY_ROOT_HASH });
            let trie = store.storage_trie(life, root);
            let (values, expected) = Default::default();
            Box::new(WrittenStorage { life, trie, values, expected })
        }))
    }
}

impl WrittenStorage<'_> {
    /// Whether the streamed steps add up to `change`, and started from the values in the trie.
    pub(super) fn matches(&self, change: &AccountChange) -> bool {
        let is_in_change = |(key, total): (&U256, &Change<U256>)| {
            let unchanged = Change { before: total.before, after: total.before };
            change.slots.get(key).unwrap_or(&unchanged) == total
        };
        let is_streamed =
            |(key, slot): (&U256, &Change<U256>)| !slot.is_change() || self.values.contains_key(key);
        self.values.iter().all(is_in_change)
            && change.slots.iter().all(is_streamed)
            && self.expected.mismatched().is_empty()
    }
}

/// Writes a slot, and returns its previous leaf.
fn write_slot(trie: &mut StorageTrie<'_>, hash: B256, slot: Change<U256>) -> Result<PreviousLeaf, DiskError> {
    if slot.after.is_zero() {
        return trie.remove(hash, presence(slot.before));
    }
    trie.insert(hash, alloy_rlp::encode(slot.after), presence(slot.before))
}

#[cfg(test)]
mod tests {
    use alloy_primitives::Bytes;

    use super::*;
    use crate::{
        model::{account::Account, allocation::Allocation},
        stores::disk::{DiskConfig, NewBlock, genesis::Genesis},
    };

    const OWNER: Address = Address::repeat_byte(1);

    /// A store in which the owner has 7 in slot 1, and its folder.
    fn store() -> (tempfile::TempDir, DiskStore) {
        let folder = tempfile::tempdir().unwrap();
        let mut genesis = Genesis::begin(folder.path(), DiskConfig::default()).unwrap();
        let storage = [(U256::ONE, U256::from(7))].into();
        genesis.add(OWNER, Allocation { nonce: 1, storage, ..Allocation::default() }).unwrap();
        let block = NewBlock { number: 0, hash: B256::ZERO, note: Bytes::new(), encoded: Bytes::new() };
        (folder, genesis.finish(block).unwrap())
    }

    /// A slot, and its value before and after.
    type SlotStep = (u64, u64, u64);

    /// A step of the owner: whether it exists before and after, whether its life is new, and its slots.
    fn step(exists: [bool; 2], life: Life, slots: &[SlotStep]) -> AccountChange {
        let [before, after] = exists.map(|exists| exists.then_some(Account::EMPTY));
        let change =
            |[before, after]: [u64; 2]| Change { before: U256::from(before), after: U256::from(after) };
        let slots = slots.iter().map(|(key, before, after)| (U256::from(*key), change([*before, *after])));
        AccountChange { account: Change { before, after }, life, slots: slots.collect() }
    }

    fn written(slots: &[SlotStep]) -> AccountChange {
        step([true; 2], Life::Same, slots)
    }

    /// The streamed storage of the owner after some steps.
    fn streamed<'s>(store: &'s DiskStore, steps: &[AccountChange]) -> StreamedStorage<'s> {
        let send = |sender: &mut StepSender, step: &AccountChange| {
            let accounts = [(OWNER, step.clone())].into_iter().collect();
            sender.send(Changes { accounts, ..Changes::default() });
        };
        let (_, mut root) = store.stream_root(|sender| steps.iter().for_each(|step| send(sender, step)));
        root.check().unwrap();
        root.take(OWNER)
    }

    #[test]
    fn a_streamed_storage_has_the_writes_of_the_present_life() {
        let (_folder, store) = store();
        let stored = store.entry(OWNER).unwrap().unwrap().storage.unwrap().life;
        let old = written(&[(2, 0, 5)]);
        let ended = step([true, false], Life::Same, &[]);
        let absent_before = step([false, true], Life::Same, &[(3, 0, 4)]);
        let new_life = step([true; 2], Life::New, &[(3, 0, 4)]);
        let [both, new] = [written(&[(2, 0, 5), (3, 0, 4)]), written(&[(3, 0, 4)])];
        let table: [(&[AccountChange], &AccountChange, LifeId); 4] = [
            (&[old.clone(), new.clone()], &both, stored),
            (&[old.clone(), ended.clone(), new.clone()], &new, store.next_life()),
            (&[old.clone(), absent_before], &new, store.next_life()),
            (&[old.clone(), new_life], &new, store.next_life()),
        ];
        for (number, (steps, change, life)) in table.into_iter().enumerate() {
            let storage = streamed(&store, steps).unwrap();
            assert_eq!(storage.life, life, "case {number}");
            assert!(storage.matches(change), "case {number}");
        }
        // A payment, an account that ends, and one that ends with its slots.
        let ended_with_slots = step([true, false], Life::Same, &[(2, 5, 0)]);
        for steps in [vec![written(&[])], vec![old.clone(), ended], vec![old, ended_with_slots]] {
            assert!(streamed(&store, &steps).is_none());
        }
    }

    #[test]
    fn a_streamed_storage_matches_only_the_changes_that_it_adds_up_to() {
        let (_folder, store) = store();
        let steps = [written(&[(1, 7, 8), (2, 0, 5)]), written(&[(1, 8, 7)])];
        let storage = streamed(&store, &steps).unwrap();
        let table: [(&[SlotStep], bool); 6] = [
            (&[(2, 0, 5)], true),
            (&[(2, 0, 5), (1, 7, 7), (3, 4, 4)], true),
            (&[(2, 0, 5), (1, 7, 8)], false),
            (&[(2, 0, 5), (3, 0, 4)], false),
            (&[(2, 0, 6)], false),
            (&[], false),
        ];
        for (slots, matches) in table {
            assert_eq!(storage.matches(&written(slots)), matches, "{slots:?}");
        }
        let from_another_value = streamed(&store, &[written(&[(1, 6, 8)])]).unwrap();
        assert!(!from_another_value.matches(&written(&[(1, 6, 8)])), "the trie has 7");
    }
}
