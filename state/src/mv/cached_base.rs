//! The base as the gate reads it: through the answers that speculative runs cached in the memory.

use alloy_primitives::{Address, B256, U256};
use revm_database_interface::DatabaseRef;
use revm_state::{AccountId, AccountInfo, Bytecode};

use crate::{
    model::{base::Base, index::MemoryAccountId},
    mv::memory::Memory,
};

/// A base read through the cache of a memory. Account ids are the memory's.
///
/// Answers of the base are not added to the cache, because the one reader keeps them itself. Without speculative runs
/// the base is read directly, unless its latency is high.
///
/// Without a memory it is the base alone. Both are one type, so that only one interpreter is compiled.
#[derive(Clone, Copy, Debug)]
pub struct CachedBase<'m, B: ?Sized> {
    memory: Option<&'m Memory>,
    base: &'m B,
}

impl<'m, B: ?Sized> CachedBase<'m, B> {
    /// `base`, read through the cache of `memory`.
    pub fn new(memory: &'m Memory, base: &'m B) -> Self {
        Self { memory: Some(memory), base }
    }

    /// `base` without a cache.
    pub fn alone(base: &'m B) -> Self {
        Self { memory: None, base }
    }

    /// Reads through the cache of `memory` from now on. Account ids that it returned before are void.
    pub(crate) fn join_memory(&mut self, memory: &'m Memory) {
        self.memory = Some(memory);
    }

    #[inline]
    fn memory(&self) -> Option<&Memory> {
        self.memory.filter(|memory| memory.may_cache_base())
    }
}

impl<B: Base + ?Sized> DatabaseRef for CachedBase<'_, B> {
    type Error = B::Error;

    #[inline]
    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, B::Error> {
        if let Some((id, info)) = self.memory().and_then(|memory| memory.base_account(address)) {
            return Ok(info.map(|info| AccountInfo { account_id: Some(id.into_revm()), ..info }));
        }
        let info = self.base.basic_ref(address)?;
        Ok(match self.memory {
            Some(_) => info.map(|info| AccountInfo { account_id: None, ..info }),
            None => info,
        })
    }

    fn code_by_hash_ref(&self, hash: B256) -> Result<Bytecode, B::Error> {
        match self.memory {
            Some(memory) => memory.code(self.base, hash),
            None => self.base.code_by_hash_ref(hash),
        }
    }

    fn storage_ref(&self, address: Address, key: U256) -> Result<U256, B::Error> {
        let cached = self.memory().and_then(|memory| memory.base_slot(memory.id(address)?, key));
        cached.map_or_else(|| self.base.storage_ref(address, key), Ok)
    }

    #[inline]
    fn storage_by_account_id_ref(
        &self,
        address: Address,
        id: AccountId,
        key: U256,
    ) -> Result<U256, B::Error> {
        match self.memory {
            None => self.base.storage_by_account_id_ref(address, id, key),
            Some(_) => {
                match self.memory().and_then(|memory| memory.base_slot(MemoryAccountId::from_revm(id), key)) {
                    Some(value) => Ok(value),
                    None => self.base.storage_ref(address, key),
                }
            }
        }
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, B::Error> {
        match self.memory {
            Some(memory) => memory.block_hash(self.base, number),
            None => self.base.block_hash_ref(number),
        }
    }
}

#[cfg(not(feature = "shuttle"))]
#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::{
        model::{allocation::Allocation, base::MissingCode, index::TxIndex},
        mv::memory::{AccountRead, CachedAccounts, SlotRead},
        record::observation::Origin,
        stores::memory::MemoryStore,
    };

    const CONTRACT: Address = Address::with_last_byte(1);
    const LIBRARY: Address = Address::with_last_byte(2);
    const KEY: U256 = U256::ZERO;
    /// The id that the store gives to every account.
    const BASE_ID: usize = 77;

    /// A store that counts its reads, and gives ids.
    struct CountedStore {
        store: MemoryStore,
        reads: AtomicUsize,
    }

    impl CountedStore {
        fn new() -> Self {
            let storage = [(KEY, U256::from(7))].into();
            let contract = Allocation { nonce: 1, storage, ..Allocation::default() };
            let library = Allocation { code: vec![0u8].into(), ..Allocation::default() };
            let store = MemoryStore::from_genesis([(CONTRACT, contract), (LIBRARY, library)]);
            Self { store, reads: AtomicUsize::new(0) }
        }

        fn count(&self) -> &MemoryStore {
            self.reads.fetch_add(1, Ordering::Relaxed);
            &self.store
        }
    }

    impl DatabaseRef for CountedStore {
        type Error = MissingCode;

        fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, MissingCode> {
            let info = self.count().basic_ref(address)?;
            Ok(info.map(|info| AccountInfo { account_id: AccountId::new(BASE_ID), ..info }))
        }

        fn code_by_hash_ref(&self, hash: B256) -> Result<Bytecode, MissingCode> {
            self.count().code_by_hash_ref(hash)
        }

        fn storage_ref(&self, address: Address, key: U256) -> Result<U256, MissingCode> {
            self.count().storage_ref(address, key)
        }

        fn block_hash_ref(&self, number: u64) -> Result<B256, MissingCode> {
            self.count().block_hash_ref(number)
        }
    }

    fn read_at_gate(memory: &Memory, base: &CountedStore) {
        let cached = CachedBase::new(memory, base);
        assert!(cached.basic_ref(CONTRACT).unwrap().is_some());
        assert_eq!(cached.storage_ref(CONTRACT, KEY).unwrap(), U256::from(7));
        cached.block_hash_ref(5).unwrap();
    }

    fn read_speculatively(memory: &Memory, base: &CountedStore) {
        let reader = TxIndex::new(3);
        let read_base = || base.basic_ref(CONTRACT);
        let AccountRead { id, .. } =
            memory.account(CONTRACT, reader, CachedAccounts::All, read_base).unwrap();
        let slot = memory.slot(id.unwrap(), KEY, reader, || base.storage_ref(CONTRACT, KEY)).unwrap();
        assert_eq!(slot, SlotRead::Value(U256::from(7), Origin::Base));
        memory.block_hash(base, 5).unwrap();
    }

    #[test]
    fn speculative_runs_cache_the_base_for_each_other_and_for_the_gate() {
        let speculation_first = [read_speculatively, read_at_gate];
        let gate_first = [read_at_gate, read_speculatively];
        // Of the gate's own reads only the block hash is cached.
        for (order, reads) in [(speculation_first, 3), (gate_first, 3 + 2)] {
            let (base, memory) = (CountedStore::new(), Memory::default());
            memory.note_high_latency();
            order.iter().chain(&order).for_each(|read| read(&memory, &base));
            assert_eq!(base.reads.into_inner(), reads, "an account, a slot and a hash");
        }
    }

    #[test]
    fn a_slot_is_cached_from_the_second_read_on_or_from_the_first_with_high_latency() {
        for (has_high_latency, reads) in [(false, 2), (true, 1)] {
            let (base, memory) = (CountedStore::new(), Memory::default());
            if has_high_latency {
                memory.note_high_latency();
            }
            let id = memory.insert_account(CONTRACT, None, None);
            for reader in (1..6).map(TxIndex::new) {
                let slot = memory.slot(id, KEY, reader, || base.storage_ref(CONTRACT, KEY)).unwrap();
                assert_eq!(slot, SlotRead::Value(U256::from(7), Origin::Base));
            }
            assert_eq!(base.reads.into_inner(), reads);
        }
    }

    #[test]
    fn a_base_with_high_latency_is_read_once_with_or_without_speculative_runs() {
        for (has_high_latency, reads) in [(true, 3), (false, 6)] {
            let (base, memory) = (CountedStore::new(), Memory::default());
            memory.prefetch_slot(&base, CONTRACT, KEY).unwrap();
            if has_high_latency {
                memory.note_high_latency();
            }
            memory.set_publication(crate::record::publication::Publication::Deferred);
            read_at_gate(&memory, &base);
            read_at_gate(&memory, &base);
            // A block hash is read once in any case.
            assert_eq!(base.reads.into_inner(), reads + usize::from(!has_high_latency));
        }
    }

    #[test]
    fn a_reset_memory_is_empty() {
        let (base, mut memory) = (CountedStore::new(), Memory::default());
        // The memory caches every answer.
        memory.note_high_latency();
        read_speculatively(&memory, &base);
        memory.reset();
        read_speculatively(&memory, &base);
        assert_eq!(base.reads.load(Ordering::Relaxed), 6, "each location is read again");
    }

    #[test]
    fn an_account_without_code_is_cached_only_with_high_latency() {
        let absent = Address::with_last_byte(9);
        for (cached_accounts, reads) in [(CachedAccounts::WithCode, 2), (CachedAccounts::All, 1)] {
            let (base, memory) = (CountedStore::new(), Memory::default());
            for reader in [1, 2] {
                let read_base = || base.basic_ref(absent);
                let read = memory.account(absent, TxIndex::new(reader), cached_accounts, read_base).unwrap();
                assert_eq!((read.info, read.origin), (None, Origin::Base));
                assert_eq!(read.id.is_some(), cached_accounts == CachedAccounts::All);
            }
            assert_eq!(base.reads.into_inner(), reads);
        }
    }

    #[test]
    fn an_account_has_the_id_of_the_memory_and_that_of_the_base_only_without_a_memory() {
        let (base, memory) = (CountedStore::new(), Memory::default());
        let id_of = |cached: &CachedBase<'_, CountedStore>, address| {
            cached.basic_ref(address).unwrap().unwrap().account_id.map(AccountId::get)
        };
        let mut cached = CachedBase::alone(&base);
        assert_eq!(id_of(&cached, CONTRACT), Some(BASE_ID));
        cached.join_memory(&memory);
        let known = memory.prefetch_account(&base, LIBRARY).unwrap().id.unwrap();
        assert_eq!(id_of(&cached, LIBRARY), Some(known.into_revm().get()));
        assert_eq!(id_of(&cached, CONTRACT), None, "the memory does not hold it");
    }

    #[test]
    fn a_code_is_found_by_its_hash_and_a_memory_reads_it_once() {
        let (base, memory) = (CountedStore::new(), Memory::default());
        let hash = base.basic_ref(LIBRARY).unwrap().unwrap().code_hash;
        for (cached, reads) in [(CachedBase::alone(&base), 2), (CachedBase::new(&memory, &base), 1)] {
            let before = base.reads.load(Ordering::Relaxed);
            for _ in 0..2 {
                assert_eq!(cached.code_by_hash_ref(hash).unwrap().hash_slow(), hash);
            }
            assert_eq!(base.reads.load(Ordering::Relaxed) - before, reads);
        }
    }
}
