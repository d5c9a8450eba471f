//! What the root learns of a block while it still runs: step by step, on a thread of its own.
//!
//! The tries of the storages follow every step; of the accounts only the way to them is looked up, as
//! what they hold is settled last. Nothing here is believed: what does not fit the block's changes in
//! the end is worked out anew.

use std::{panic::resume_unwind, sync::mpsc, thread};

use alloy_primitives::{
    Address, B256, U256, keccak256,
    map::{AddressMap, U256Map},
};
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles};

use crate::{
    model::changes::{AccountChange, Change, Changes, Life},
    stores::disk::{
        DiskStore,
        account_entry::{LifeId, Storage},
        error::DiskError,
        group::{StorageTrie, leaf_value, presence},
        nodes::StoredNodes,
    },
    sync::Mutex,
    trie::{change::PreviousLeaf, expected_leaves::ExpectedLeaves, sparse::SparseTrie, slot_key},
};

/// Begins lives.
#[derive(Debug)]
pub(super) struct LifeAllocator(Mutex<LifeId>);

impl LifeAllocator {
    pub(super) fn from(next: LifeId) -> Self {
        Self(Mutex::new(next))
    }

    /// Begins one.
    pub(super) fn begin(&self) -> LifeId {
        let mut next = self.0.lock();
        let begun = *next;
        *next = begun.next();
        begun
    }

    /// The one that begins next.
    pub(super) fn next(&self) -> LifeId {
        *self.0.lock()
    }
}

/// Tells of the steps of a block as they are committed.
#[derive(Debug)]
pub struct StepSender(mpsc::Sender<Changes>);

impl StepSender {
    /// Tells of a step.
    pub fn send(&mut self, changes: Changes) {
        // If nobody listens any more there was an error, which is told when the block is staged.
        let _ = self.0.send(changes);
    }
}

/// What was learned of a block while it ran.
#[derive(Debug)]
pub struct StreamingRoot<'s> {
    store: &'s DiskStore,
    pub(super) accounts: SparseTrie<StoredNodes<'s>>,
    storages: AddressMap<StreamedStorage<'s>>,
    pub(super) lives: LifeAllocator,
    /// The hashes of the accounts to which the way was looked up.
    pub(super) looked_up: Vec<B256>,
    failure: Option<DiskError>,
}

/// What was learned of a storage: nothing, if a new life began in which nothing was written.
pub(super) type StreamedStorage<'s> = Option<Box<WrittenStorage<'s>>>;

/// A storage that was written to.
#[derive(Debug)]
pub(super) struct WrittenStorage<'s> {
    /// The life that it belongs to.
    pub(super) life: LifeId,
    /// Its trie.
    pub(super) trie: StorageTrie<'s>,
    /// What stood in each slot that was written, and what was written last.
    values: U256Map<Change<U256>>,
    /// What the steps say that the slots held, which the trie must vouch for: each that the one before it
    /// left.
    claims: ExpectedLeaves,
}

impl DiskStore {
    /// Lets `execute` tell of a block's steps, and works on the state's tries meanwhile.
    ///
    /// # Panics
    ///
    /// If `execute` does.
    pub fn stream_root<R>(&self, execute: impl FnOnce(&mut StepSender) -> R) -> (R, StreamingRoot<'_>) {
        let (sender, steps) = mpsc::channel();
        thread::scope(|scope| {
            let learning = scope.spawn(|| {
                let mut fed = self.new_streaming_root();
                steps.into_iter().for_each(|step| fed.learn(&step));
                fed
            });
            let result = execute(&mut StepSender(sender));
            (result, learning.join().unwrap_or_else(|panic| resume_unwind(panic)))
        })
    }

    /// What is learned of a block of which nobody tells.
    pub(super) fn new_streaming_root(&self) -> StreamingRoot<'_> {
        StreamingRoot {
            store: self,
            accounts: self.accounts_trie(),
            storages: AddressMap::default(),
            lives: LifeAllocator::from(self.next_life),
            looked_up: Vec::new(),
            failure: None,
        }
    }
}

impl<'s> StreamingRoot<'s> {
    /// Whether everything could be read.
    pub(super) fn check(&mut self) -> Result<(), DiskError> {
        self.failure.take().map_or(Ok(()), Err)
    }

    /// What was learned of the storage of an account.
    pub(super) fn take(&mut self, address: Address) -> StreamedStorage<'s> {
        self.storages.remove(&address).flatten()
    }

    fn learn(&mut self, step: &Changes) {
        if self.failure.is_some() {
            return;
        }
        let learned =
            step.accounts.iter().try_for_each(|(address, change)| self.learn_account(*address, change));
        self.failure = learned.err();
    }

    fn learn_account(&mut self, address: Address, change: &AccountChange) -> Result<(), DiskError> {
        let hash = keccak256(address);
        self.accounts.look_up(hash)?;
        self.looked_up.push(hash);
        let Change { before, after } = &change.account;
        if before.is_none() || after.is_none() || change.life == Life::New {
            self.storages.insert(address, None);
        }
        if after.is_none() || change.slots.is_empty() {
            return Ok(());
        }
        let WrittenStorage { trie, values, claims, .. } = &mut **self.storage(address)?;
        for (key, slot) in &change.slots {
            let hash = slot_key(key);
            let found = write_slot(trie, hash, *slot)?;
            claims.add(0, &Nibbles::unpack(hash), &leaf_value(slot.before), &found);
            let told = values.entry(*key).or_insert(Change { before: slot.before, after: slot.before });
            told.after = slot.after;
        }
        Ok(())
    }

    /// The storage of an account, a new one if it has none.
    fn storage(&mut self, address: Address) -> Result<&mut Box<WrittenStorage<'s>>, DiskError> {
        let Self { store, storages, lives, .. } = self;
        let stored = match storages.contains_key(&address) {
            true => None,
            false => store.entry(address)?.and_then(|entry| entry.storage),
        };
        let fed = storages.entry(address).or_default();
        Ok(fed.get_or_insert_with(|| {
            let Storage { life, root } =
                stored.unwrap_or_else(|| Storage { life: lives.begin(), root: EMPTY_ROOT_HASH });
            let trie = store.storage_trie(life, root);
            let (values, claims) = Default::default();
            Box::new(WrittenStorage { life, trie, values, claims })
        }))
    }
}

impl WrittenStorage<'_> {
    /// Whether all that was told step by step comes to `change` in the end, and started from what the trie
    /// held.
    pub(super) fn comes_to(&self, change: &AccountChange) -> bool {
        let is_right = |(key, told): (&U256, &Change<U256>)| {
            let unchanged = Change { before: told.before, after: told.before };
            change.slots.get(key).unwrap_or(&unchanged) == told
        };
        let is_told =
            |(key, slot): (&U256, &Change<U256>)| !slot.is_change() || self.values.contains_key(key);
        self.values.iter().all(is_right)
            && change.slots.iter().all(is_told)
            && self.claims.refuted().is_empty()
    }
}

/// Writes a slot, and says what it held.
fn write_slot(trie: &mut StorageTrie<'_>, hash: B256, slot: Change<U256>) -> Result<PreviousLeaf, DiskError> {
    if slot.after.is_zero() {
        return trie.remove(hash, presence(slot.before));
    }
    trie.insert(hash, alloy_rlp::encode(slot.after), presence(slot.before))
}
