//! The base as whoever commits reads it: through what is remembered of what others asked for, where
//! anybody did.

use alloy_primitives::{Address, B256, U256};
use revm_database_interface::DatabaseRef;
use revm_state::{AccountId, AccountInfo, Bytecode};

use crate::{model::base::Base, mv::memory::Memory};

/// A base seen through a memory: what is remembered there is not asked for again. What is asked for
/// here is not remembered there, for the one reader that there is remembers it itself.
/// While nobody runs ahead the base alone is asked, unless that takes long. Names of accounts are the
/// memory's.
///
/// Without a memory it is the base. That is one type with the other, so that one interpreter is
/// compiled for both.
#[derive(Clone, Copy, Debug)]
pub struct CachedBase<'m, B> {
    memory: Option<&'m Memory>,
    base: &'m B,
}

impl<'m, B> CachedBase<'m, B> {
    /// `base`, seen through `memory`.
    pub fn new(memory: &'m Memory, base: &'m B) -> Self {
        Self { memory: Some(memory), base }
    }

    /// `base` alone.
    pub fn alone(base: &'m B) -> Self {
        Self { memory: None, base }
    }

    #[inline]
    fn memory(&self) -> Option<&Memory> {
        self.memory.filter(|memory| memory.is_worth_asking())
    }
}

impl<B: Base> DatabaseRef for CachedBase<'_, B> {
    type Error = B::Error;

    #[inline]
    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, B::Error> {
        if let Some((id, info)) = self.memory().and_then(|memory| memory.base_account(address)) {
            return Ok(info.map(|info| AccountInfo { account_id: Some(id), ..info }));
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
        let known = self.memory().and_then(|memory| memory.base_slot(memory.id(address)?, key));
        known.map_or_else(|| self.base.storage_ref(address, key), Ok)
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
            Some(_) => match self.memory().and_then(|memory| memory.base_slot(id, key)) {
                Some(known) => Ok(known),
                None => self.base.storage_ref(address, key),
            },
        }
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, B::Error> {
        match self.memory {
            Some(memory) => memory.block_hash(self.base, number),
            None => self.base.block_hash_ref(number),
        }
    }
}

#[cfg(all(test, not(feature = "shuttle")))]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::{
        model::index::TxIndex,
        mv::memory::{AccountRead, Recall, SlotRead},
        record::record::Origin,
        stores::memory::{Allocation, MemoryStore, MissingCode},
    };

    const CONTRACT: Address = Address::with_last_byte(1);
    const KEY: U256 = U256::ZERO;

    /// A store that counts how often it is asked.
    struct Counted {
        store: MemoryStore,
        asked: AtomicUsize,
    }

    impl Counted {
        fn new() -> Self {
            let storage = [(KEY, U256::from(7))].into();
            let contract = Allocation { nonce: 1, storage, ..Allocation::default() };
            Self { store: MemoryStore::from_genesis([(CONTRACT, contract)]), asked: AtomicUsize::new(0) }
        }

        fn count(&self) -> &MemoryStore {
            self.asked.fetch_add(1, Ordering::Relaxed);
            &self.store
        }
    }

    impl DatabaseRef for Counted {
        type Error = MissingCode;

        fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, MissingCode> {
            self.count().basic_ref(address)
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

    fn read_at_gate(memory: &Memory, base: &Counted) {
        let remembered = CachedBase::new(memory, base);
        assert!(remembered.basic_ref(CONTRACT).unwrap().is_some());
        assert_eq!(remembered.storage_ref(CONTRACT, KEY).unwrap(), U256::from(7));
        remembered.block_hash_ref(5).unwrap();
    }

    fn read_ahead(memory: &Memory, base: &Counted) {
        let reader = TxIndex::new(3);
        let ask = || base.basic_ref(CONTRACT);
        let AccountRead { id, .. } = memory.account(CONTRACT, reader, Recall::Everybody, ask).unwrap();
        let slot = memory.slot(id.unwrap(), KEY, reader, || base.storage_ref(CONTRACT, KEY)).unwrap();
        assert_eq!(slot, SlotRead::Value(U256::from(7), Origin::Base));
        memory.block_hash(base, 5).unwrap();
    }

    #[test]
    fn who_runs_ahead_asks_the_base_once_and_spares_the_gate_the_question() {
        let (ahead_first, gate_first) = ([read_ahead, read_at_gate], [read_at_gate, read_ahead]);
        // Of what the gate asked for first only the hash of a block is remembered.
        for (order, questions) in [(ahead_first, 3), (gate_first, 3 + 2)] {
            let (base, memory) = (Counted::new(), Memory::default());
            memory.note_slow_base();
            order.iter().chain(&order).for_each(|read| read(&memory, &base));
            assert_eq!(base.asked.into_inner(), questions, "an account, a slot and a hash");
        }
    }

    #[test]
    fn a_slot_is_remembered_from_the_second_reader_on_or_at_once_where_answers_take_long() {
        for (is_slow, questions) in [(false, 2), (true, 1)] {
            let (base, memory) = (Counted::new(), Memory::default());
            if is_slow {
                memory.note_slow_base();
            }
            let id = memory.introduce(CONTRACT, None, None);
            for reader in (1..6).map(TxIndex::new) {
                let slot = memory.slot(id, KEY, reader, || base.storage_ref(CONTRACT, KEY)).unwrap();
                assert_eq!(slot, SlotRead::Value(U256::from(7), Origin::Base));
            }
            assert_eq!(base.asked.into_inner(), questions);
        }
    }

    #[test]
    fn what_takes_long_is_not_asked_for_again_whether_anybody_runs_ahead_or_not() {
        for (is_slow, questions) in [(true, 3), (false, 6)] {
            let (base, memory) = (Counted::new(), Memory::default());
            memory.fetch_slot(&base, CONTRACT, KEY).unwrap();
            if is_slow {
                memory.note_slow_base();
            }
            memory.set_audience(crate::Audience::NobodyYet);
            read_at_gate(&memory, &base);
            read_at_gate(&memory, &base);
            // The hash of a block is asked for once in any case.
            assert_eq!(base.asked.into_inner(), questions + usize::from(!is_slow));
        }
    }

    #[test]
    fn a_memory_that_was_reset_knows_nothing() {
        let (base, mut memory) = (Counted::new(), Memory::default());
        read_ahead(&memory, &base);
        memory.reset();
        read_ahead(&memory, &base);
        assert_eq!(base.asked.load(Ordering::Relaxed), 6, "asked again");
    }

    #[test]
    fn who_has_no_code_is_asked_for_again_unless_that_takes_long() {
        let nobody = Address::with_last_byte(9);
        for (recall, questions) in [(Recall::WithCode, 2), (Recall::Everybody, 1)] {
            let (base, memory) = (Counted::new(), Memory::default());
            for reader in [1, 2] {
                let ask = || base.basic_ref(nobody);
                let read = memory.account(nobody, TxIndex::new(reader), recall, ask).unwrap();
                assert_eq!((read.info, read.origin), (None, Origin::Base));
                assert_eq!(read.id.is_some(), recall == Recall::Everybody);
            }
            assert_eq!(base.asked.into_inner(), questions);
        }
    }
}
