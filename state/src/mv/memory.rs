//! The multi-version memory: what the transactions of a block read and write before they are final.
//!
//! Owns the versions of every location, the readers of each slot, and cached answers of the base. Promises
//! that a reader sees the newest version before it or learns which transaction to await, and that a publisher
//! learns which reads its writes made stale. Nothing here is trusted: a wrong version costs a run, never an
//! outcome.
//!
//! No two locations are locked at once, and none during a read of the base.

use std::{convert::Infallible, fmt, sync::Arc};

use alloy_primitives::{Address, B256, KECCAK256_EMPTY, U256, map::FbBuildHasher};
use crossbeam_utils::CachePadded;
use revm_state::{AccountInfo, Bytecode};

use crate::{
    bal::index::AccessListIndex,
    model::{
        account::Account,
        base::Base,
        index::{AccessIndex, BaseAccountId, MemoryAccountId, TxIndex},
    },
    mv::{
        coinbases::{Coinbase, Coinbases},
        table::{AccountTable, SlotTable},
        versions::{AccountVersions, ExactRead, SlotLookup, SlotVersions},
    },
    record::{observation::Origin, publication::Publication},
    sync::{AtomicBool, AtomicU32, ConcurrentMap, Ordering},
};

/// The multi-version memory of one block.
#[derive(Default)]
pub struct Memory {
    pub(super) accounts: AccountTable,
    pub(super) slots: SlotTable,
    codes: ConcurrentMap<B256, Bytecode, FbBuildHasher<32>>,
    block_hashes: ConcurrentMap<u64, B256>,
    /// Whether any account's life began or ended in this block. While none did, slot reads need no life.
    pub(super) has_life_changes: AtomicBool,
    /// On a cache line of its own, because speculative runs read the other fields all the time.
    gate: CachePadded<GateState>,
    /// Whether the base was found to have a high latency.
    has_high_latency: AtomicBool,
    /// Whether speculative runs neither publish nor read slots here.
    is_withholding: AtomicBool,
    visibility: Visibility,
    pub(super) coinbases: Coinbases,
}

/// What the gate writes with each commit.
#[derive(Debug, Default)]
struct GateState {
    frontier: AtomicU32,
    /// Whether no speculative run is expected, so that none caches answers of the base here.
    is_alone: AtomicBool,
}

/// What an account is for a reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountRead {
    /// The memory's id of the account, if the memory holds it.
    pub id: Option<MemoryAccountId>,
    /// The base's id of the account.
    pub base_id: Option<BaseAccountId>,
    /// The account, if it exists.
    pub info: Option<AccountInfo>,
    /// Where that comes from.
    pub origin: Origin,
}

/// Which accounts the memory caches when it reads them from the base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CachedAccounts {
    /// All of them: the base has a high latency.
    All,
    /// Accounts with code. The others are many, and few of them are read twice.
    WithCode,
}

/// What a slot holds for a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotRead {
    /// A value, and where it comes from.
    Value(U256, Origin),
    /// This transaction is expected to write the slot, and has not yet.
    Awaits(TxIndex),
}

/// What transactions see of each other before they are final.
#[derive(Clone, Debug, Default)]
pub enum Visibility {
    /// What other runs publish.
    #[default]
    Published,
    /// What an access list says. Runs publish nothing.
    Listed(Arc<AccessListIndex>),
    /// Nothing. Tests use it: what runs observe must hold whatever they see.
    Nothing,
}

impl Memory {
    /// Prepares an empty memory for blocks whose fees go to these accounts.
    pub fn open(&mut self, coinbases: impl IntoIterator<Item = Address>, visibility: Visibility) {
        self.coinbases = Coinbases::new(coinbases);
        self.visibility = visibility;
    }

    /// Sets the hash of a block that the base does not know.
    pub fn set_block_hash(&self, number: u64, hash: B256) {
        let Ok(_) = self.block_hashes.get_or_insert(number, || Ok::<_, Infallible>(hash));
    }

    /// Removes everything. The capacity that the last block needed is kept.
    pub fn reset(&mut self) {
        self.accounts.clear();
        self.slots.clear();
        self.codes.clear();
        self.block_hashes.clear();
        // ORDER: Relaxed in all: no other thread has the memory.
        self.has_life_changes.store(false, Ordering::Relaxed);
        self.gate.frontier.store(0, Ordering::Relaxed);
        self.gate.is_alone.store(false, Ordering::Relaxed);
        self.has_high_latency.store(false, Ordering::Relaxed);
        self.is_withholding.store(false, Ordering::Relaxed);
        self.visibility = Visibility::Published;
        self.coinbases = Coinbases::default();
    }

    /// Whether transactions may see what others publish here.
    pub fn has_visible_writes(&self) -> bool {
        matches!(self.visibility, Visibility::Published)
    }

    /// Whether speculative runs publish their writes now. Otherwise reading them is pointless.
    #[inline]
    pub fn is_publishing(&self) -> bool {
        // ORDER: Relaxed: a run that sees an older value publishes or reads more than it needs to.
        self.has_visible_writes() && !self.is_withholding.load(Ordering::Relaxed)
    }

    /// Sets when effects become visible from now on. With [`Publication::OnMiss`] speculative runs publish
    /// only what replaces an earlier publication, and read slots from the base unless it has a high latency.
    pub fn set_publication(&self, publication: Publication) {
        // ORDER: Relaxed: only the gate reads it.
        self.gate.is_alone.store(publication != Publication::Immediate, Ordering::Relaxed);
        let is_withholding = publication == Publication::OnMiss;
        // ORDER: Relaxed: see `is_publishing`. Stored only when it changes: all runs read its cache line.
        if self.is_withholding.load(Ordering::Relaxed) != is_withholding {
            self.is_withholding.store(is_withholding, Ordering::Relaxed);
        }
    }

    /// The access list that says what the transactions write, if runs read it.
    #[inline]
    pub(crate) fn access_list(&self) -> Option<&AccessListIndex> {
        match &self.visibility {
            Visibility::Listed(list) => Some(list),
            Visibility::Published | Visibility::Nothing => None,
        }
    }

    /// The coinbase with this address, if it is one.
    #[inline]
    pub(crate) fn coinbase(&self, address: &Address) -> Option<&Coinbase> {
        self.coinbases.find(address)
    }

    /// Records that this transaction and all before it are final: no run reads between them any more.
    pub fn advance(&self, frontier: TxIndex) {
        // ORDER: Relaxed: a reader that sees an older frontier keeps more than it needs to.
        self.gate.frontier.store(AccessIndex::from(frontier).get(), Ordering::Relaxed);
    }

    /// Whether the base was found to have a high latency.
    pub fn base_has_high_latency(&self) -> bool {
        // ORDER: Relaxed: a thread that sees an older value has waited a little longer.
        self.has_high_latency.load(Ordering::Relaxed)
    }

    /// Records that the base has a high latency.
    pub fn note_high_latency(&self) {
        if !self.base_has_high_latency() {
            // ORDER: Relaxed: see `base_has_high_latency`.
            self.has_high_latency.store(true, Ordering::Relaxed);
        }
    }

    /// An account as `reader` sees it: with the newest versions before it. `read_base` reads the account from
    /// the base; the answer is cached if `cached` says so.
    ///
    /// # Errors
    ///
    /// If `read_base` fails.
    #[inline]
    pub fn account<E>(
        &self,
        address: Address,
        reader: TxIndex,
        cached: CachedAccounts,
        read_base: impl FnOnce() -> Result<Option<AccountInfo>, E>,
    ) -> Result<AccountRead, E> {
        self.account_as(address, reader, cached, AccountInfo::clone, read_base)
    }

    /// The same, with a function of the reader that copies the account.
    #[inline]
    pub(crate) fn account_as<E>(
        &self,
        address: Address,
        reader: TxIndex,
        cached: CachedAccounts,
        copied: impl Fn(&AccountInfo) -> AccountInfo,
        read_base: impl FnOnce() -> Result<Option<AccountInfo>, E>,
    ) -> Result<AccountRead, E> {
        let look = |id, cell: &AccountVersions| {
            let (info, origin) = cell.before(reader.into());
            AccountRead { id: Some(id), base_id: cell.base_id, info: info.map(&copied), origin }
        };
        if let Some(found) = self.accounts.find(address, look) {
            return Ok(found);
        }
        let info = read_base()?;
        let base_id = info.as_ref().and_then(|info| info.account_id).map(BaseAccountId::from_revm);
        let info = info.map(|info| AccountInfo {
            account_id: None,
            // revm takes a zero hash for the hash of a code when it checks a creation.
            code_hash: Account::from(&info).code_hash,
            ..info
        });
        let has_code = info.as_ref().is_some_and(|info| !info.is_empty_code_hash());
        if cached == CachedAccounts::WithCode && !has_code {
            return Ok(AccountRead { id: None, base_id, info, origin: Origin::Base });
        }
        // Another thread may have read it at the same time: the first insert wins.
        Ok(self.accounts.get_or_insert(address, || AccountVersions::new(info, base_id), look))
    }

    /// Records that `reader` depends on a part of an account exactly as it read it.
    pub(crate) fn note_exact_read(&self, id: MemoryAccountId, reader: TxIndex, exact: ExactRead) {
        self.accounts.with(id, |cell| cell.add_reader(reader, exact, || self.frontier()));
    }

    /// A slot as `reader` sees it; the reader is recorded. `read_base` reads the slot from the base.
    ///
    /// # Errors
    ///
    /// If `read_base` fails.
    #[inline]
    pub fn slot<E>(
        &self,
        account: MemoryAccountId,
        key: U256,
        reader: TxIndex,
        read_base: impl FnOnce() -> Result<U256, E>,
    ) -> Result<SlotRead, E> {
        let life = self.life(account, reader.into());
        let read = |cell: &mut SlotVersions| cell.read(reader, life, || self.frontier());
        let found = self.slots.get_or_insert(account, key, read);
        match found {
            SlotLookup::Value(value, origin) => return Ok(SlotRead::Value(value, origin)),
            SlotLookup::Predicted(index) => return Ok(SlotRead::Awaits(index)),
            SlotLookup::ReadBase | SlotLookup::ReadBaseAgain => {}
        }
        let value = read_base()?;
        // Most slots are read once, so caching one pays only if it is read again or the base is slow.
        if found == SlotLookup::ReadBaseAgain || self.base_has_high_latency() {
            self.slots.get_or_insert(account, key, |cell| cell.base = Some(value));
        }
        Ok(SlotRead::Value(value, Origin::Base))
    }

    /// The memory's id of an account. `info` is the account in the base, and `base_id` the base's id of it.
    pub fn insert_account(
        &self,
        address: Address,
        info: Option<AccountInfo>,
        base_id: Option<BaseAccountId>,
    ) -> MemoryAccountId {
        self.accounts.get_or_insert(address, || AccountVersions::new(info, base_id), |id, _| id)
    }

    /// Reads an account and its code from the base before a run needs them.
    ///
    /// # Errors
    ///
    /// If the base cannot be read.
    pub fn prefetch_account<B: Base + ?Sized>(
        &self,
        base: &B,
        address: Address,
    ) -> Result<AccountRead, B::Error> {
        let read_base = || base.basic_ref(address);
        let read = self.account(address, TxIndex::new(0), CachedAccounts::All, read_base)?;
        if let Some(AccountInfo { code: None, code_hash, .. }) = &read.info
            && *code_hash != KECCAK256_EMPTY
        {
            self.code(base, *code_hash)?;
        }
        Ok(read)
    }

    /// Reads an account and one of its slots from the base before a run needs them.
    ///
    /// # Errors
    ///
    /// If the base cannot be read.
    pub fn prefetch_slot<B: Base + ?Sized>(
        &self,
        base: &B,
        address: Address,
        key: U256,
    ) -> Result<(), B::Error> {
        let AccountRead { id, base_id, .. } = self.prefetch_account(base, address)?;
        let id = id.expect("all accounts are cached");
        if self.base_slot(id, key).is_none() {
            let value = match base_id {
                Some(base_id) => base.storage_by_account_id_ref(address, base_id.into_revm(), key)?,
                None => base.storage_ref(address, key)?,
            };
            self.slots.get_or_insert(id, key, |cell| cell.base = Some(value));
        }
        Ok(())
    }

    /// An account as the base has it, if it is cached.
    #[inline]
    pub(crate) fn base_account(&self, address: Address) -> Option<(MemoryAccountId, Option<AccountInfo>)> {
        self.accounts.find(address, |id, cell| (id, cell.base().cloned()))
    }

    /// The memory's id of an account, if the memory holds it.
    pub(crate) fn id(&self, address: Address) -> Option<MemoryAccountId> {
        self.accounts.find(address, |id, _| id)
    }

    /// A slot as the base has it, if it is cached.
    pub(crate) fn base_slot(&self, account: MemoryAccountId, key: U256) -> Option<U256> {
        self.slots.find(account, key, |cell| cell.base).flatten()
    }

    /// Where the life began that `reader` sees, if it began in this block.
    #[inline]
    fn life(&self, id: MemoryAccountId, reader: AccessIndex) -> Option<AccessIndex> {
        // ORDER: Acquire pairs with the Release in `publish_account`.
        if !self.has_life_changes.load(Ordering::Acquire) {
            return None;
        }
        self.accounts.with(id, |cell| cell.life_before(reader))
    }

    /// Whether the gate may find answers of the base here. Speculative runs cache them unless they read an
    /// access list, and every run does if the base has a high latency.
    #[inline]
    pub(crate) fn may_cache_base(&self) -> bool {
        // ORDER: Relaxed: see `set_publication`.
        self.base_has_high_latency()
            || (!self.gate.is_alone.load(Ordering::Relaxed) && self.access_list().is_none())
    }

    #[inline]
    pub(super) fn frontier(&self) -> AccessIndex {
        // ORDER: Relaxed, see `advance`.
        AccessIndex::from_number(self.gate.frontier.load(Ordering::Relaxed))
    }

    /// The code with this hash, from the base.
    pub(crate) fn code<B: Base + ?Sized>(&self, base: &B, hash: B256) -> Result<Bytecode, B::Error> {
        self.codes.get_or_insert(hash, || base.code_by_hash_ref(hash))
    }

    /// The hash of an earlier block, from the base.
    pub(crate) fn block_hash<B: Base + ?Sized>(&self, base: &B, number: u64) -> Result<B256, B::Error> {
        self.block_hashes.get_or_insert(number, || base.block_hash_ref(number))
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}

#[cfg(not(feature = "shuttle"))]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        bal::index::Delegations,
        model::index::{Incarnation, Version},
        mv::publish::Writer,
        record::{
            effect::{AccountEffect, BalanceEffect, LifeChange},
            observation::AccountObservation,
            record::{AccountRecord, Record},
        },
    };

    const COINBASE: Address = Address::with_last_byte(1);

    /// Whether the coinbase has only fees after a transaction that sets this nonce and pays a fee.
    fn has_only_fees_after(nonce: Option<u64>) -> bool {
        let mut memory = Memory::default();
        memory.open([COINBASE], Visibility::Published);
        let effect = AccountEffect {
            life_change: LifeChange::Continues,
            balance: BalanceEffect::Add(U256::ONE),
            nonce,
            code: None,
        };
        let coinbase = AccountRecord {
            address: COINBASE,
            id: Some(memory.insert_account(COINBASE, None, None)),
            observed: AccountObservation::NOTHING,
            effect: Some(effect),
        };
        let record = Record { accounts: vec![coinbase], ..Record::default() };
        let version = Version { index: TxIndex::new(0), incarnation: Incarnation::FIRST };
        memory.publish(Writer::Run(version), &record, None, &mut Vec::new());
        let has_only_fees = |memory: &Memory| memory.coinbase(&COINBASE).expect("it is one").has_only_fees();
        let found = has_only_fees(&memory);
        memory.reset();
        assert!(memory.coinbase(&COINBASE).is_none(), "a memory that was reset has no coinbase");
        memory.open([COINBASE], Visibility::Published);
        assert!(has_only_fees(&memory));
        found
    }

    #[test]
    fn a_fee_does_not_count_as_a_change_of_the_coinbase() {
        assert!(has_only_fees_after(None));
        assert!(!has_only_fees_after(Some(1)));
    }

    #[test]
    fn runs_see_what_others_publish_only_where_that_is_visible() {
        let is_visible = |visibility| {
            let mut memory = Memory::default();
            memory.open([COINBASE], visibility);
            (memory.has_visible_writes(), memory.is_publishing())
        };
        assert_eq!(is_visible(Visibility::Published), (true, true));
        assert_eq!(is_visible(Visibility::Nothing), (false, false));
        let list = AccessListIndex::new(Vec::new(), 1, Delegations::Unknown).expect("it is valid");
        assert_eq!(is_visible(Visibility::Listed(Arc::new(list))), (false, false));
    }

    #[test]
    fn an_account_is_kept_without_the_id_of_the_base_and_with_the_hash_of_empty_code() {
        let memory = Memory::default();
        let of_base = AccountInfo {
            balance: U256::ONE,
            code_hash: B256::ZERO,
            account_id: revm_state::AccountId::new(5),
            ..AccountInfo::default()
        };
        for cached in [CachedAccounts::WithCode, CachedAccounts::All] {
            let read_base = || Ok::<_, std::convert::Infallible>(Some(of_base.clone()));
            let Ok(read) = memory.account(COINBASE, TxIndex::new(0), cached, read_base);
            let info = read.info.expect("it exists");
            assert_eq!((info.code_hash, info.account_id), (KECCAK256_EMPTY, None), "{cached:?}");
            assert!(read.base_id.is_some());
        }
    }

    #[test]
    fn a_reader_of_an_exact_balance_is_stale_once_another_is_published() {
        let memory = Memory::default();
        let (payee, reader) = (Address::with_last_byte(2), TxIndex::new(3));
        let id = memory.insert_account(payee, None, None);
        memory.note_exact_read(id, reader, ExactRead::Balance(U256::ZERO));
        let effect = AccountEffect {
            life_change: LifeChange::Continues,
            balance: BalanceEffect::Add(U256::ONE),
            nonce: None,
            code: None,
        };
        let account = AccountRecord {
            address: payee,
            id: Some(id),
            observed: AccountObservation::NOTHING,
            effect: Some(effect),
        };
        let record = Record { accounts: vec![account], ..Record::default() };
        let (version, mut stale) =
            (Version { index: TxIndex::new(0), incarnation: Incarnation::FIRST }, Vec::new());
        memory.publish(Writer::Run(version), &record, None, &mut stale);
        assert_eq!(stale, [reader]);
    }

    #[test]
    fn the_frontier_is_where_it_was_advanced_to_until_the_memory_is_reset() {
        let mut memory = Memory::default();
        assert_eq!(memory.frontier(), AccessIndex::OPENING);
        memory.advance(TxIndex::new(5));
        assert_eq!(memory.frontier(), AccessIndex::from(TxIndex::new(5)));
        memory.reset();
        assert_eq!(memory.frontier(), AccessIndex::OPENING);
    }
}
