//! Stages accounts in groups, on several threads. All hashes of a group are computed together.
//!
//! Promises that an account is staged only if it and its slots have the values that the changes started from.

use alloy_primitives::{Address, B256, U256};
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles};
use rayon::prelude::*;

use crate::{
    keccak::keccak256_all,
    model::{
        changes::{AccountChange, Change, Life, account_difference},
        mismatch::Mismatch,
    },
    stores::disk::{
        DiskStore,
        account_entry::{AccountEntry, LifeId, StorageEntry},
        error::DiskError,
        staged::{StagedAccount, StagedSlot},
        storage_trie::{LifeAllocator, StorageTrie, leaf_value, presence},
        streaming_root::{StreamedStorage, WrittenStorage},
    },
    trie::{
        change::{Insertion, PreviousLeaf},
        expected_leaves::ExpectedLeaves,
    },
};

/// The number of accounts of a group: enough to hash in parallel lanes, few enough to share among threads.
pub(super) const GROUP_SIZE: usize = 32;

/// The least number of changed slots of a storage trie that is hashed alone, on several threads.
const LARGE_FROM: usize = 256;

/// A changed account, with its streamed storage if it has one.
#[derive(Debug)]
pub(super) struct ChangedAccount<'c, 's> {
    pub(super) address: Address,
    pub(super) change: &'c AccountChange,
    pub(super) streamed: StreamedStorage<'s>,
    pub(super) source: EntrySource,
}

/// The source of an account's entry before its change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EntrySource {
    /// The store.
    Store,
    /// The change itself, where it suffices. The account trie must confirm the entry; otherwise it is read from the
    /// store.
    Change,
}

/// A storage trie with all its changes, not hashed yet.
struct UnhashedStorage<'s> {
    life: LifeId,
    trie: StorageTrie<'s>,
}

/// A staged account, and its storage trie if that is not hashed yet.
type PartlyStaged<'s> = (StagedAccount, Option<UnhashedStorage<'s>>);

impl DiskStore {
    /// Stages accounts, in groups.
    pub(super) fn stage_accounts<'s>(
        &'s self,
        changed: Vec<ChangedAccount<'_, 's>>,
        lives: &LifeAllocator,
    ) -> Result<Vec<Vec<StagedAccount>>, DiskError> {
        let groups = changed.into_par_iter().chunks(GROUP_SIZE);
        all(groups.map(|group| self.stage_group(group, lives)).collect())
    }

    fn stage_group<'s>(
        &'s self,
        group: Vec<ChangedAccount<'_, 's>>,
        lives: &LifeAllocator,
    ) -> Result<Vec<StagedAccount>, DiskError> {
        let addresses: Vec<_> = group.iter().map(|changed| changed.address).collect();
        let keys = group.iter().flat_map(|changed| written_slots(changed.change));
        let keys: Vec<_> = keys.map(|(key, _)| key.to_be_bytes::<32>()).collect();
        let (hashes, mut slot_hashes) = (keccak256_all(&addresses), keccak256_all(&keys).into_iter());
        let changes: Vec<_> = group.iter().map(|changed| changed.change).collect();
        let mut expected = ExpectedLeaves::default();
        let stage = |(at, (changed, hash)): (usize, (ChangedAccount<'_, 's>, B256))| {
            let slots = written_slots(changed.change).zip(&mut slot_hashes);
            let slots = slots.map(|((key, change), hash)| StagedSlot { key: *key, hash, change: *change });
            self.stage_account(changed, hash, slots.collect(), lives, |slot, previous| {
                expected.add(at, &Nibbles::unpack(slot.hash), &leaf_value(slot.change.before), previous);
            })
        };
        let mut staged: Vec<_> = group.into_iter().zip(hashes).enumerate().map(stage).collect();
        for at in expected.mismatched() {
            if let Ok((account, _)) = &staged[at] {
                staged[at] = Err(self.slot_mismatch(account.address, changes[at], account.before));
            }
        }
        Ok(hash_storages(all(staged)?))
    }

    /// Stages an account. Its storage trie may be left unhashed, to be hashed together with others. `check` gets the
    /// previous leaf of each changed slot, which must have the value that the change started from.
    fn stage_account<'s>(
        &'s self,
        changed: ChangedAccount<'_, 's>,
        hash: B256,
        slots: Vec<StagedSlot>,
        lives: &LifeAllocator,
        check: impl FnMut(&StagedSlot, &PreviousLeaf),
    ) -> Result<PartlyStaged<'s>, DiskError> {
        let before = self.entry_before(&changed)?;
        let ChangedAccount { address, change, streamed, .. } = changed;
        let found = before.map(|entry| entry.account);
        if let Some(mismatch) = account_difference(address, change.account.before, found) {
            return Err(mismatch.into());
        }
        let storage = continued_storage(change, before);
        let is_written = |slot: &Change<U256>| change.account.after.is_some() && slot.is_change();
        let unwritten = change.slots.iter().filter(|(_, slot)| !is_written(slot));
        self.check_slots(address, storage, unwritten).map_err(|error| match error {
            DiskError::Mismatch(_) => self.slot_mismatch(address, change, before),
            error => error,
        })?;
        let after = change.account.after.map(|account| AccountEntry { account, storage });
        let mut account = StagedAccount { address, hash, before, after, slots, nodes: None };
        if account.slots.is_empty() {
            return Ok((account, None));
        }
        let is_same_life = |streamed: &WrittenStorage<'_>| {
            storage.map_or(streamed.life >= self.next_life(), |storage| streamed.life == storage.life)
        };
        let mut unhashed =
            match streamed.filter(|streamed| is_same_life(streamed) && streamed.matches(change)) {
                Some(streamed) => UnhashedStorage { life: streamed.life, trie: streamed.trie },
                None => self.write_storage(storage, &mut account.slots, lives, check)?,
            };
        if account.slots.len() < LARGE_FROM {
            return Ok((account, Some(unhashed)));
        }
        account.set_storage(unhashed.life, unhashed.trie.take_changes());
        Ok((account, None))
    }

    /// The entry of an account before its change. An account without code and without slot changes is assumed to be
    /// as the change says, and to have no storage.
    fn entry_before(&self, changed: &ChangedAccount<'_, '_>) -> Result<Option<AccountEntry>, DiskError> {
        let ChangedAccount { address, change: AccountChange { account, life, slots, .. }, source, .. } =
            changed;
        let is_in_trie = account.before.is_some() || account.after.is_some();
        let has_code = account.before.is_some_and(|before| before.has_code());
        let is_plain = *life == Life::Same && slots.is_empty() && !has_code;
        if *source == EntrySource::Change && is_in_trie && is_plain {
            return Ok(account.before.map(|account| AccountEntry { account, storage: None }));
        }
        self.entry(*address)
    }

    /// Returns the mismatch of the lowest slot that differs from the value that its change started from.
    fn check_slots<'c>(
        &self,
        address: Address,
        storage: Option<StorageEntry>,
        slots: impl Iterator<Item = (&'c U256, &'c Change<U256>)>,
    ) -> Result<(), DiskError> {
        let mut mismatch: Option<(U256, Change<U256>, U256)> = None;
        for (key, slot) in slots {
            let found = storage.map_or(Ok(U256::ZERO), |storage| self.slot(storage.life, *key))?;
            if found != slot.before && mismatch.is_none_or(|(lowest, ..)| *key < lowest) {
                mismatch = Some((*key, *slot, found));
            }
        }
        mismatch.map_or(Ok(()), |(key, slot, found)| {
            Err(Mismatch::of_slot(address, key, slot.before, found).into())
        })
    }

    /// The error of a change whose slots differ in the trie from the values that it started from.
    fn slot_mismatch(
        &self,
        address: Address,
        change: &AccountChange,
        before: Option<AccountEntry>,
    ) -> DiskError {
        match self.check_slots(address, continued_storage(change, before), change.slots.iter()) {
            Err(error) => error,
            Ok(()) => self.damaged(format!("the storage of {address}"), "its trie and its slots differ"),
        }
    }

    /// Writes slots into a storage trie. Sorts the slots by their hashes.
    fn write_storage<'s>(
        &'s self,
        storage: Option<StorageEntry>,
        slots: &mut [StagedSlot],
        lives: &LifeAllocator,
        mut check: impl FnMut(&StagedSlot, &PreviousLeaf),
    ) -> Result<UnhashedStorage<'s>, DiskError> {
        let life = storage.map_or_else(|| lives.allocate(), |storage| storage.life);
        let root = storage.map_or(EMPTY_ROOT_HASH, |storage| storage.root);
        let mut trie = self.storage_trie(life, root);
        slots.sort_unstable_by_key(|slot| slot.hash);
        let (cleared, written): (Vec<_>, Vec<_>) = slots.iter().partition(|slot| slot.change.after.is_zero());
        let insertion = |slot: &&StagedSlot| {
            Insertion::new(slot.hash, alloy_rlp::encode(slot.change.after), presence(slot.change.before))
        };
        let mut insertions: Vec<_> = written.iter().map(insertion).collect();
        trie.insert_all(&mut insertions)?;
        written.into_iter().zip(&insertions).for_each(|(slot, insertion)| check(slot, &insertion.previous));
        for slot in cleared {
            check(slot, &trie.remove(slot.hash, presence(slot.change.before))?);
        }
        Ok(UnhashedStorage { life, trie })
    }
}

/// The storage that the account had before and keeps; a new life keeps none.
fn continued_storage(change: &AccountChange, before: Option<AccountEntry>) -> Option<StorageEntry> {
    before.and_then(|entry| entry.storage).filter(|_| change.life == Life::Same)
}

/// The changed slots of an account that exists afterwards.
fn written_slots(change: &AccountChange) -> impl Iterator<Item = (&U256, &Change<U256>)> {
    let exists = change.account.after.is_some();
    change.slots.iter().filter(move |(_, slot)| exists && slot.is_change())
}

/// Hashes all unhashed storage tries together.
fn hash_storages(mut staged: Vec<PartlyStaged<'_>>) -> Vec<StagedAccount> {
    let unhashed = staged.iter_mut().filter_map(|(_, unhashed)| unhashed.as_mut());
    let mut nodes = StorageTrie::take_all_changes(unhashed.map(|unhashed| &mut unhashed.trie)).into_iter();
    let finish = |(mut account, unhashed): PartlyStaged<'_>| {
        if let Some(UnhashedStorage { life, .. }) = unhashed {
            account.set_storage(life, nodes.next().expect("every unhashed storage has its changes"));
        }
        account
    };
    staged.into_iter().map(finish).collect()
}

/// All staged values, or an error: the first mismatch in order of addresses or, without a mismatch, any other error.
fn all<T>(staged: Vec<Result<T, DiskError>>) -> Result<Vec<T>, DiskError> {
    let mismatch = |result: &Result<T, DiskError>| match result {
        Err(DiskError::Mismatch(mismatch)) => Some(mismatch.clone()),
        Ok(_) | Err(_) => None,
    };
    match staged.iter().filter_map(mismatch).min_by_key(|mismatch| mismatch.location.address()) {
        Some(first) => Err(DiskError::Mismatch(first)),
        None => staged.into_iter().collect(),
    }
}
