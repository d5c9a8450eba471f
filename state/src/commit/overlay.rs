//! The overlay: the base with the effects of the committed transactions on top.
//!
//! Owns what it read from the base, so that it reads each account, slot and code once, and what was
//! committed since. Promises that its changes list exactly what differs from the base.
//!
//! Accounts are in a dense list, in the form of the changes that they will be. revm carries the id of an
//! account, its position in the list, through the execution, which spares a lookup by address for each slot
//! read and each commit.

use std::fmt;

use alloy_eip7928::{BlockAccessIndex, BlockAccessList};
use alloy_primitives::{
    Address, B256, U256,
    map::{AddressIndexMap, AddressMap, B256Map, HashMap, IndexEntry, hash_map::Entry},
};
use revm_database_interface::{Database, DatabaseCommit};
use revm_state::{Account as EvmAccount, AccountId, AccountInfo, Bytecode, EvmState};

use crate::{
    bal::builder::AccessListBuilder,
    commit::{
        overlay_entry::{AccountDetail, OverlayEntry, entry},
        pending::PendingEffects,
        step_changes::StepRecorder,
    },
    model::{
        account::Account,
        base::Base,
        changes::{AccountChange, Change, Changes, Life},
        index::{BaseAccountId, OverlayAccountId},
    },
    record::{effect::LifeChange, observation::Existence},
};

/// A base and what was committed on top of it.
///
/// It is revm's [`Database`] and [`DatabaseCommit`]; [`into_changes`](Self::into_changes) returns what was
/// committed.
pub struct Overlay<B> {
    pub(super) base: B,
    /// Every account that was read, in that order: as the base has it, and as it is now.
    pub(super) accounts: AddressIndexMap<AccountChange>,
    /// What else is known of each of them.
    pub(super) details: Vec<AccountDetail>,
    codes: B256Map<Bytecode>,
    block_hashes: HashMap<u64, B256>,
    pub(super) steps: Option<StepRecorder>,
    pub(super) access_list: Option<AccessListBuilder>,
    pub(super) pending: Option<PendingEffects>,
    /// The accounts of the record that was validated last: payments first, then the others.
    pub(super) validated: Vec<OverlayAccountId>,
}

impl<B: Base> Overlay<B> {
    /// An overlay with nothing committed.
    pub fn new(base: B) -> Self {
        Self::with_capacity(base, 0)
    }

    /// An overlay with nothing committed, and with space for this many accounts.
    pub fn with_capacity(base: B, accounts: usize) -> Self {
        Self {
            base,
            accounts: AddressIndexMap::with_capacity_and_hasher(accounts, Default::default()),
            details: Vec::with_capacity(accounts),
            codes: B256Map::default(),
            block_hashes: HashMap::default(),
            steps: None,
            access_list: None,
            pending: None,
            validated: Vec::new(),
        }
    }

    /// The same overlay, which from now on also records the changes of each step, for
    /// [`take_step_changes`](Self::take_step_changes).
    #[must_use]
    pub fn with_step_changes(mut self) -> Self {
        self.steps = Some(StepRecorder::default());
        self
    }

    /// Sets the hash of a block that the base does not know.
    pub fn set_block_hash(&mut self, number: u64, hash: B256) {
        self.block_hashes.insert(number, hash);
    }

    /// What was committed since the last call, as changes to the state at that time. Empty unless the
    /// overlay was made [`with_step_changes`](Self::with_step_changes).
    pub fn take_step_changes(&mut self) -> Changes {
        let Self { steps, accounts, details, .. } = self;
        steps.as_mut().map(|steps| steps.take(accounts, details)).unwrap_or_default()
    }

    /// Starts to build an access list of what is committed, for
    /// [`take_access_list`](Self::take_access_list).
    pub fn build_access_list(&mut self) {
        self.access_list.get_or_insert_default();
    }

    /// Sets the access index of what is committed from now on.
    #[inline]
    pub fn set_access_index(&mut self, index: BlockAccessIndex) {
        if let Some(access_list) = &mut self.access_list {
            access_list.set_index(index);
        }
    }

    /// The number of slot accesses in the access list so far; a slot counts once for each commit.
    pub fn accessed_slots(&self) -> u64 {
        self.access_list.as_ref().map_or(0, AccessListBuilder::accessed_slots)
    }

    /// The access list (EIP-7928) of what was committed since [`build_access_list`](Self::build_access_list),
    /// `None` without that call.
    ///
    /// It holds the accesses of committed runs, and no other reads of the overlay. If an account with slots
    /// is destroyed, only the slots that the run accessed are listed as zero.
    pub fn take_access_list(&mut self) -> Option<BlockAccessList> {
        let accounts = &self.accounts;
        let address =
            |id: OverlayAccountId| *accounts.get_index(id.get()).expect("an account keeps its id").0;
        self.access_list.take().map(|access_list| access_list.into_list(address))
    }

    /// Whether an account that was read still has the storage that it has in the base: it is there, and no life of it
    /// ended or began on this overlay.
    pub fn keeps_storage_of_base(&self, address: &Address) -> bool {
        let keeps = |change: &AccountChange| change.account.before.is_some() && change.life == Life::Same;
        self.accounts.get(address).is_some_and(keeps)
    }

    /// What was committed, as changes to the base.
    pub fn into_changes(self) -> Changes {
        let Self { mut accounts, details, .. } = self;
        let mut changes = Changes::default();
        let mut details = details.into_iter();
        accounts.retain(|_, change| {
            let detail = details.next().expect("every account has details");
            if detail.idle_slots > 0 {
                change.slots.retain(|_, slot| slot.is_change());
            }
            let is_change = change.settle();
            if is_change {
                changes.add_code(&change.account, detail.code.as_ref());
            }
            is_change
        });
        changes.accounts = accounts;
        changes
    }

    /// Commits the accounts that a transaction touched, and empties the map, whose capacity is kept. The
    /// accounts must have been read from this overlay.
    pub fn commit_touched(&mut self, accounts: &mut EvmState) {
        // The accounts are large, so they are not moved out of the map.
        for (address, account) in accounts.iter_mut() {
            self.commit_account(*address, account);
        }
        accounts.clear();
    }

    fn commit_account(&mut self, address: Address, account: &mut EvmAccount) {
        if !account.is_touched() {
            if self.access_list.is_some() {
                let id = self.loaded(address, account);
                self.access_list.iter_mut().for_each(|access_list| access_list.read(id, account));
            }
            return;
        }
        let id = self.loaded(address, account);
        let mut entry = entry(&mut self.accounts, &mut self.details, id);

        let now = entry.change.account.after;
        let life_change = LifeChange::of(account, Existence::of(now.as_ref()));
        if let Some(pending) = &mut self.pending {
            pending.note_run(id, &mut entry, life_change, account);
        }
        let mut step = entry.step(&mut self.steps);
        entry.change_life(life_change, &mut step);
        let exists = life_change == LifeChange::Begins || now.is_some() || !account.info.is_empty();
        if life_change != LifeChange::Ends {
            for (key, slot) in account.changed_storage_slots() {
                entry.write(*key, slot.original_value, slot.present_value, &mut step);
            }
        }
        if life_change != LifeChange::Ends && exists {
            entry.change.account.after = Some(Account::from(&account.info));
            entry.detail.code = account.info.code.take();
        } else {
            (entry.change.account.after, entry.detail.code) = (None, None);
        }
        if let Some(access_list) = &mut self.access_list {
            let change = Change { before: now, after: entry.change.account.after };
            access_list.commit(id, change, entry.detail.code.as_ref(), life_change, account);
        }
    }

    /// The id of an account that a run read from the overlay.
    #[inline]
    fn loaded(&self, address: Address, account: &EvmAccount) -> OverlayAccountId {
        // The account carries its id, unless another database numbered it or revm created it.
        let is_loaded = |id: &OverlayAccountId| {
            self.accounts.get_index(id.get()).is_some_and(|(known, _)| *known == address)
        };
        let carried = account.info.account_id.map(OverlayAccountId::from_revm).filter(is_loaded);
        let found = || self.accounts.get_index_of(&address).map(OverlayAccountId::new);
        carried.or_else(found).expect("an account is read from the overlay before it is committed")
    }

    /// The id of an account, which is read from the base if the overlay does not hold it.
    #[inline]
    pub(super) fn load(&mut self, address: Address) -> Result<OverlayAccountId, B::Error> {
        self.load_known(address, None)
    }

    /// The same, with the account as the base has it, if the caller knows that.
    #[inline]
    pub(super) fn load_known(
        &mut self,
        address: Address,
        known: Option<Option<Account>>,
    ) -> Result<OverlayAccountId, B::Error> {
        let vacant = match self.accounts.entry(address) {
            IndexEntry::Occupied(loaded) => return Ok(OverlayAccountId::new(loaded.index())),
            IndexEntry::Vacant(vacant) => vacant,
        };
        let (before, detail) = match known {
            Some(before) => (before, AccountDetail::default()),
            None => {
                let info = self.base.basic_ref(address)?;
                // revm takes a zero hash for the hash of a code when it checks a creation (EIP-7610); the hash
                // of empty code is used instead.
                let before = info.as_ref().map(Account::from);
                let base_id = info.as_ref().and_then(|info| info.account_id).map(BaseAccountId::from_revm);
                let code = info.and_then(|info| info.code);
                let code_before = code.clone();
                (before, AccountDetail { code, code_before, base_id, ..AccountDetail::default() })
            }
        };
        let id = OverlayAccountId::new(vacant.index());
        vacant.insert(AccountChange { account: Change { before, after: before }, ..Default::default() });
        self.details.push(detail);
        Ok(id)
    }

    pub(super) fn slot(&mut self, id: OverlayAccountId, key: U256) -> Result<U256, B::Error> {
        let OverlayEntry { address, change, detail, .. } = entry(&mut self.accounts, &mut self.details, id);
        match change.slots.entry(key) {
            Entry::Occupied(slot) => Ok(slot.get().after),
            Entry::Vacant(vacant) => {
                let value = match (change.life, detail.base_id) {
                    (Life::New, _) => U256::ZERO,
                    (Life::Same, Some(id)) => {
                        self.base.storage_by_account_id_ref(address, id.into_revm(), key)?
                    }
                    (Life::Same, None) => self.base.storage_ref(address, key)?,
                };
                vacant.insert(Change { before: value, after: value });
                detail.idle_slots += 1;
                Ok(value)
            }
        }
    }
}

impl<B> Overlay<B> {
    /// The code with this hash, if a committed account has it.
    fn committed_code(&self, code_hash: B256) -> Option<Bytecode> {
        let mut accounts = self.accounts.values().zip(&self.details);
        accounts.find_map(|(change, detail)| {
            let has_code = change.account.after.is_some_and(|account| account.code_hash == code_hash);
            detail.code.clone().filter(|_| has_code)
        })
    }
}

impl<B: Base> Database for Overlay<B> {
    type Error = B::Error;

    #[inline]
    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, B::Error> {
        let id = self.load(address)?;
        let code = || self.details[id.get()].code.clone();
        let now = self.accounts[id.get()].account.after;
        Ok(now.map(|now| now.into_info(code(), Some(id.into_revm()))))
    }

    fn code_by_hash(&mut self, code_hash: B256) -> Result<Bytecode, B::Error> {
        if let Some(code) = self.codes.get(&code_hash) {
            return Ok(code.clone());
        }
        let code = match self.base.code_by_hash_ref(code_hash) {
            Ok(code) => code,
            // A witness may lack a code that the block deploys before it is needed for another account.
            Err(error) => self.committed_code(code_hash).ok_or(error)?,
        };
        self.codes.insert(code_hash, code.clone());
        Ok(code)
    }

    #[inline]
    fn storage(&mut self, address: Address, index: U256) -> Result<U256, B::Error> {
        let id = self.load(address)?;
        self.slot(id, index)
    }

    #[inline]
    fn storage_by_account_id(
        &mut self,
        _address: Address,
        account_id: AccountId,
        storage_key: U256,
    ) -> Result<U256, B::Error> {
        self.slot(OverlayAccountId::from_revm(account_id), storage_key)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, B::Error> {
        match self.block_hashes.entry(number) {
            Entry::Occupied(hash) => Ok(*hash.get()),
            Entry::Vacant(vacant) => Ok(*vacant.insert(self.base.block_hash_ref(number)?)),
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
