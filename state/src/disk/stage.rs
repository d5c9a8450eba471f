//! What a block makes of a store, before anybody says that it is to be kept.

use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles};
use rayon::prelude::*;

use super::{
    DiskError, DiskStore,
    cache::{Answer, Question},
    entry::{Entry, LifeId, Storage},
    feed::{Fed, FedStorage, Lives, Written},
    keys::{Key, Trie},
    nodes::StoredNodes,
    tables::Batch,
    undo::Undo,
};
use crate::{
    AccountChange, Change, Changes, Life, Mismatch,
    changes::account_difference,
    trie::{Insertion, NodeChanges, PartialTrie, Presence},
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
    pub(super) batch: Batch,
    pub(super) undo: Undo,
    /// The lives that ended.
    pub(super) ended: Vec<LifeId>,
    pub(super) next_life: LifeId,
    /// What the cache has to say from then on, or no more.
    pub(super) answers: Vec<(Question, Option<Answer>)>,
}

impl Staged {
    /// The state root after the changes.
    pub fn root(&self) -> B256 {
        self.root
    }
}

/// What becomes of one account.
struct StagedAccount<'c> {
    address: Address,
    hash: B256,
    before: Option<Entry>,
    after: Option<Entry>,
    /// The slots that change, by hash.
    slots: Vec<StagedSlot<'c>>,
    nodes: Option<NodeChanges>,
}

/// What becomes of one slot.
struct StagedSlot<'c> {
    key: &'c U256,
    hash: B256,
    change: Change<U256>,
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
        let mut staged = Staged {
            root: nodes.root,
            on: self.head.hash,
            batch: Batch::new(),
            undo: Undo::default(),
            ended: Vec::new(),
            next_life: lives.next(),
            answers: Vec::new(),
        };
        staged.add_nodes(Trie::Accounts, nodes);
        accounts.into_iter().for_each(|account| staged.add_account(account));
        for (hash, code) in &changes.codes {
            staged.batch.insert(Key::code(*hash), Some(code.original_bytes().to_vec()));
            staged.answers.push((Question::Code(*hash), Some(Answer::Code(code.clone()))));
        }
        Ok(staged)
    }
}

impl DiskStore {
    fn stage_accounts<'c, 's>(
        &'s self,
        listed: Vec<(Address, &'c AccountChange, FedStorage<'s>)>,
        lives: &Lives,
    ) -> Result<Vec<StagedAccount<'c>>, DiskError> {
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

    fn stage_account<'c, 's>(
        &'s self,
        address: Address,
        change: &'c AccountChange,
        fed: FedStorage<'s>,
        lives: &Lives,
    ) -> Result<StagedAccount<'c>, DiskError> {
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
        let slot =
            |(key, change): (&'c U256, &Change<U256>)| StagedSlot { key, hash: hashed(key), change: *change };
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
        slots: &[StagedSlot<'_>],
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

fn write_slots<'s>(
    mut trie: StorageTrie<'s>,
    slots: &[StagedSlot<'_>],
) -> Result<StorageTrie<'s>, DiskError> {
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
fn leaves(accounts: &[StagedAccount<'_>]) -> (Vec<Insertion>, Vec<B256>) {
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

impl Staged {
    fn add_account(&mut self, account: StagedAccount<'_>) {
        let StagedAccount { address, hash, before, after, slots, nodes } = account;
        self.batch.insert(Trie::Accounts.leaf(hash), after.map(|entry| entry.encode()));
        self.undo.add_account(hash, before.as_ref());
        self.answers.push((Question::Account(address), Some(Answer::Account(after.map(Box::new)))));
        let life = after.and_then(|entry| entry.storage).map(|storage| storage.life);
        let life_before = before.and_then(|entry| entry.storage).map(|storage| storage.life);
        self.ended.extend(life_before.filter(|before| life != Some(*before)));
        let Some(life) = life else { return };
        for StagedSlot { key, hash, change } in slots {
            let value = (!change.after.is_zero()).then(|| change.after.to_be_bytes_trimmed_vec());
            self.batch.insert(Trie::Storage(life).leaf(hash), value);
            self.answers.push((Question::Slot(life, *key), Some(Answer::Slot(change.after))));
            // What a new life began with is gone with it.
            if life_before == Some(life) {
                self.undo.add_slot(life, hash, change.before);
            }
        }
        if let Some(nodes) = nodes {
            self.add_nodes(Trie::Storage(life), nodes);
        }
    }

    /// Adds what became of the nodes of a trie.
    fn add_nodes(&mut self, trie: Trie, nodes: NodeChanges) {
        let question = |path| Question::Node(trie.node(path));
        self.answers.extend(nodes.gone.iter().map(|path| (question(path), None)));
        let answer = |record: &Vec<u8>| Some(Answer::Node(record.as_slice().into()));
        self.answers.extend(nodes.written.iter().map(|(path, record)| (question(path), answer(record))));
        nodes.write_into(&mut self.batch, trie);
    }
}

impl NodeChanges {
    /// Adds what became of the nodes of a trie to what is written.
    pub(super) fn write_into(self, batch: &mut Batch, trie: Trie) {
        batch.extend(self.gone.into_iter().map(|path| (trie.node(&path), None)));
        batch.extend(self.written.into_iter().map(|(path, record)| (trie.node(&path), Some(record))));
    }
}
