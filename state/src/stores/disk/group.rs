//! Staging accounts group by group, on several threads: what a group has to hash is hashed together.
//!
//! Promises that an account is staged only if it and its slots hold what the changes started from.

use std::ops::Deref;

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
        account_entry::{AccountEntry, LifeId, Storage},
        error::DiskError,
        keys::TrieId,
        nodes::StoredNodes,
        stage::{StagedAccount, StagedSlot},
        streaming_root::{StreamedStorage, LifeAllocator, WrittenStorage},
    },
    trie::{
        change::{PreviousLeaf, Insertion, Presence},
        expected_leaves::ExpectedLeaves,
        sparse::{NodeChanges, SparseTrie},
    },
};

/// How many accounts are staged together: enough to be hashed side by side, few enough for every thread to
/// get some.
pub(super) const TOGETHER: usize = 32;

/// From so many slots on the trie of a storage is named for itself, on several threads.
const LARGE_FROM: usize = 256;

/// The trie of a storage.
pub(super) type StorageTrie<'s> = SparseTrie<StoredNodes<'s>>;

/// An account that changes, and what was learned of its storage before.
#[derive(Debug)]
pub(super) struct ChangedAccount<'c, 's> {
    pub(super) address: Address,
    pub(super) change: &'c AccountChange,
    pub(super) fed: StreamedStorage<'s>,
    pub(super) entries: EntrySource,
}

/// How it is known what is kept of an account before it changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EntrySource {
    /// It is read.
    Read,
    /// It is not read where the change says enough. The accounts' trie has to vouch for it; it is read where
    /// that does not.
    FromChange,
}

/// A storage whose slots are in its trie, but not hashed yet.
struct UnhashedStorage<'s> {
    life: LifeId,
    trie: StorageTrie<'s>,
}

/// An account that is staged but for the storage that is still open.
type PartlyStaged<'s> = (StagedAccount, Option<UnhashedStorage<'s>>);

impl DiskStore {
    /// Stages accounts, in groups.
    pub(super) fn stage_accounts<'s>(
        &'s self,
        listed: Vec<ChangedAccount<'_, 's>>,
        lives: &LifeAllocator,
    ) -> Result<Vec<Vec<StagedAccount>>, DiskError> {
        let groups = listed.into_par_iter().chunks(TOGETHER);
        all(groups.map(|group| self.stage_group(group, lives)).collect())
    }

    fn stage_group<'s>(
        &'s self,
        group: Vec<ChangedAccount<'_, 's>>,
        lives: &LifeAllocator,
    ) -> Result<Vec<StagedAccount>, DiskError> {
        let addresses: Vec<_> = group.iter().map(|listed| listed.address).collect();
        let keys = group.iter().flat_map(|listed| written_slots(listed.change));
        let keys: Vec<_> = keys.map(|(key, _)| key.to_be_bytes::<32>()).collect();
        let (hashes, mut slot_hashes) = (keccak256_all(&addresses), keccak256_all(&keys).into_iter());
        let changes: Vec<_> = group.iter().map(|listed| listed.change).collect();
        let mut claims = ExpectedLeaves::default();
        let stage = |(at, (listed, hash)): (usize, (ChangedAccount<'_, 's>, B256))| {
            let slots = written_slots(listed.change).zip(&mut slot_hashes);
            let slots = slots.map(|((key, change), hash)| StagedSlot { key: *key, hash, change: *change });
            self.stage_account(listed, hash, slots.collect(), lives, |slot, found| {
                claims.add(at, &Nibbles::unpack(slot.hash), &leaf_value(slot.change.before), found);
            })
        };
        let mut staged: Vec<_> = group.into_iter().zip(hashes).enumerate().map(stage).collect();
        for at in claims.refuted() {
            if let Ok((account, _)) = &staged[at] {
                staged[at] = Err(self.misfit(account.address, changes[at], account.before));
            }
        }
        Ok(close_all(all(staged)?))
    }

    /// Stages an account; its storage may stay open, to be hashed together with others. `found` is told what
    /// stood in its trie under the slots that change: what has to be what the changes started from.
    fn stage_account<'s>(
        &'s self,
        listed: ChangedAccount<'_, 's>,
        hash: B256,
        slots: Vec<StagedSlot>,
        lives: &LifeAllocator,
        found: impl FnMut(&StagedSlot, &PreviousLeaf),
    ) -> Result<PartlyStaged<'s>, DiskError> {
        let before = self.entry_before(&listed)?;
        let ChangedAccount { address, change, fed, .. } = listed;
        let held = before.map(|entry| entry.account);
        if let Some(misfit) = account_difference(address, change.account.before, held) {
            return Err(misfit.into());
        }
        let kept = kept_storage(change, before);
        let is_seen = |slot: &Change<U256>| change.account.after.is_some() && slot.is_change();
        let unseen = change.slots.iter().filter(|(_, slot)| !is_seen(slot));
        self.check_slots_fit(address, kept, unseen).map_err(|error| match error {
            DiskError::Mismatch(_) => self.misfit(address, change, before),
            error => error,
        })?;
        let after = change.account.after.map(|account| AccountEntry { account, storage: kept });
        let mut account = StagedAccount { address, hash, before, after, slots, nodes: None };
        if account.slots.is_empty() {
            return Ok((account, None));
        }
        let is_its_life =
            |fed: &WrittenStorage<'_>| kept.map_or(fed.life >= self.next_life, |storage| fed.life == storage.life);
        let mut open = match fed.filter(|fed| is_its_life(fed) && fed.comes_to(change)) {
            Some(fed) => UnhashedStorage { life: fed.life, trie: fed.trie },
            None => self.open_storage(kept, &mut account.slots, lives, found)?,
        };
        if account.slots.len() < LARGE_FROM {
            return Ok((account, Some(open)));
        }
        account.close_storage(open.life, open.trie.take_changes());
        Ok((account, None))
    }

    /// What is kept of an account. Of who has no code it is taken for what the change says, and for having no
    /// storage, unless the change tells of that.
    fn entry_before(&self, listed: &ChangedAccount<'_, '_>) -> Result<Option<AccountEntry>, DiskError> {
        let ChangedAccount { address, change: AccountChange { account, life, slots, .. }, entries, .. } = listed;
        let is_in_trie = account.before.is_some() || account.after.is_some();
        let has_code = account.before.is_some_and(|before| before.has_code());
        let is_plain = *life == Life::Same && slots.is_empty() && !has_code;
        if *entries == EntrySource::FromChange && is_in_trie && is_plain {
            return Ok(account.before.map(|account| AccountEntry { account, storage: None }));
        }
        self.entry(*address)
    }

    fn check_slots_fit<'c>(
        &self,
        address: Address,
        kept: Option<Storage>,
        slots: impl Iterator<Item = (&'c U256, &'c Change<U256>)>,
    ) -> Result<(), DiskError> {
        let mut misfit: Option<(U256, Change<U256>, U256)> = None;
        for (key, slot) in slots {
            let held = kept.map_or(Ok(U256::ZERO), |storage| self.slot(storage.life, *key))?;
            if held != slot.before && misfit.is_none_or(|(lowest, ..)| *key < lowest) {
                misfit = Some((*key, *slot, held));
            }
        }
        misfit.map_or(Ok(()), |(key, slot, held)| {
            Err(Mismatch::of_slot(address, key, slot.before, held).into())
        })
    }

    /// What is wrong with changes whose slots did not hold in the trie what they started from.
    fn misfit(&self, address: Address, change: &AccountChange, before: Option<AccountEntry>) -> DiskError {
        match self.check_slots_fit(address, kept_storage(change, before), change.slots.iter()) {
            Err(error) => error,
            Ok(()) => self.damaged(format!("the storage of {address}"), "its trie and its slots differ"),
        }
    }

    /// A storage with what is written to it. Its slots are put in the order of their hashes.
    fn open_storage<'s>(
        &'s self,
        kept: Option<Storage>,
        slots: &mut [StagedSlot],
        lives: &LifeAllocator,
        mut found: impl FnMut(&StagedSlot, &PreviousLeaf),
    ) -> Result<UnhashedStorage<'s>, DiskError> {
        let life = kept.map_or_else(|| lives.begin(), |storage| storage.life);
        let root = kept.map_or(EMPTY_ROOT_HASH, |storage| storage.root);
        let mut trie = self.storage_trie(life, root);
        slots.sort_unstable_by_key(|slot| slot.hash);
        let (emptied, filled): (Vec<_>, Vec<_>) = slots.iter().partition(|slot| slot.change.after.is_zero());
        let insertion = |slot: &&StagedSlot| {
            Insertion::new(slot.hash, alloy_rlp::encode(slot.change.after), presence(slot.change.before))
        };
        let mut insertions: Vec<_> = filled.iter().map(insertion).collect();
        trie.insert_all(&mut insertions)?;
        filled.into_iter().zip(&insertions).for_each(|(slot, insertion)| found(slot, &insertion.found));
        for slot in emptied {
            found(slot, &trie.remove(slot.hash, presence(slot.change.before))?);
        }
        Ok(UnhashedStorage { life, trie })
    }

    /// The trie of a storage with this root.
    pub(super) fn storage_trie(&self, life: LifeId, root: B256) -> StorageTrie<'_> {
        SparseTrie::new(StoredNodes::new(self, TrieId::Storage(life)), root)
    }
}

impl StagedAccount {
    /// What became of its storage.
    fn close_storage(&mut self, life: LifeId, nodes: NodeChanges) {
        let after = self.after.as_mut().expect("only what is there afterwards has slots");
        after.storage = Some(Storage { life, root: nodes.root });
        self.nodes = Some(nodes);
    }
}

/// The storage in which an account's slots change, if it had any; a new life has none.
fn kept_storage(change: &AccountChange, before: Option<AccountEntry>) -> Option<Storage> {
    before.and_then(|entry| entry.storage).filter(|_| change.life == Life::Same)
}

/// The slots that change of an account that is there afterwards.
fn written_slots(change: &AccountChange) -> impl Iterator<Item = (&U256, &Change<U256>)> {
    let is_there = change.account.after.is_some();
    change.slots.iter().filter(move |(_, slot)| is_there && slot.is_change())
}

/// What the leaf of a slot that holds this has: nothing if there is none.
pub(super) fn leaf_value(word: U256) -> impl Deref<Target = [u8]> {
    if word.is_zero() { Default::default() } else { alloy_rlp::encode_fixed_size(&word) }
}

/// Whether a slot that held this has a leaf.
pub(super) fn presence(before: U256) -> Presence {
    if before.is_zero() { Presence::Unknown } else { Presence::Present }
}

/// Closes the storages that are still open, which are hashed together.
fn close_all(mut staged: Vec<PartlyStaged<'_>>) -> Vec<StagedAccount> {
    let open = staged.iter_mut().filter_map(|(_, open)| open.as_mut());
    let mut nodes = StorageTrie::take_all_changes(open.map(|open| &mut open.trie)).into_iter();
    let close = |(mut account, open): PartlyStaged<'_>| {
        if let Some(UnhashedStorage { life, .. }) = open {
            account.close_storage(life, nodes.next().expect("every open storage has its nodes"));
        }
        account
    };
    staged.into_iter().map(close).collect()
}

/// What was staged, if all was; otherwise the first misfit in order of addresses or, if there is none, any other
/// error.
fn all<T>(staged: Vec<Result<T, DiskError>>) -> Result<Vec<T>, DiskError> {
    let misfit = |result: &Result<T, DiskError>| match result {
        Err(DiskError::Mismatch(mismatch)) => Some(mismatch.clone()),
        Ok(_) | Err(_) => None,
    };
    match staged.iter().filter_map(misfit).min_by_key(|misfit| misfit.location.address()) {
        Some(first) => Err(DiskError::Mismatch(first)),
        None => staged.into_iter().collect(),
    }
}
