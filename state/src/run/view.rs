//! What one speculative run sees of the state, and the notes that it takes.
//!
//! Owns the run's observations. It is revm's [`Database`]: every account and slot that the run asks
//! for is resolved in the multi-version memory and written down. Of a balance or a nonce it writes
//! down only what the run needed; whoever drives the run says what that is
//! ([`spends`](View::spends), [`looks_at_emptiness`](View::looks_at_emptiness), ...). Promises that
//! two states in which the record's observations hold are the same to the run.

use alloy_primitives::{
    Address, B256, U256,
    map::{AddressMap, HashSet},
};
use revm_database_interface::{DBErrorMarker, Database};
use revm_state::{Account as EvmAccount, AccountId, AccountInfo, Bytecode, EvmState};

use crate::{
    model::{account::Account, base::Base, index::TxIndex},
    mv::{
        latency::Latency,
        memory::{AccountRead, Memory, Recall, SlotRead},
        versions::Exact,
    },
    record::record::{CreatedSlot, LifeChange, Origin, Record, SlotObservation, SlotRecord},
    run::{
        code_cache::CodeCache,
        tracked_account::{TrackedAccount, into_record},
    },
    sync::{AtomicBool, Ordering},
};

/// Whoever moves so much at once has both balances observed as they are.
const EXACT_TRANSFER: U256 = U256::from_limbs([0, 0, 0, 1 << 8]);

/// Why a speculative run was broken off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Interrupt<E> {
    /// The base could not be read.
    #[error("the base cannot be read")]
    Base(E),
    /// It needs what this transaction is expected to write.
    #[error("it awaits transaction {0}")]
    Awaits(TxIndex),
    /// Somebody found that the run is stale, or nobody wants it any more.
    #[error("the run is not wanted any more")]
    Unwanted,
    /// It needs what only the committed state has.
    #[error("it needs the committed state")]
    NeedsFrontier,
}

impl<E: std::error::Error + Send + Sync + 'static> DBErrorMarker for Interrupt<E> {}

/// The state as one speculative run sees it.
#[derive(Debug)]
pub struct View<'m, B> {
    memory: &'m Memory,
    base: &'m B,
    /// Set when the run is not wanted any more; there is none before the first run.
    unwanted: Option<&'m AtomicBool>,
    reader: TxIndex,
    sender: Sender,
    seen: Vec<TrackedAccount>,
    /// Where the accounts lie in `seen` that do not exist: revm cannot carry their place.
    absent: AddressMap<AccountId>,
    reads: Vec<SlotObservation>,
    /// Where what the run read comes from: the base if all of it does.
    origin: Origin,
    /// Where the run created contracts, or tried to.
    created: Vec<Address>,
    needs_frontier: bool,
    /// Codes that were needed before, by this run or another.
    codes: CodeCache,
    latency: Latency,
    /// The coinbase as the base has it, once it was read: every run looks at it.
    coinbase: Option<AccountRead>,
}

/// Who sends a transaction, and what the transaction says of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sender {
    /// The account.
    pub address: Address,
    /// The nonce that the transaction states.
    pub nonce: u64,
    /// What the transaction may cost it at most, the value that it sends included.
    pub cost: U256,
}

impl<'m, B: Base> View<'m, B> {
    /// A view for a worker; [`begin`](Self::begin) says for which run.
    pub fn new(memory: &'m Memory, base: &'m B) -> Self {
        Self {
            memory,
            base,
            unwanted: None,
            reader: TxIndex::new(0),
            sender: Sender::default(),
            seen: Vec::new(),
            absent: AddressMap::default(),
            reads: Vec::new(),
            origin: Origin::Base,
            created: Vec::new(),
            needs_frontier: false,
            codes: CodeCache::default(),
            latency: Latency::default(),
            coinbase: None,
        }
    }

    /// Forgets everything and begins a run of transaction `reader`. Its sender is shown with the
    /// nonce that the transaction states: whether it has it is for the judge.
    pub fn begin(&mut self, reader: TxIndex, sender: Sender, unwanted: &'m AtomicBool) {
        self.reader = reader;
        self.sender = sender;
        self.unwanted = Some(unwanted);
        self.seen.clear();
        self.absent.clear();
        self.reads.clear();
        self.origin = Origin::Base;
        self.created.clear();
        self.needs_frontier = false;
    }

    /// The run spends an amount of what the account has now, or finds that it cannot.
    pub fn spends(&mut self, address: Address, account: &EvmAccount, amount: U256) {
        let Some(seen) = self.seen_mut(address, account.info.account_id) else { return };
        let balance = account.info.balance;
        if amount >= EXACT_TRANSFER {
            seen.need_balance();
        } else if let Some(left) = balance.checked_sub(amount) {
            seen.needs.balance.need_at_least(seen.balance.saturating_sub(left));
        } else {
            // One wei less than what would have been enough.
            seen.needs.balance.need_at_most(seen.balance.saturating_add(amount - balance - U256::ONE));
        }
        self.needs_frontier |= self.is_at_frontier_only(address);
    }

    /// The run gives an amount to an account.
    pub fn gives(&mut self, address: Address, account: &EvmAccount, amount: U256) {
        if amount >= EXACT_TRANSFER {
            self.looks_at_balance(address, account);
        }
    }

    /// The run looks at the exact balance.
    pub fn looks_at_balance(&mut self, address: Address, account: &EvmAccount) {
        let memory = self.memory;
        let Some(seen) = self.seen_mut(address, account.info.account_id) else { return };
        if !seen.needs.balance.are_exact() {
            seen.need_balance();
            if memory.is_told() {
                let (id, balance) = (seen.id(memory), seen.balance);
                memory.need(id, self.reader, Exact::Balance(balance));
            }
            self.needs_frontier |= self.is_at_frontier_only(address);
        }
    }

    /// An account is about to create a contract: its nonce goes into the address of the new one,
    /// whose nonce and code decide whether it can be created.
    pub fn creates(&mut self, creator: Address, account: &EvmAccount, created: Address) {
        self.looks_at_nonce(creator, account);
        self.created.push(created);
    }

    /// The run looks at the exact nonce.
    pub fn looks_at_nonce(&mut self, address: Address, account: &EvmAccount) {
        let memory = self.memory;
        if address != self.sender.address
            && let Some(seen) = self.seen_mut(address, account.info.account_id)
            && !seen.needs.nonce.are_exact()
        {
            seen.need_nonce();
            if memory.is_told() {
                let (id, nonce) = (seen.id(memory), seen.nonce);
                memory.need(id, self.reader, Exact::Nonce(nonce));
            }
        }
    }

    /// The run looks whether the account is empty, or exists, while its balance is `balance`.
    pub fn looks_at_emptiness(&mut self, address: Address, account: &EvmAccount, balance: U256) {
        let Some(seen) = self.seen_mut(address, account.info.account_id) else { return };
        seen.need_emptiness(balance);
        self.needs_frontier |= self.is_at_frontier_only(address);
    }

    /// The run looked at everything about an account, if at the account at all.
    pub fn looks_at_everything(&mut self, address: Address) {
        if let Some(seen) = self.seen_mut(address, None) {
            seen.need_everything();
            self.needs_frontier |= self.is_at_frontier_only(address);
        }
    }

    /// Ends the run and writes into `record`, which is empty, what it observed, and what the accounts
    /// that it left say that it does.
    ///
    /// # Errors
    ///
    /// If what it observed is only known at the frontier.
    pub fn finish(
        &mut self,
        accounts: &mut EvmState,
        record: &mut Record,
    ) -> Result<(), Interrupt<B::Error>> {
        self.note_created(accounts, record);
        let writes = &mut record.writes;
        for (address, account) in accounts.iter_mut() {
            let is_touched = account.is_touched();
            // Before EIP-161 revm takes the touch back of who is empty and exists: that is to be
            // known as well.
            if !is_touched && !account.is_empty() {
                continue;
            }
            let Some(place) = self.place_of(*address, account.info.account_id) else { continue };
            let seen = &mut self.seen[place.get()];
            if !is_touched {
                seen.need_everything();
                continue;
            }
            let life_change = LifeChange::of(account, seen.existence);
            seen.effect = seen.effect(life_change, account);
            if life_change != LifeChange::Ends {
                let before = writes.len();
                writes.extend(SlotRecord::changed(place.get(), account));
                seen.has_slots |= writes.len() > before;
            }
            self.needs_frontier |= self.is_at_frontier_only(*address);
        }
        if self.needs_frontier {
            return Err(Interrupt::NeedsFrontier);
        }
        std::mem::swap(&mut record.reads, &mut self.reads);
        record.origin = self.origin;
        into_record(&mut self.seen, record, self.memory);
        Ok(())
    }

    /// Notes what the run needs of accounts that it created, or tried to, and which of their slots it
    /// accessed.
    fn note_created(&mut self, accounts: &EvmState, record: &mut Record) {
        // Who could not be created may have been tried again, and its slots are to be counted once.
        self.created.sort_unstable();
        self.created.dedup();
        for address in std::mem::take(&mut self.created) {
            let Some(account) = accounts.get(&address) else { continue };
            let Some(place) = self.place_of(address, account.info.account_id) else { continue };
            let seen = &mut self.seen[place.get()];
            seen.need_nonce();
            // From EIP-8037 on a new account costs more than one that was paid before.
            seen.need_emptiness(seen.balance);
            // revm does not ask for the slots of an account that it has just made.
            seen.has_slots |= !account.storage.is_empty();
            let place = place.get() as u32;
            // Who asks for a slot and then tries to create the account has read it already.
            let read: HashSet<U256> =
                self.reads.iter().filter(|read| read.account == place).map(|read| read.key).collect();
            let made = account.storage.keys().filter(|key| !read.contains(*key));
            record.created.extend(made.map(|key| CreatedSlot { account: place, key: *key }));
        }
    }

    /// Whether it is the coinbase and more is needed of it than what the memory knows: its balance
    /// is not kept up there.
    fn is_at_frontier_only(&self, address: Address) -> bool {
        let is_coinbase = address == self.memory.coinbase() && self.memory.foresight().is_none();
        is_coinbase && self.seen.iter().any(|seen| seen.address == address && seen.needs.balance.are_exact())
    }

    fn place_of(&self, address: Address, carried: Option<AccountId>) -> Option<AccountId> {
        // An account that was made anew carries no place, or none of ours.
        let is_its_own =
            |place: &AccountId| self.seen.get(place.get()).is_some_and(|seen| seen.address == address);
        carried.filter(is_its_own).or_else(|| self.absent.get(&address).copied()).or_else(|| {
            let position = self.seen.iter().position(|seen| seen.address == address)?;
            AccountId::new(position)
        })
    }

    fn seen_mut(&mut self, address: Address, carried: Option<AccountId>) -> Option<&mut TrackedAccount> {
        let place = self.place_of(address, carried)?;
        self.seen.get_mut(place.get())
    }

    fn look_up(&mut self, address: Address) -> Result<Option<AccountInfo>, Interrupt<B::Error>> {
        self.check_not_stale()?;
        let AccountRead { id, base_id, mut info, origin } = self.read(address)?;
        self.origin = self.origin.and(origin);
        let base = (origin == Origin::Base).then(|| info.as_ref().map(Account::from));
        let foresight = self.memory.foresight().and_then(|all| Some((all, all.find(&address)?)));
        if let Some((all, id)) = foresight {
            all.apply(id, self.reader, &mut info);
        }
        let is_sender = address == self.sender.address;
        if is_sender && (info.is_some() || self.sender.nonce != 0) {
            info.get_or_insert_default().nonce = self.sender.nonce;
        }
        let place = AccountId::new(self.seen.len()).expect("a transaction reads fewer than 2^32 accounts");
        let mut seen = TrackedAccount::new(address, id, base_id, base, info.as_ref());
        seen.foreseen = foresight.map(|(_, id)| id);
        if is_sender {
            seen.need_nonce();
            seen.needs.balance.need_at_least(self.sender.cost);
        }
        self.seen.push(seen);
        match &mut info {
            Some(info) => {
                info.account_id = Some(place);
                self.codes.put_into(info);
            }
            None => {
                self.absent.insert(address, place);
            }
        }
        Ok(info)
    }

    fn read(&mut self, address: Address) -> Result<AccountRead, Interrupt<B::Error>> {
        let is_coinbase = address == self.memory.coinbase();
        if let Some(read) = &self.coinbase
            && is_coinbase
            && self.memory.is_coinbase_quiet()
        {
            return Ok(read.clone());
        }
        let Self { memory, base, latency, reader, codes, .. } = self;
        let codes = &*codes;
        if latency.is_high() {
            memory.note_slow_base();
        }
        let recall = if memory.is_base_slow() { Recall::Everybody } else { Recall::WithCode };
        let ask = || latency.of(|| base.basic_ref(address));
        // What counts references to a code that this thread has is not cloned.
        let copied = |info: &AccountInfo| match codes.are_with(&info.code_hash) {
            true => info.copy_without_code(),
            false => info.clone(),
        };
        let read = memory.account_as(address, *reader, recall, copied, ask).map_err(Interrupt::Base)?;
        if is_coinbase && read.origin == Origin::Base {
            self.coinbase = Some(read.clone());
        }
        Ok(read)
    }

    fn slot(&mut self, place: AccountId, key: U256) -> Result<U256, Interrupt<B::Error>> {
        self.check_not_stale()?;
        let seen = &mut self.seen[place.get()];
        seen.has_slots = true;
        let (address, base_id) = (seen.address, seen.base_id);
        let ask = || match base_id {
            Some(base_id) => self.base.storage_by_account_id_ref(address, base_id, key),
            None => self.base.storage_ref(address, key),
        };
        let foresight = self.memory.foresight();
        let foreseen = foresight.and_then(|all| all.slot(seen.foreseen?, key, self.reader));
        let read = match foreseen {
            Some(value) => Ok(SlotRead::Value(value, Origin::Block)),
            // Where nobody is told who reads what, only what takes long need be entered anywhere.
            None if !self.memory.is_told() && !self.memory.is_base_slow() => {
                ask().map(|value| SlotRead::Value(value, Origin::Base))
            }
            None => self.memory.slot(seen.id(self.memory), key, self.reader, ask),
        };
        match read {
            Ok(SlotRead::Value(value, origin)) => {
                self.origin = self.origin.and(origin);
                self.reads.push(SlotObservation { account: place.get() as u32, key, value, origin });
                Ok(value)
            }
            Ok(SlotRead::Awaits(index)) => Err(Interrupt::Awaits(index)),
            Err(error) => Err(Interrupt::Base(error)),
        }
    }

    /// Fails if nobody wants the run any more.
    ///
    /// # Errors
    ///
    /// See there.
    #[inline]
    pub fn check_not_stale(&self) -> Result<(), Interrupt<B::Error>> {
        // ORDER: Relaxed: a run that learns of it later only takes longer.
        let is_unwanted = self.unwanted.is_some_and(|unwanted| unwanted.load(Ordering::Relaxed));
        if is_unwanted { Err(Interrupt::Stale) } else { Ok(()) }
    }
}

impl<B: Base> Database for View<'_, B> {
    type Error = Interrupt<B::Error>;

    #[inline]
    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, Self::Error> {
        self.look_up(address)
    }

    fn code_by_hash(&mut self, code_hash: B256) -> Result<Bytecode, Self::Error> {
        if let Some(known) = self.codes.get(&code_hash) {
            return Ok(known);
        }
        let code = self.memory.code(self.base, code_hash).map_err(Interrupt::Base)?;
        Ok(self.codes.add(code_hash, code))
    }

    fn storage(&mut self, address: Address, key: U256) -> Result<U256, Self::Error> {
        let place = self.place_of(address, None).expect("an account is read before its slots");
        self.slot(place, key)
    }

    #[inline]
    fn storage_by_account_id(
        &mut self,
        _address: Address,
        account_id: AccountId,
        key: U256,
    ) -> Result<U256, Self::Error> {
        self.slot(account_id, key)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, Self::Error> {
        self.memory.block_hash(self.base, number).map_err(Interrupt::Base)
    }
}
