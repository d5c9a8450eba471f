//! The multi-version memory: what the transactions of a block read and write before they are final.
//!
//! Owns the versions of every location, who read which slot, and what the base said where that is
//! worth remembering, so that those who run ahead ask it once. Promises that a reader sees the newest
//! version before it, or is told whom to await; and that who publishes learns whose reads that breaks.
//! While those who run ahead are hushed they neither publish nor ask here, but for accounts with code.
//! Nothing here is ever believed: a wrong version costs a run, never an outcome.
//!
//! No two locations are locked at once, and none while the base is read.

use std::{fmt, sync::Arc};

use alloy_primitives::{
    Address, B256, KECCAK256_EMPTY, U256,
    map::{B256Map, HashMap},
};
use revm_state::{AccountId, AccountInfo, Bytecode};

use crate::{
    bal::index::AccessListIndex,
    model::{
        account::Account,
        base::Base,
        index::{AccessIndex, TxIndex},
    },
    mv::{
        table::{AccountTable, SlotTable},
        versions::{AccountVersions, Exact, SlotLookup, SlotVersions},
    },
    record::record::Origin,
    sync::{AtomicBool, AtomicU32, Mutex, Ordering},
};

/// The multi-version memory of one block.
#[derive(Default)]
pub struct Memory {
    pub(super) accounts: AccountTable,
    pub(super) slots: SlotTable,
    codes: Mutex<B256Map<Bytecode>>,
    block_hashes: Mutex<HashMap<u64, B256>>,
    /// Whether any life began or ended in this block: if none did, slots need not ask.
    pub(super) has_lives: AtomicBool,
    /// Whether anything but fees happened to the coinbase, as far as anybody told.
    pub(super) has_news_of_coinbase: AtomicBool,
    front: Front,
    /// Whether somebody found that the base takes its time.
    is_base_slow: AtomicBool,
    /// Whether those who run ahead are told nothing, and read slots from the base alone.
    is_hushed: AtomicBool,
    sight: Sight,
    /// Its balance is not kept up: nearly every transaction adds to it, and hardly one looks.
    pub(super) coinbase: Address,
}

/// What the gate says of itself, on a cache line of its own: it does so all the time, and those who
/// run ahead look at what else is here all the time.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Front {
    frontier: AtomicU32,
    /// Whether nobody runs ahead who would look here for what others remembered.
    is_alone: AtomicBool,
}

/// What an account is for a reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountRead {
    /// What the memory calls it, if it remembers it.
    pub id: Option<AccountId>,
    /// What the base calls it.
    pub base_id: Option<AccountId>,
    /// The account, if it exists.
    pub info: Option<AccountInfo>,
    /// Where that comes from.
    pub origin: Origin,
}

/// Of whom the memory is to remember what the base says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recall {
    /// Everybody: asking the base takes long.
    Everybody,
    /// Accounts with code. The others are many, and hardly one of them is needed twice.
    WithCode,
}

/// What a slot holds for a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotRead {
    /// A value, and where it comes from.
    Value(U256, Origin),
    /// This transaction is expected to write it, and did not yet.
    Awaits(TxIndex),
}

/// What transactions see of each other before they are final.
#[derive(Clone, Debug, Default)]
pub enum Sight {
    /// What they publish.
    #[default]
    Clear,
    /// What somebody said beforehand that they write. Nobody publishes anything.
    Foreseen(Arc<AccessListIndex>),
    /// Nothing: for tests of what they observe, which has to hold whatever they see.
    Blindfolded,
}

/// Who may read what the gate remembers and publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Somebody runs ahead, or is about to.
    Somebody,
    /// Nobody does, or those who do are hushed; who will is to be told of it.
    NobodyYet,
    /// Nobody does, for so long that who will does without it: telling of it all takes longer than
    /// it may help.
    Nobody,
}

impl Memory {
    /// Makes an empty memory ready for a block whose fees go to `coinbase`, and whose transactions
    /// see of each other what `sight` says.
    pub fn open(&mut self, coinbase: Address, sight: Sight) {
        self.coinbase = coinbase;
        self.sight = sight;
    }

    /// Forgets everything. Room is kept as far as the last block needed it.
    pub fn reset(&mut self) {
        self.accounts.clear();
        self.slots.clear();
        self.codes.get_mut().clear();
        self.block_hashes.get_mut().clear();
        // ORDER: Relaxed in all: nobody else has the memory.
        self.has_lives.store(false, Ordering::Relaxed);
        self.has_news_of_coinbase.store(false, Ordering::Relaxed);
        self.front.frontier.store(0, Ordering::Relaxed);
        self.front.is_alone.store(false, Ordering::Relaxed);
        self.is_base_slow.store(false, Ordering::Relaxed);
        self.is_hushed.store(false, Ordering::Relaxed);
        self.sight = Sight::Clear;
    }

    /// Whether transactions may see of each other what is published here.
    pub fn is_clear(&self) -> bool {
        matches!(self.sight, Sight::Clear)
    }

    /// Whether those who run ahead tell each other what they do: otherwise nobody need ask.
    #[inline]
    pub fn is_told(&self) -> bool {
        // ORDER: Relaxed: who learns of it late tells of too much, or asks for what nobody told.
        self.is_clear() && !self.is_hushed.load(Ordering::Relaxed)
    }

    /// From now on those who run ahead are hushed: what they do is told to nobody, unless it takes the
    /// place of what was told before, and they read slots from the base, unless that takes its time.
    /// Accounts with code are still remembered here.
    pub fn hush(&self) {
        // ORDER: Relaxed: see `is_told`.
        self.is_hushed.store(true, Ordering::Relaxed);
    }

    /// From now on they tell each other what they do again, and ask.
    pub fn speak_up(&self) {
        // ORDER: Relaxed: see `is_told`.
        self.is_hushed.store(false, Ordering::Relaxed);
    }

    /// What somebody said beforehand of what the transactions write.
    #[inline]
    pub(crate) fn foresight(&self) -> Option<&AccessListIndex> {
        match &self.sight {
            Sight::Foreseen(foresight) => Some(foresight),
            Sight::Clear | Sight::Blindfolded => None,
        }
    }

    /// Where the fees go.
    pub fn coinbase(&self) -> Address {
        self.coinbase
    }

    /// All transactions before this one are final: nobody reads between them any more.
    pub fn advance(&self, frontier: TxIndex) {
        // ORDER: Relaxed: a reader that sees an older frontier keeps more than it needs to.
        self.front.frontier.store(AccessIndex::from(frontier).get(), Ordering::Relaxed);
    }

    /// Says who reads what the gate remembers from now on.
    pub fn set_audience(&self, audience: Audience) {
        // ORDER: Relaxed: only the gate looks at it.
        self.front.is_alone.store(audience != Audience::Somebody, Ordering::Relaxed);
    }

    /// Whether anybody found that the base takes its time to answer.
    pub fn is_base_slow(&self) -> bool {
        // ORDER: Relaxed: who learns of it late has waited a little longer.
        self.is_base_slow.load(Ordering::Relaxed)
    }

    /// The base takes its time to answer.
    pub fn note_slow_base(&self) {
        if !self.is_base_slow() {
            // ORDER: Relaxed: see `is_base_slow`.
            self.is_base_slow.store(true, Ordering::Relaxed);
        }
    }

    /// An account as it seems to be just before `reader`. `ask` asks the base, whose answer is
    /// remembered if `recall` says so.
    ///
    /// # Errors
    ///
    /// If `ask` fails.
    #[inline]
    pub fn account<E>(
        &self,
        address: Address,
        reader: TxIndex,
        recall: Recall,
        ask: impl FnOnce() -> Result<Option<AccountInfo>, E>,
    ) -> Result<AccountRead, E> {
        self.account_as(address, reader, recall, AccountInfo::clone, ask)
    }

    /// The same for a reader that wants the account `copied` in a way of its own.
    #[inline]
    pub(crate) fn account_as<E>(
        &self,
        address: Address,
        reader: TxIndex,
        recall: Recall,
        copied: impl Fn(&AccountInfo) -> AccountInfo,
        ask: impl FnOnce() -> Result<Option<AccountInfo>, E>,
    ) -> Result<AccountRead, E> {
        let look = |id, cell: &AccountVersions| {
            let (info, origin) = cell.before(reader.into());
            AccountRead { id: Some(id), base_id: cell.base_id, info: info.map(&copied), origin }
        };
        if let Some(found) = self.accounts.find(address, look) {
            return Ok(found);
        }
        let info = ask()?;
        let base_id = info.as_ref().and_then(|info| info.account_id);
        let info = info.map(|info| AccountInfo {
            account_id: None,
            // revm takes a zero hash for some code when it looks for collisions.
            code_hash: Account::from(&info).code_hash,
            ..info
        });
        let has_code = info.as_ref().is_some_and(|info| !info.is_empty_code_hash());
        if recall == Recall::WithCode && !has_code {
            return Ok(AccountRead { id: None, base_id, info, origin: Origin::Base });
        }
        // Somebody else may have asked at the same time: whoever comes first has the word.
        Ok(self.accounts.get_or_insert(address, || AccountVersions::new(info, base_id), look))
    }

    /// Whether nobody has told of anything but fees that happened to the coinbase.
    pub(crate) fn is_coinbase_quiet(&self) -> bool {
        // ORDER: Relaxed: who sees it late reads what was there before, and the gate finds that out.
        !self.has_news_of_coinbase.load(Ordering::Relaxed)
    }

    /// `reader` needs something of an account exactly as it saw it.
    pub(crate) fn need(&self, id: AccountId, reader: TxIndex, exact: Exact) {
        self.accounts.with(id, |cell| cell.need(reader, exact, || self.frontier()));
    }

    /// What `reader` sees of a slot; it is remembered as a reader. `ask` asks the base.
    ///
    /// # Errors
    ///
    /// If `ask` fails.
    #[inline]
    pub fn slot<E>(
        &self,
        account: AccountId,
        key: U256,
        reader: TxIndex,
        ask: impl FnOnce() -> Result<U256, E>,
    ) -> Result<SlotRead, E> {
        let life = self.life(account, reader.into());
        let read = |cell: &mut SlotVersions| cell.read(reader, life, || self.frontier());
        let found = self.slots.get_or_insert(account, key, read);
        match found {
            SlotLookup::Value(value, origin) => return Ok(SlotRead::Value(value, origin)),
            SlotLookup::Predicted(index) => return Ok(SlotRead::Awaits(index)),
            SlotLookup::ReadBase | SlotLookup::ReadBaseAgain => {}
        }
        let value = ask()?;
        // Most slots are read once. Of them, what is at hand in the base is not worth a second look.
        if found == SlotLookup::ReadBaseAgain || self.is_base_slow() {
            self.slots.get_or_insert(account, key, |cell| cell.base = Some(value));
        }
        Ok(SlotRead::Value(value, Origin::Base))
    }

    /// The name of an account that somebody asked the base for; `info` is what the base said, and
    /// `base_id` what it calls the account.
    pub fn introduce(
        &self,
        address: Address,
        info: Option<AccountInfo>,
        base_id: Option<AccountId>,
    ) -> AccountId {
        self.accounts.get_or_insert(address, || AccountVersions::new(info, base_id), |id, _| id)
    }

    /// Asks the base for an account and its code before anybody needs them.
    ///
    /// # Errors
    ///
    /// If the base cannot be read.
    pub fn fetch_account<B: Base>(&self, base: &B, address: Address) -> Result<AccountRead, B::Error> {
        let ask = || base.basic_ref(address);
        let read = self.account(address, TxIndex::new(0), Recall::Everybody, ask)?;
        if let Some(AccountInfo { code: None, code_hash, .. }) = &read.info
            && *code_hash != KECCAK256_EMPTY
        {
            self.code(base, *code_hash)?;
        }
        Ok(read)
    }

    /// Asks the base for a slot, and first for its account, before anybody needs them.
    ///
    /// # Errors
    ///
    /// If the base cannot be read.
    pub fn fetch_slot<B: Base>(&self, base: &B, address: Address, key: U256) -> Result<(), B::Error> {
        let AccountRead { id, base_id, .. } = self.fetch_account(base, address)?;
        let id = id.expect("everybody is recalled");
        if self.base_slot(id, key).is_none() {
            let value = match base_id {
                Some(base_id) => base.storage_by_account_id_ref(address, base_id, key)?,
                None => base.storage_ref(address, key)?,
            };
            self.slots.get_or_insert(id, key, |cell| cell.base = Some(value));
        }
        Ok(())
    }

    /// An account as the base has it, if anybody asked.
    #[inline]
    pub(crate) fn base_account(&self, address: Address) -> Option<(AccountId, Option<AccountInfo>)> {
        self.accounts.find(address, |id, cell| (id, cell.base().cloned()))
    }

    /// What the memory calls an account, if anybody asked for it.
    pub(crate) fn id(&self, address: Address) -> Option<AccountId> {
        self.accounts.find(address, |id, _| id)
    }

    /// A slot as the base has it, if anybody asked.
    pub(crate) fn base_slot(&self, account: AccountId, key: U256) -> Option<U256> {
        self.slots.find(account, key, |cell| cell.base).flatten()
    }

    /// When the life began that an account lives just before `reader`, if it began in this block.
    #[inline]
    fn life(&self, id: AccountId, reader: AccessIndex) -> Option<AccessIndex> {
        // ORDER: Acquire pairs with the Release in `publish_account`.
        if !self.has_lives.load(Ordering::Acquire) {
            return None;
        }
        self.accounts.with(id, |cell| cell.life_before(reader))
    }

    /// Whether the gate may find here what somebody asked the base for: those who run ahead, unless
    /// they have foresight; and whoever did where answers take long.
    #[inline]
    pub(crate) fn is_worth_asking(&self) -> bool {
        // ORDER: Relaxed: see `set_audience`.
        self.is_base_slow() || (!self.front.is_alone.load(Ordering::Relaxed) && self.foresight().is_none())
    }

    #[inline]
    pub(super) fn frontier(&self) -> AccessIndex {
        // ORDER: Relaxed, see `advance`.
        AccessIndex::from_number(self.front.frontier.load(Ordering::Relaxed))
    }

    /// The code with this hash, from the base.
    pub(crate) fn code<B: Base>(&self, base: &B, hash: B256) -> Result<Bytecode, B::Error> {
        if let Some(code) = self.codes.lock().get(&hash) {
            return Ok(code.clone());
        }
        let code = base.code_by_hash_ref(hash)?;
        Ok(self.codes.lock().entry(hash).or_insert(code).clone())
    }

    /// The hash of an earlier block, from the base.
    pub(crate) fn block_hash<B: Base>(&self, base: &B, number: u64) -> Result<B256, B::Error> {
        if let Some(hash) = self.block_hashes.lock().get(&number) {
            return Ok(*hash);
        }
        let hash = base.block_hash_ref(number)?;
        Ok(*self.block_hashes.lock().entry(number).or_insert(hash))
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}

#[cfg(all(test, not(feature = "shuttle")))]
mod tests {
    use super::*;
    use crate::{model::index::{Incarnation, Version}, mv::publish::Writer, record::record::{AccountEffect, AccountObservation, AccountRecord, BalanceEffect, LifeChange, Record}};

    const COINBASE: Address = Address::with_last_byte(1);

    /// Whether the coinbase is quiet after a transaction that leaves it with this nonce, and a fee.
    fn is_quiet_after(nonce: Option<u64>) -> bool {
        let mut memory = Memory::default();
        memory.open(COINBASE, Sight::Clear);
        let effect =
            AccountEffect { life_change: LifeChange::Continues, balance: BalanceEffect::Add(U256::ONE), nonce, code: None };
        let coinbase = AccountRecord {
            address: COINBASE,
            id: Some(memory.introduce(COINBASE, None, None)),
            observed: AccountObservation::NOTHING,
            effect: Some(effect),
        };
        let record = Record { accounts: vec![coinbase], ..Record::default() };
        let version = Version { index: TxIndex::new(0), incarnation: Incarnation::FIRST };
        memory.publish(Writer::Run(version), &record, None, &mut Vec::new());
        let quiet = memory.is_coinbase_quiet();
        memory.reset();
        assert!(memory.is_coinbase_quiet(), "the next block begins anew");
        quiet
    }

    #[test]
    fn fees_are_no_news_of_the_coinbase_and_what_else_happens_to_it_is() {
        assert!(is_quiet_after(None));
        assert!(!is_quiet_after(Some(1)));
    }
}
