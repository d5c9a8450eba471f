//! The view of one speculative run: what the run sees of the state, and what it observes.
//!
//! Owns the observations of the run. It is revm's [`Database`]: every account and slot that the run reads
//! is resolved and recorded. Of balances and nonces it records only what the run needs; the driver of the
//! run reports that ([`spends`](View::spends), [`looks_at_emptiness`](View::looks_at_emptiness), ...).
//! Promises that the run does the same on any two states in which its observations hold.

use alloy_primitives::{Address, B256, U256, map::HashSet};
use revm_database_interface::Database;
use revm_state::{Account as EvmAccount, AccountId, AccountInfo, Bytecode, EvmState};

use crate::{
    model::{
        account::Account,
        base::Base,
        index::{TrackedAccountId, TxIndex},
    },
    mv::{
        memory::{AccountRead, Memory, SlotRead},
        versions::ExactRead,
    },
    record::{
        effect::LifeChange,
        observation::Origin,
        record::{CreatedSlot, Record, SlotObservation, SlotRecord},
    },
    run::{
        interrupt::Interrupt, source::ReadSource, tracked_account::TrackedAccount,
        tracked_accounts::TrackedAccounts,
    },
    sync::{AtomicBool, Ordering},
};

/// From this amount on a transfer observes the balance of its recipient exactly, and a creation runs at the
/// frontier.
const EXACT_TRANSFER: U256 = U256::from_limbs([0, 0, 0, 1 << 8]);

/// The state as one speculative run sees it.
#[derive(Debug)]
pub struct View<'m, B: ?Sized> {
    source: ReadSource<'m, B>,
    /// Set by another thread when the run is stale. `None` before the first run.
    is_stale: Option<&'m AtomicBool>,
    reader: TxIndex,
    sender: Sender,
    accounts: TrackedAccounts,
    reads: Vec<SlotObservation>,
    /// The common origin of what the run read.
    origin: Origin,
    /// Addresses at which the run created contracts, or tried to.
    created: Vec<Address>,
    needs_frontier: bool,
}

/// The sender of a transaction, as the transaction describes it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sender {
    /// The account.
    pub address: Address,
    /// The nonce of the transaction.
    pub nonce: u64,
    /// The most that the transaction can cost the sender, including the value that it sends.
    pub cost: U256,
}

impl<'m, B: Base + ?Sized> View<'m, B> {
    /// A view for the runs of one thread. [`begin`](Self::begin) starts a run.
    pub fn new(memory: &'m Memory, base: &'m B) -> Self {
        Self {
            source: ReadSource::new(memory, base),
            is_stale: None,
            reader: TxIndex::new(0),
            sender: Sender::default(),
            accounts: TrackedAccounts::default(),
            reads: Vec::new(),
            origin: Origin::Base,
            created: Vec::new(),
            needs_frontier: false,
        }
    }

    /// Drops all observations and begins a run of transaction `reader`. The run sees its sender with the
    /// nonce of the transaction; validation checks later that the sender has that nonce. `is_stale` is set
    /// when the run becomes stale.
    pub fn begin(&mut self, reader: TxIndex, sender: Sender, is_stale: &'m AtomicBool) {
        self.reader = reader;
        self.sender = sender;
        self.is_stale = Some(is_stale);
        self.accounts.clear();
        self.reads.clear();
        self.origin = Origin::Base;
        self.created.clear();
        self.needs_frontier = false;
    }

    /// The run spends an amount of the account's present balance, or finds that the balance is too low.
    pub fn spends(&mut self, address: Address, account: &EvmAccount, amount: U256) {
        let Some(tracked) = self.tracked(address, account.info.account_id) else { return };
        let balance = account.info.balance;
        if let Some(left) = balance.checked_sub(amount) {
            tracked.needs.balance.need_at_least(tracked.balance.saturating_sub(left));
        } else {
            // One wei less than the amount that would have been enough.
            tracked.needs.balance.need_at_most(tracked.balance.saturating_add(amount - balance - U256::ONE));
        }
        self.needs_frontier |= self.needs_coinbase_balance(address);
    }

    /// The run gives an amount to an account.
    pub fn gives(&mut self, address: Address, account: &EvmAccount, amount: U256) {
        if amount >= EXACT_TRANSFER {
            self.looks_at_balance(address, account);
        }
    }

    /// The run looks at the exact balance.
    pub fn looks_at_balance(&mut self, address: Address, account: &EvmAccount) {
        let memory = self.source.memory;
        let Some(tracked) = self.tracked(address, account.info.account_id) else { return };
        if !tracked.needs.balance.are_exact() {
            tracked.need_balance();
            if memory.is_publishing() {
                let (id, balance) = (tracked.get_or_insert_id(memory), tracked.balance);
                memory.note_exact_read(id, self.reader, ExactRead::Balance(balance));
            }
            self.needs_frontier |= self.needs_coinbase_balance(address);
        }
    }

    /// An account is about to create a contract with an amount. The address of the contract depends on the
    /// nonce of the creator, and whether it can be created depends on the nonce and the code at that address.
    pub fn creates(&mut self, creator: Address, account: &EvmAccount, created: Address, amount: U256) {
        self.looks_at_nonce(creator, account);
        self.created.push(created);
        // The address may have a balance, which the amount may make overflow.
        self.needs_frontier |= amount >= EXACT_TRANSFER;
    }

    /// The run looks at the exact nonce.
    pub fn looks_at_nonce(&mut self, address: Address, account: &EvmAccount) {
        let memory = self.source.memory;
        if address != self.sender.address
            && let Some(tracked) = self.tracked(address, account.info.account_id)
            && !tracked.needs.nonce.are_exact()
        {
            tracked.need_nonce();
            if memory.is_publishing() {
                let (id, nonce) = (tracked.get_or_insert_id(memory), tracked.nonce);
                memory.note_exact_read(id, self.reader, ExactRead::Nonce(nonce));
            }
        }
    }

    /// The run looks whether the account is empty, or exists, while its balance is `balance`.
    pub fn looks_at_emptiness(&mut self, address: Address, account: &EvmAccount, balance: U256) {
        let Some(tracked) = self.tracked(address, account.info.account_id) else { return };
        tracked.need_emptiness(balance);
        self.needs_frontier |= self.needs_coinbase_balance(address);
    }

    /// The run looks at every part of an account, if it has read the account at all.
    pub fn looks_at_everything(&mut self, address: Address) {
        if let Some(tracked) = self.tracked(address, None) {
            tracked.need_everything();
            self.needs_frontier |= self.needs_coinbase_balance(address);
        }
    }

    /// Ends the run. Writes its observations and effects into `record`, which is empty; `accounts` is the
    /// state that the run left.
    ///
    /// # Errors
    ///
    /// If an observation can only be made at the frontier.
    pub fn finish(
        &mut self,
        accounts: &mut EvmState,
        record: &mut Record,
    ) -> Result<(), Interrupt<B::Error>> {
        self.note_created(accounts, record);
        let writes = &mut record.writes;
        for (address, account) in accounts.iter_mut() {
            let is_touched = account.is_touched();
            // Before EIP-161 revm removes the touch of an empty account that exists, so the run depends on
            // such accounts as well.
            if !is_touched && !account.is_empty() {
                continue;
            }
            let Some(id) = self.accounts.find(*address, account.info.account_id) else { continue };
            let tracked = self.accounts.get_mut(id);
            if !is_touched {
                tracked.need_everything();
                continue;
            }
            let life_change = LifeChange::of(account, tracked.existence);
            tracked.effect = tracked.effect(life_change, account);
            if life_change != LifeChange::Ends {
                let before = writes.len();
                writes.extend(SlotRecord::changed(id.get(), account));
                tracked.has_slots |= writes.len() > before;
            }
            self.needs_frontier |= self.needs_coinbase_balance(*address);
        }
        if self.needs_frontier {
            return Err(Interrupt::NeedsFrontier);
        }
        std::mem::swap(&mut record.reads, &mut self.reads);
        record.origin = self.origin;
        self.accounts.move_into(record, self.source.memory);
        Ok(())
    }

    /// Adds what the run needs of accounts that it created, or tried to, and their accessed slots.
    fn note_created(&mut self, accounts: &EvmState, record: &mut Record) {
        // A creation that failed may have been tried again; its slots must be listed once.
        self.created.sort_unstable();
        self.created.dedup();
        for address in std::mem::take(&mut self.created) {
            let Some(account) = accounts.get(&address) else { continue };
            let Some(id) = self.accounts.find(address, account.info.account_id) else { continue };
            let tracked = self.accounts.get_mut(id);
            tracked.need_nonce();
            // From EIP-8037 on a new account costs more than one that was paid before.
            tracked.need_emptiness(tracked.balance);
            // revm does not read the slots of an account that it has just created.
            tracked.has_slots |= !account.storage.is_empty();
            let position = id.get() as u32;
            // A slot that the run read before it tried to create the account is among the reads.
            let reads = self.reads.iter().filter(|read| read.account == position);
            let read: HashSet<U256> = reads.map(|read| read.key).collect();
            let created = account.storage.keys().filter(|key| !read.contains(*key));
            record.created.extend(created.map(|key| CreatedSlot { account: position, key: *key }));
        }
    }

    /// Whether the run needs the exact balance of a coinbase, which has no versions in the memory: only the
    /// committed state has it. An access list says it as well.
    fn needs_coinbase_balance(&self, address: Address) -> bool {
        let memory = self.source.memory;
        let is_coinbase = memory.coinbase(&address).is_some() && memory.access_list().is_none();
        is_coinbase && self.accounts.need_exact_balance(address)
    }

    fn tracked(&mut self, address: Address, carried: Option<AccountId>) -> Option<&mut TrackedAccount> {
        let id = self.accounts.find(address, carried)?;
        Some(self.accounts.get_mut(id))
    }

    fn account(&mut self, address: Address) -> Result<Option<AccountInfo>, Interrupt<B::Error>> {
        self.check_not_stale()?;
        let read = self.source.account(address, self.reader).map_err(Interrupt::Base)?;
        let AccountRead { id, base_id, mut info, origin } = read;
        self.origin = self.origin.and(origin);
        let base = (origin == Origin::Base).then(|| info.as_ref().map(Account::from));
        let list_id = self.source.apply_list(&address, self.reader, &mut info);
        let is_sender = address == self.sender.address;
        if is_sender && (info.is_some() || self.sender.nonce != 0) {
            info.get_or_insert_default().nonce = self.sender.nonce;
        }
        let mut tracked = TrackedAccount::new(address, id, base_id, base, info.as_ref());
        tracked.list_id = list_id;
        if is_sender {
            tracked.need_nonce();
            tracked.needs.balance.need_at_least(self.sender.cost);
        }
        let id = self.accounts.add(tracked);
        if let Some(info) = &mut info {
            info.account_id = Some(id.into_revm());
            self.source.put_code(info);
        }
        Ok(info)
    }

    fn slot(&mut self, id: TrackedAccountId, key: U256) -> Result<U256, Interrupt<B::Error>> {
        self.check_not_stale()?;
        let account = self.accounts.get_mut(id);
        account.has_slots = true;
        match self.source.slot(account, key, self.reader) {
            Ok(SlotRead::Value(value, origin)) => {
                self.origin = self.origin.and(origin);
                self.reads.push(SlotObservation { account: id.get() as u32, key, value, origin });
                Ok(value)
            }
            Ok(SlotRead::Awaits(index)) => Err(Interrupt::Awaits(index)),
            Err(error) => Err(Interrupt::Base(error)),
        }
    }

    /// Fails if the run was marked as stale.
    ///
    /// # Errors
    ///
    /// [`Interrupt::Stale`].
    #[inline]
    pub fn check_not_stale(&self) -> Result<(), Interrupt<B::Error>> {
        // ORDER: Relaxed: a run that sees the flag late only takes longer.
        let is_stale = self.is_stale.is_some_and(|is_stale| is_stale.load(Ordering::Relaxed));
        if is_stale { Err(Interrupt::Stale) } else { Ok(()) }
    }
}

impl<B: Base + ?Sized> Database for View<'_, B> {
    type Error = Interrupt<B::Error>;

    #[inline]
    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, Self::Error> {
        self.account(address)
    }

    fn code_by_hash(&mut self, code_hash: B256) -> Result<Bytecode, Self::Error> {
        self.source.code(code_hash).map_err(Interrupt::Base)
    }

    fn storage(&mut self, address: Address, key: U256) -> Result<U256, Self::Error> {
        let id = self.accounts.find(address, None).expect("an account is read before its slots");
        self.slot(id, key)
    }

    #[inline]
    fn storage_by_account_id(
        &mut self,
        _address: Address,
        account_id: AccountId,
        key: U256,
    ) -> Result<U256, Self::Error> {
        self.slot(TrackedAccountId::from_revm(account_id), key)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, Self::Error> {
        self.source.block_hash(number).map_err(Interrupt::Base)
    }
}

#[cfg(not(feature = "shuttle"))]
#[cfg(test)]
mod tests;
