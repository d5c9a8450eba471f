//! An overlay that joins a memory: from then on its account ids are the memory's, and not those of the base.

use alloy_primitives::{Address, B256, U256};
use blockloom_state::{CachedBase, Memory, MemoryStore, MissingCode, Overlay, Portion, Record};
use revm_database_interface::{Database, DatabaseRef};
use revm_state::{AccountId, AccountInfo, Bytecode};

use super::actions::{AccountModel, Action, address, store, touched};

/// A base that gives every account the same id.
struct SameIdBase {
    store: MemoryStore,
    id: AccountId,
}

impl DatabaseRef for SameIdBase {
    type Error = MissingCode;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, MissingCode> {
        let info = self.store.basic_ref(address)?;
        Ok(info.map(|info| AccountInfo { account_id: Some(self.id), ..info }))
    }

    fn code_by_hash_ref(&self, hash: B256) -> Result<Bytecode, MissingCode> {
        self.store.code_by_hash_ref(hash)
    }

    fn storage_ref(&self, address: Address, key: U256) -> Result<U256, MissingCode> {
        self.store.storage_ref(address, key)
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, MissingCode> {
        self.store.block_hash_ref(number)
    }
}

#[test]
fn an_id_of_the_base_is_not_taken_for_an_id_of_the_memory() {
    let key = U256::ZERO;
    let [other, before, after] = [1, 2, 3].map(address);
    let slots =
        |value| AccountModel { balance: 1, code: 1, slots: [(0, value)].into(), ..AccountModel::default() };
    let store = store(&[(other, slots(7)), (before, slots(5)), (after, slots(6))].into());
    let memory = Memory::default();
    let id = memory.insert_account(other, None, None);
    let base = SameIdBase { store, id: AccountId::new(id.get()).unwrap() };
    memory.prefetch_slot(&base, other, key).unwrap();

    let mut overlay = Overlay::new(CachedBase::alone(&base));
    assert!(overlay.basic(before).unwrap().is_some());
    overlay.join_memory(&memory);
    assert_eq!(overlay.storage(before, key), Ok(U256::from(5)), "the account was read before");
    assert_eq!(overlay.storage(after, key), Ok(U256::from(6)), "the account is read after");

    let account = touched(&mut overlay, after, &Action::Write(vec![(1, 9)]));
    overlay.commit_touched(&mut [(after, account)].into_iter().collect());
    let mut effects = Record::default();
    overlay.take_effects(&mut effects, Portion::Recent, |address, info| {
        memory.insert_account(address, info, None)
    });
    let published: Vec<_> = effects.accounts.iter().map(|account| account.id).collect();
    assert_eq!(published, [Some(memory.insert_account(after, None, None))]);
}
