//! Where a view reads from: the access list, the multi-version memory, or the base.
//!
//! Owns what one thread caches from run to run: codes, a coinbase as the base has it, and the latency of
//! the base.

use alloy_primitives::{Address, B256, U256};
use revm_state::{AccountInfo, Bytecode};

use crate::{
    model::{
        base::Base,
        index::{ListAccountId, TxIndex},
    },
    mv::{
        latency::LatencyMeter,
        memory::{AccountRead, CachedAccounts, Memory, SlotRead},
    },
    record::observation::Origin,
    run::{code_cache::CodeCache, tracked_account::TrackedAccount},
};

/// The sources of the runs of one thread.
#[derive(Debug)]
pub(super) struct ReadSource<'m, B: ?Sized> {
    pub(super) memory: &'m Memory,
    base: &'m B,
    /// Codes that this or an earlier run needed.
    codes: CodeCache,
    latency: LatencyMeter,
    /// The coinbase that was read last, as the base has it: every run of a block reads the same one.
    coinbase: Option<(Address, AccountRead)>,
}

impl<'m, B: Base + ?Sized> ReadSource<'m, B> {
    pub(super) fn new(memory: &'m Memory, base: &'m B) -> Self {
        Self { memory, base, codes: CodeCache::default(), latency: LatencyMeter::default(), coinbase: None }
    }

    /// An account as `reader` sees it, without what the access list says of it.
    pub(super) fn account(&mut self, address: Address, reader: TxIndex) -> Result<AccountRead, B::Error> {
        let coinbase = self.memory.coinbase(&address);
        if let (Some(coinbase), Some((of, read))) = (coinbase, &self.coinbase)
            && *of == address
            && coinbase.has_only_fees()
        {
            return Ok(read.clone());
        }
        let Self { memory, base, latency, codes, .. } = self;
        let codes = &*codes;
        if latency.is_high() {
            memory.note_high_latency();
        }
        let cached =
            if memory.base_has_high_latency() { CachedAccounts::All } else { CachedAccounts::WithCode };
        let read_base = || latency.measure(|| base.basic_ref(address));
        // A code that this thread caches is not cloned: that would write its shared reference count.
        let copied = |info: &AccountInfo| match codes.contains(&info.code_hash) {
            true => info.copy_without_code(),
            false => info.clone(),
        };
        let read = memory.account_as(address, reader, cached, copied, read_base)?;
        if coinbase.is_some() && read.origin == Origin::Base {
            self.coinbase = Some((address, read.clone()));
        }
        Ok(read)
    }

    /// Turns an account into what the access list says that it is for `reader`; returns its id there.
    #[inline]
    pub(super) fn apply_list(
        &self,
        address: &Address,
        reader: TxIndex,
        info: &mut Option<AccountInfo>,
    ) -> Option<ListAccountId> {
        let list = self.memory.access_list()?;
        let id = list.find(address)?;
        list.apply(id, reader, info);
        Some(id)
    }

    /// Gives an account the thread's copy of its code, if there is one.
    #[inline]
    pub(super) fn put_code(&mut self, info: &mut AccountInfo) {
        self.codes.put_into(info);
    }

    /// A slot as `reader` sees it.
    #[inline]
    pub(super) fn slot(
        &self,
        account: &mut TrackedAccount,
        key: U256,
        reader: TxIndex,
    ) -> Result<SlotRead, B::Error> {
        let Self { memory, base, .. } = *self;
        let (address, base_id) = (account.address, account.base_id);
        let read_base = || match base_id {
            Some(base_id) => base.storage_by_account_id_ref(address, base_id.into_revm(), key),
            None => base.storage_ref(address, key),
        };
        let listed = memory.access_list().and_then(|list| list.slot(account.list_id?, key, reader));
        match listed {
            Some(value) => Ok(SlotRead::Value(value, Origin::Block)),
            // While no run publishes, the memory can only save reads of a slow base.
            None if !memory.is_publishing() && !memory.base_has_high_latency() => {
                read_base().map(|value| SlotRead::Value(value, Origin::Base))
            }
            None => memory.slot(account.get_or_insert_id(memory), key, reader, read_base),
        }
    }

    pub(super) fn code(&mut self, hash: B256) -> Result<Bytecode, B::Error> {
        if let Some(known) = self.codes.get(&hash) {
            return Ok(known);
        }
        let code = self.memory.code(self.base, hash)?;
        Ok(self.codes.add(hash, code))
    }

    pub(super) fn block_hash(&self, number: u64) -> Result<B256, B::Error> {
        self.memory.block_hash(self.base, number)
    }
}

#[cfg(not(feature = "shuttle"))]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::allocation::Allocation,
        mv::{memory::Visibility, publish::Writer},
        record::{
            effect::{AccountEffect, BalanceEffect, LifeChange},
            observation::AccountObservation,
            publication::Publication,
            record::{AccountRecord, Record},
        },
        stores::memory::MemoryStore,
    };

    const COINBASE: Address = Address::with_last_byte(1);
    const CONTRACT: Address = Address::with_last_byte(2);
    const KEY: U256 = U256::ZERO;

    /// A coinbase with 1 wei, and a contract with 7 in a slot.
    fn store() -> MemoryStore {
        let coinbase = Allocation { balance: U256::ONE, ..Allocation::default() };
        let storage = [(KEY, U256::from(7))].into();
        let contract = Allocation { code: [0].into(), storage, ..Allocation::default() };
        MemoryStore::from_genesis([(COINBASE, coinbase), (CONTRACT, contract)])
    }

    fn reader() -> TxIndex {
        TxIndex::new(0)
    }

    fn memory() -> Memory {
        let mut memory = Memory::default();
        memory.open([COINBASE], Visibility::Published);
        memory
    }

    /// Publishes that the opening sets the nonce of the coinbase.
    fn publish_nonce(memory: &Memory) {
        let effect = AccountEffect {
            life_change: LifeChange::Continues,
            balance: BalanceEffect::Keep,
            nonce: Some(1),
            code: None,
        };
        let coinbase = AccountRecord {
            address: COINBASE,
            id: Some(memory.insert_account(COINBASE, None, None)),
            observed: AccountObservation::NOTHING,
            effect: Some(effect),
        };
        let record = Record { accounts: vec![coinbase], ..Record::default() };
        memory.publish(Writer::Opening, &record, None, &mut Vec::new());
    }

    #[test]
    fn the_coinbase_is_kept_only_as_the_base_has_it() {
        for is_published in [false, true] {
            let (memory, base) = (memory(), store());
            if is_published {
                publish_nonce(&memory);
            }
            let mut source = ReadSource::new(&memory, &base);
            source.account(CONTRACT, reader()).unwrap();
            assert_eq!(source.coinbase, None);
            let read = source.account(COINBASE, reader()).unwrap();
            assert_eq!(read.origin == Origin::Block, is_published);
            assert_eq!(source.coinbase, (!is_published).then_some((COINBASE, read)));
        }
    }

    #[test]
    fn a_coinbase_that_was_kept_is_read_again_after_a_change_other_than_a_fee() {
        let (memory, base) = (memory(), store());
        let mut source = ReadSource::new(&memory, &base);
        let mut nonce = || source.account(COINBASE, reader()).unwrap().info.unwrap().nonce;
        assert_eq!([nonce(), nonce()], [0, 0]);
        publish_nonce(&memory);
        assert_eq!(nonce(), 1);
    }

    #[test]
    fn while_publication_is_withheld_only_slots_of_a_slow_base_are_cached() {
        for has_high_latency in [false, true] {
            let (memory, base) = (memory(), store());
            memory.set_publication(Publication::OnMiss);
            if has_high_latency {
                memory.note_high_latency();
            }
            let id = memory.insert_account(CONTRACT, None, None);
            let mut account = TrackedAccount::new(CONTRACT, Some(id), None, None, None);
            let source = ReadSource::new(&memory, &base);
            for _ in 0..2 {
                let read = source.slot(&mut account, KEY, reader()).unwrap();
                assert_eq!(read, SlotRead::Value(U256::from(7), Origin::Base));
            }
            assert_eq!(memory.base_slot(id, KEY).is_some(), has_high_latency);
        }
    }

    #[test]
    fn a_code_that_is_not_cached_is_read_from_the_base() {
        let (memory, base) = (memory(), store());
        let mut source = ReadSource::new(&memory, &base);
        let hash = base.account(&CONTRACT).unwrap().account.code_hash;
        for _ in 0..2 {
            assert_eq!(source.code(hash).unwrap().hash_slow(), hash);
        }
        // Accounts are read without a code that the thread caches.
        let mut info = source.account(CONTRACT, reader()).unwrap().info.unwrap();
        assert_eq!(info.code, None);
        source.put_code(&mut info);
        assert_eq!(info.code.unwrap().hash_slow(), hash);
    }
}
