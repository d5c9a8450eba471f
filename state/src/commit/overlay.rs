//! A base with the effects of the transactions so far on top: the committed state inside a block.
//!
//! Owns what was read from the base, so that the base is asked once per account, slot and code,
//! and what was committed since. Promises that its changes list exactly what differs from the base.
//! Accounts lie in a dense list, as the changes that they will be; revm carries an account's place in
//! it through execution, which spares hashing the address again for each slot read and each commit.

use std::fmt;

use alloy_eip7928::{BlockAccessIndex, BlockAccessList};
use alloy_primitives::{
    Address, B256, U256,
    map::{AddressIndexMap, AddressMap, B256Map, HashMap, IndexEntry, hash_map::Entry as MapEntry},
};
use revm_database_interface::{Database, DatabaseCommit};
use revm_state::{Account as EvmAccount, AccountId, AccountInfo, Bytecode, EvmState};

use super::pending::Trace;
use crate::{
    bal::builder::AccessListBuilder,
    commit::step_changes::{StepAccount, StepRecorder},
    model::{
        account::Account,
        base::Base,
        changes::{AccountChange, Change, Changes, Life},
    },
    record::record::{Existence, LifeChange},
};

/// A base and what was committed on top of it.
///
/// It is revm's [`Database`] and [`DatabaseCommit`]; [`into_changes`](Self::into_changes) tells
/// what came of it.
pub struct Overlay<B> {
    base: B,
    /// Every account that was read, in that order: as the base has it, and as it is now.
    pub(super) accounts: AddressIndexMap<AccountChange>,
    /// What else is known of each of them.
    pub(super) sides: Vec<Side>,
    codes: B256Map<Bytecode>,
    block_hashes: HashMap<u64, B256>,
    pub(super) recorder: Option<StepRecorder>,
    pub(super) listing: Option<AccessListBuilder>,
    pub(super) trace: Option<Trace>,
    /// Where the accounts of the record lie that was judged last.
    pub(super) judged: Vec<AccountId>,
}

/// What an overlay knows of an account that no change tells.
#[derive(Debug, Default)]
pub(super) struct Side {
    /// Its code now, if that is at hand.
    pub(super) code: Option<Bytecode>,
    /// The code that the base gave with it: such a base need not find it by its hash.
    pub(super) code_before: Option<Bytecode>,
    /// What the base calls this account, to be handed back when it is asked for a slot.
    pub(super) base_id: Option<AccountId>,
    /// How many of its slots hold what the base holds: most were only read.
    idle_slots: usize,
    /// Its position in the trace.
    pub(super) traced: Option<u32>,
}

/// One account.
pub(super) struct Entry<'o> {
    pub(super) address: Address,
    pub(super) change: &'o mut AccountChange,
    pub(super) side: &'o mut Side,
}

impl<B: Base> Overlay<B> {
    /// An overlay with nothing committed.
    pub fn new(base: B) -> Self {
        Self::with_room_for(base, 0)
    }

    /// An overlay with nothing committed that has room for so many accounts: growing would move them.
    pub fn with_capacity(base: B, accounts: usize) -> Self {
        Self {
            base,
            accounts: AddressIndexMap::with_capacity_and_hasher(accounts, Default::default()),
            sides: Vec::with_capacity(accounts),
            codes: B256Map::default(),
            block_hashes: HashMap::default(),
            recorder: None,
            listing: None,
            trace: None,
            judged: Vec::new(),
        }
    }

    /// The same overlay, which from now on also writes down what is committed step by step, for
    /// [`take_step_changes`](Self::take_step_changes).
    #[must_use]
    pub fn recording(mut self) -> Self {
        self.recorder = Some(StepRecorder::default());
        self
    }

    /// What was committed since the last call, as changes to what stood here then; nothing unless
    /// the overlay is [`recording`](Self::recording).
    pub fn take_step_changes(&mut self) -> Changes {
        self.recorder.as_mut().map(StepRecorder::take).unwrap_or_default()
    }

    /// From now on what is accessed and changed is kept, for [`take_access_list`](Self::take_access_list).
    pub fn list(&mut self) {
        self.listing.get_or_insert_default();
    }

    /// What is committed from now on belongs to this index of the list.
    #[inline]
    pub fn set_access_index(&mut self, index: BlockAccessIndex) {
        if let Some(listing) = &mut self.listing {
            listing.enter(index);
        }
    }

    /// How many accesses of slots were listed so far; a slot counts once for each commit.
    pub fn accessed_slots(&self) -> u64 {
        self.listing.as_ref().map_or(0, AccessListBuilder::accesses)
    }

    /// The access list (EIP-7928) of all that was committed since the overlay was told to
    /// [`list`](Self::list) it; nothing if it was not.
    ///
    /// Accounts and slots are accessed by runs that are committed: what is read from this overlay
    /// besides is not in it. Where an account is destroyed that had slots before, only those are told
    /// to be zero that the run accessed.
    pub fn take_access_list(&mut self) -> Option<BlockAccessList> {
        let accounts = &self.accounts;
        let address =
            |place: AccountId| *accounts.get_index(place.get()).expect("an account stays in its place").0;
        self.listing.take().map(|listing| listing.into_list(address))
    }

    /// Whether the account's life ended, or a new one began, since this overlay was made: what the
    /// base holds of its storage is gone then.
    pub fn is_renewed(&self, address: &Address) -> bool {
        self.accounts.get(address).is_some_and(|change| change.life == Life::New)
    }

    /// What was committed, as changes to the base.
    pub fn into_changes(self) -> Changes {
        let Self { mut accounts, sides, .. } = self;
        let mut changes = Changes::default();
        let mut sides = sides.into_iter();
        accounts.retain(|_, change| {
            let side = sides.next().expect("every account has a side");
            if side.idle_slots > 0 {
                change.slots.retain(|_, slot| slot.is_change());
            }
            let is_change = change.settle();
            if is_change {
                changes.add_code(&change.account, side.code);
            }
            is_change
        });
        changes.accounts = accounts;
        changes
    }

    /// Commits the accounts that a transaction touched, and leaves the map empty, with the room that
    /// it has. The accounts must have been read from this overlay.
    pub fn commit_touched(&mut self, accounts: &mut EvmState) {
        // The accounts are large: they are emptied where they lie instead of being moved out.
        for (address, account) in accounts.iter_mut() {
            self.commit_account(*address, account);
        }
        accounts.clear();
    }

    fn commit_account(&mut self, address: Address, account: &mut EvmAccount) {
        if !account.is_touched() {
            if self.listing.is_some() {
                let place = self.place_of_committed(address, account);
                self.listing.iter_mut().for_each(|listing| listing.look(place, account));
            }
            return;
        }
        let place = self.place_of_committed(address, account);
        let mut entry = entry(&mut self.accounts, &mut self.sides, place);

        let now = entry.change.account.after;
        let life_change = LifeChange::of(account, Existence::of(now.as_ref()));
        if let Some(trace) = &mut self.trace {
            trace.note_run(place, &mut entry, life_change, account);
        }
        let mut recorded = record_account(&mut self.recorder, &entry);
        entry.enter(life_change, &mut recorded);
        let exists = life_change == LifeChange::Begins || now.is_some() || !account.info.is_empty();
        if life_change != LifeChange::Ends {
            for (key, slot) in account.changed_storage_slots() {
                entry.write(*key, slot.original_value, slot.present_value, &mut recorded);
            }
        }
        if life_change != LifeChange::Ends && exists {
            entry.change.account.after = Some(Account::from(&account.info));
            entry.side.code = account.info.code.take();
        } else {
            (entry.change.account.after, entry.side.code) = (None, None);
        }
        entry.tell(recorded);
        if let Some(listing) = &mut self.listing {
            let change = Change { before: now, after: entry.change.account.after };
            listing.commit(place, change, entry.side.code.as_ref(), life_change, account);
        }
    }

    /// Where an account lies that a run left so.
    #[inline]
    fn place_of_committed(&self, address: Address, account: &EvmAccount) -> AccountId {
        // The account says its place, unless somebody else numbered it or it was made anew.
        let is_its_own = |place: &AccountId| {
            self.accounts.get_index(place.get()).is_some_and(|(known, _)| *known == address)
        };
        let known = || self.accounts.get_index_of(&address).map(account_id);
        let place = account.info.account_id.filter(is_its_own).or_else(known);
        place.expect("an account is read from the overlay before it is committed")
    }

    #[inline]
    pub(super) fn place(&mut self, address: Address) -> Result<AccountId, B::Error> {
        self.place_of(address, None)
    }

    /// Where an account lies. It is put there if it is not here yet: as the base has it, which is
    /// `known` or asked for.
    #[inline]
    pub(super) fn place_of(
        &mut self,
        address: Address,
        known: Option<Option<Account>>,
    ) -> Result<AccountId, B::Error> {
        let vacant = match self.accounts.entry(address) {
            IndexEntry::Occupied(here) => return Ok(account_id(here.index())),
            IndexEntry::Vacant(vacant) => vacant,
        };
        let (before, side) = match known {
            Some(before) => (before, Side::default()),
            None => {
                let info = self.base.basic_ref(address)?;
                // revm takes a zero hash for some code when it looks for collisions: this one does not.
                let before = info.as_ref().map(Account::from);
                let base_id = info.as_ref().and_then(|info| info.account_id);
                let code = info.and_then(|info| info.code);
                (before, Side { code: code.clone(), code_before: code, base_id, ..Side::default() })
            }
        };
        let place = account_id(vacant.index());
        vacant.insert(AccountChange { account: Change { before, after: before }, ..Default::default() });
        self.sides.push(side);
        Ok(place)
    }

    pub(super) fn slot(&mut self, place: AccountId, key: U256) -> Result<U256, B::Error> {
        let Entry { address, change, side } = entry(&mut self.accounts, &mut self.sides, place);
        match change.slots.entry(key) {
            MapEntry::Occupied(slot) => Ok(slot.get().after),
            MapEntry::Vacant(vacant) => {
                let value = match (change.life, side.base_id) {
                    (Life::New, _) => U256::ZERO,
                    (Life::Same, Some(id)) => self.base.storage_by_account_id_ref(address, id, key)?,
                    (Life::Same, None) => self.base.storage_ref(address, key)?,
                };
                vacant.insert(Change { before: value, after: value });
                side.idle_slots += 1;
                Ok(value)
            }
        }
    }
}

/// The account at a place.
#[inline]
pub(super) fn entry<'o>(
    accounts: &'o mut AddressIndexMap<AccountChange>,
    sides: &'o mut [Side],
    place: AccountId,
) -> Entry<'o> {
    let (address, change) = accounts.get_index_mut(place.get()).expect("an account stays in its place");
    Entry { address: *address, change, side: &mut sides[place.get()] }
}

fn account_id(place: usize) -> AccountId {
    AccountId::new(place).expect("a block reads fewer than 2^32 accounts")
}

/// Opens the recorder's page of an account, if there is a recorder.
pub(super) fn record_account<'r>(
    recorder: &'r mut Option<StepRecorder>,
    entry: &Entry<'_>,
) -> Option<&'r mut StepAccount> {
    let recorder = recorder.as_mut()?;
    Some(recorder.open(entry.address, || entry.change.account.after))
}

impl Entry<'_> {
    /// Enters the life that a transaction leaves the account in.
    pub(super) fn enter(&mut self, life_change: LifeChange, recorded: &mut Option<&mut StepAccount>) {
        if life_change == LifeChange::Continues {
            return;
        }
        self.change.life = Life::New;
        self.change.slots.clear();
        self.side.idle_slots = 0;
        if let Some(recorded) = recorded {
            recorded.start_new_life();
        }
    }

    /// Writes a slot that held `original` before the transaction.
    pub(super) fn write(
        &mut self,
        key: U256,
        original: U256,
        value: U256,
        recorded: &mut Option<&mut StepAccount>,
    ) {
        let side = &mut *self.side;
        // A slot that is not known here yet was not written in this block.
        let known = self.change.slots.entry(key).or_insert_with(|| {
            side.idle_slots += 1;
            Change { before: original, after: original }
        });
        debug_assert_eq!(known.after, original, "a transaction starts from what is committed");
        if let Some(recorded) = recorded {
            recorded.write_slot(key, known.after, value);
        }
        side.idle_slots -= usize::from(!known.is_change());
        known.after = value;
        side.idle_slots += usize::from(!known.is_change());
    }

    /// Tells the listing, if there is one, what the account was and what it is now.
    pub(super) fn list(&self, listing: &mut Option<AccessListBuilder>, place: AccountId, before: Option<Account>) {
        if let Some(listing) = listing {
            let change = Change { before, after: self.change.account.after };
            listing.change(place, change, self.side.code.as_ref());
        }
    }

    /// Tells the recorder what the account is now.
    pub(super) fn tell(&self, recorded: Option<&mut StepAccount>) {
        if let Some(recorded) = recorded {
            recorded.set_account(self.change.account.after, self.side.code.as_ref());
        }
    }
}

impl<B: Base> Database for Overlay<B> {
    type Error = B::Error;

    #[inline]
    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, B::Error> {
        let place = self.place(address)?;
        let code = || self.sides[place.get()].code.clone();
        Ok(self.accounts[place.get()].account.after.map(|now| now.into_info(code(), Some(place))))
    }

    fn code_by_hash(&mut self, code_hash: B256) -> Result<Bytecode, B::Error> {
        match self.codes.entry(code_hash) {
            MapEntry::Occupied(code) => Ok(code.get().clone()),
            MapEntry::Vacant(vacant) => Ok(vacant.insert(self.base.code_by_hash_ref(code_hash)?).clone()),
        }
    }

    #[inline]
    fn storage(&mut self, address: Address, index: U256) -> Result<U256, B::Error> {
        let place = self.place(address)?;
        self.slot(place, index)
    }

    #[inline]
    fn storage_by_account_id(
        &mut self,
        _address: Address,
        account_id: AccountId,
        storage_key: U256,
    ) -> Result<U256, B::Error> {
        self.slot(account_id, storage_key)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, B::Error> {
        match self.block_hashes.entry(number) {
            MapEntry::Occupied(hash) => Ok(*hash.get()),
            MapEntry::Vacant(vacant) => Ok(*vacant.insert(self.base.block_hash_ref(number)?)),
        }
    }
}

impl<B> fmt::Debug for Overlay<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Overlay").field("accounts", &self.accounts).finish_non_exhaustive()
    }
}

impl<B: Base> DatabaseCommit for Overlay<B> {
    fn commit(&mut self, mut changes: AddressMap<EvmAccount>) {
        self.commit_touched(&mut changes);
    }

    fn commit_iter(&mut self, changes: &mut dyn Iterator<Item = (Address, EvmAccount)>) {
        for (address, mut account) in changes {
            self.commit_account(address, &mut account);
        }
    }
}
