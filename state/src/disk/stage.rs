//! What a block makes of a store, before anybody says that it is to be kept.

use alloy_primitives::{Address, B256, U256, keccak256, map::B256Map};
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles};
use rayon::prelude::*;
use revm_state::Bytecode;

use super::{
    DiskError, DiskStore,
    entry::{Entry, LifeId, Storage},
    feed::{Fed, FedStorage, Lives, Written},
    keys::Trie,
    nodes::StoredNodes,
};
use crate::{
    AccountChange, Change, Changes, Life, Mismatch,
    changes::account_difference,
    trie::{Insertion, Link, NodeChanges, PartialTrie, Presence},
};

/// Below this many accounts, handing them to other threads costs more than it saves.
const PARALLEL_FROM: usize = 32;

/// What changes make of the state of a store, and its root then. The store is as it was until
/// [`DiskStore::commit`] is told to keep it.
#[derive(Debug)]
pub struct Staged {
    pub(super) root: B256,
    /// The block that the changes were made on.
    pub(super) on: B256,
    pub(super) accounts: Vec<StagedAccount>,
    pub(super) codes: B256Map<Bytecode>,
    /// What became of the accounts' trie.
    pub(super) nodes: NodeChanges,
    pub(super) trie: Link,
    pub(super) next_life: LifeId,
}

impl Staged {
    /// The state root after the changes.
    pub fn root(&self) -> B256 {
        self.root
    }
}

/// What becomes of one account.
#[derive(Debug)]
pub(super) struct StagedAccount {
    pub(super) address: Address,
    /// The hash of its address.
    pub(super) hash: B256,
    pub(super) before: Option<Entry>,
    pub(super) after: Option<Entry>,
    /// The slots that change.
    pub(super) slots: Vec<StagedSlot>,
    /// What became of its storage's trie, if anything did.
    pub(super) nodes: Option<NodeChanges>,
}

/// What becomes of one slot.
#[derive(Debug)]
pub(super) struct StagedSlot {
    pub(super) key: U256,
    /// The hash of its key.
    pub(super) hash: B256,
    pub(super) change: Change<U256>,
}

/// The trie of a storage.
pub(super) type StorageTrie<'s> = PartialTrie<StoredNodes<'s>>;

impl DiskStore {
    /// Works out what `changes` make of the state. Nothing is written.
    ///
    /// # Errors
    ///
    /// [`DiskError::Misfit`] for the first place, in order of addresses, that does not hold what the
    /// changes started from; otherwise if the store cannot be read.
    pub fn stage(&self, changes: &Changes) -> Result<Staged, DiskError> {
        self.stage_fed(changes, self.unfed())
    }

    /// Works out what `changes` make of the state, of which `fed` was told step by step.
    ///
    /// # Errors
    ///
    /// See [`stage`](Self::stage).
    pub fn stage_fed(&self, changes: &Changes, mut fed: Fed<'_>) -> Result<Staged, DiskError> {
        fed.check()?;
        let listed = changes.accounts.iter().map(|(address, change)| (*address, change, fed.take(*address)));
        let listed = listed.collect();
        let accounts = self.stage_accounts(listed, &fed.lives)?;
        let (insertions, removals) = leaves(&accounts);
        let Fed { accounts: mut trie, lives, .. } = fed;
        trie.insert_all(insertions)?;
        removals.into_iter().try_for_each(|hash| trie.remove(hash))?;
        let nodes = trie.take_changes();
        Ok(Staged {
            root: nodes.root,
            on: self.head.hash,
            accounts,
            codes: changes.codes.clone(),
            nodes,
            trie: trie.into_root(),
            next_life: lives.next(),
        })
    }
}

impl DiskStore {
    fn stage_accounts<'s>(
        &'s self,
        listed: Vec<(Address, &AccountChange, FedStorage<'s>)>,
        lives: &Lives,
    ) -> Result<Vec<StagedAccount>, DiskError> {
        let stage = |(address, change, fed)| self.stage_account(address, change, fed, lives);
        let staged: Vec<_> = if listed.len() < PARALLEL_FROM {
            listed.into_iter().map(stage).collect()
        } else {
            listed.into_par_iter().map(stage).collect()
        };
        let misfit = staged.iter().filter_map(|result| match result {
            Err(DiskError::Misfit(mismatch)) => Some(mismatch),
            Ok(_) | Err(_) => None,
        });
        let first = misfit.min_by_key(|mismatch| mismatch.location.address()).cloned();
        first.map_or_else(|| staged.into_iter().collect(), |first| Err(DiskError::Misfit(first)))
    }

    fn stage_account<'s>(
        &'s self,
        address: Address,
        change: &AccountChange,
        fed: FedStorage<'s>,
        lives: &Lives,
    ) -> Result<StagedAccount, DiskError> {
        let before = self.entry(address)?;
        if let Some(misfit) =
            account_difference(address, change.account.before, before.map(|entry| entry.account))
        {
            return Err(misfit.into());
        }
        let kept = before.and_then(|entry| entry.storage).filter(|_| change.life == Life::Same);
        self.check_slots_fit(address, change, kept)?;
        let mut staged = StagedAccount {
            address,
            hash: keccak256(address),
            before,
            after: None,
            slots: Vec::new(),
            nodes: None,
        };
        let Some(account) = change.account.after else { return Ok(staged) };
        let slots = change.slots.iter().filter(|(_, slot)| slot.is_change());
        let slot = |(key, change): (&U256, &Change<U256>)| StagedSlot {
            key: *key,
            hash: hashed(key),
            change: *change,
        };
        staged.slots = slots.map(slot).collect();
        staged.after = Some(Entry { account, storage: kept });
        if !staged.slots.is_empty() {
            let fed = fed.filter(|fed| self.is_as_fed(change, kept, fed));
            let (storage, nodes) = self.stage_storage(kept, &staged.slots, fed, lives)?;
            (staged.after, staged.nodes) = (Some(Entry { account, storage: Some(storage) }), Some(nodes));
        }
        Ok(staged)
    }

    fn check_slots_fit(
        &self,
        address: Address,
        change: &AccountChange,
        kept: Option<Storage>,
    ) -> Result<(), DiskError> {
        let mut misfit: Option<(U256, Change<U256>, U256)> = None;
        for (key, slot) in &change.slots {
            let held = kept.map_or(Ok(U256::ZERO), |storage| self.slot(storage.life, *key))?;
            if held != slot.before && misfit.is_none_or(|(lowest, ..)| *key < lowest) {
                misfit = Some((*key, *slot, held));
            }
        }
        misfit.map_or(Ok(()), |(key, slot, held)| {
            Err(Mismatch::of_slot(address, key, slot.before, held).into())
        })
    }

    /// Whether all that was told of a storage step by step comes to what became of it in the end.
    fn is_as_fed(&self, change: &AccountChange, kept: Option<Storage>, fed: &Written<'_>) -> bool {
        let kept = kept.map(|storage| storage.life);
        let is_same_life = kept.map_or(fed.life >= self.next_life, |kept| kept == fed.life);
        let held = |key| kept.map_or(Ok(U256::ZERO), |life| self.slot(life, key));
        let is_right = |(key, value): (&U256, &U256)| match change.slots.get(key) {
            Some(slot) => slot.after == *value,
            None => held(*key).is_ok_and(|held| held == *value),
        };
        let is_told = |(key, slot): (&U256, &Change<U256>)| !slot.is_change() || fed.values.contains_key(key);
        is_same_life && fed.values.iter().all(is_right) && change.slots.iter().all(is_told)
    }

    /// What becomes of a storage, whose trie is known already if somebody told of it.
    fn stage_storage<'s>(
        &'s self,
        kept: Option<Storage>,
        slots: &[StagedSlot],
        fed: FedStorage<'s>,
        lives: &Lives,
    ) -> Result<(Storage, NodeChanges), DiskError> {
        let (life, mut trie) = match fed {
            Some(fed) => (fed.life, fed.trie),
            None => {
                let life = kept.map_or_else(|| lives.begin(), |storage| storage.life);
                let root = kept.map_or(EMPTY_ROOT_HASH, |storage| storage.root);
                (life, write_slots(self.storage_trie(life, root), slots)?)
            }
        };
        let nodes = trie.take_changes();
        Ok((Storage { life, root: nodes.root }, nodes))
    }

    /// The trie of a storage with this root.
    pub(super) fn storage_trie(&self, life: LifeId, root: B256) -> StorageTrie<'_> {
        PartialTrie::new(StoredNodes::new(self, Trie::Storage(life)), root)
    }
}

fn write_slots<'s>(mut trie: StorageTrie<'s>, slots: &[StagedSlot]) -> Result<StorageTrie<'s>, DiskError> {
    let (emptied, filled): (Vec<_>, Vec<_>) = slots.iter().partition(|slot| slot.change.after.is_zero());
    trie.insert_all(filled.iter().map(|slot| slot_insertion(slot.hash, slot.change)).collect())?;
    emptied.into_iter().try_for_each(|slot| trie.remove(slot.hash))?;
    Ok(trie)
}

/// What a slot that is filled puts into its trie.
fn slot_insertion(hash: B256, change: Change<U256>) -> Insertion {
    let presence = if change.before.is_zero() { Presence::Unknown } else { Presence::Held };
    Insertion { key: Nibbles::unpack(hash), value: alloy_rlp::encode(change.after), presence }
}

/// What the accounts put into their trie, and what they take out of it.
fn leaves(accounts: &[StagedAccount]) -> (Vec<Insertion>, Vec<B256>) {
    let (mut insertions, mut removals) = (Vec::with_capacity(accounts.len()), Vec::new());
    for StagedAccount { hash, before, after, .. } in accounts {
        match after {
            Some(after) => {
                let presence = if before.is_some() { Presence::Held } else { Presence::Unknown };
                let value = alloy_rlp::encode(after.leaf());
                insertions.push(Insertion { key: Nibbles::unpack(hash), value, presence });
            }
            None if before.is_some() => removals.push(*hash),
            None => {}
        }
    }
    (insertions, removals)
}

/// The hash of a slot's key, under which it stands.
pub(super) fn hashed(key: &U256) -> B256 {
    keccak256(key.to_be_bytes::<32>())
}
