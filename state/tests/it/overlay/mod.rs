//! The overlay against a plain model: its changes equal those of the model, its recorded steps add up to
//! them, and the undo changes restore the state.

mod actions;
mod joining;
mod publishing;

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, U256};
use blockloom_state::{Changes, MemoryStore, MissingCode, Overlay};
use proptest::prelude::*;
use revm_database_interface::{Database, DatabaseRef};
use revm_state::{Account, AccountId, AccountInfo, Bytecode};

use actions::{AccountModel, Action, Model, action, address, apply_to_model, code, genesis, store, touched};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn commits_become_changes_that_apply_compose_and_revert(
        genesis in genesis(),
        actions in prop::collection::vec((0..5u8, action(), any::<bool>()), 0..24),
    ) {
        let mut model: Model = genesis;
        let mut whole = store(&model);
        let mut stepwise = whole.clone();
        let root_before = whole.root();
        let base = whole.clone();
        let mut overlay = Overlay::new(&base).with_step_changes();
        let mut undos = Vec::new();
        for (byte, action, ends_step) in &actions {
            let address = address(*byte);
            // A slot of an absent account is never written.
            if matches!(action, Action::Write(_)) && !model.contains_key(&address) {
                continue;
            }
            let account = touched(&mut overlay, address, action);
            overlay.commit_touched(&mut [(address, account)].into_iter().collect());
            apply_to_model(&mut model, address, action);
            if *ends_step {
                undos.push(stepwise.apply(&overlay.take_step_changes()).unwrap());
                prop_assert_eq!(stepwise.root(), store(&model).root());
            }
        }
        undos.push(stepwise.apply(&overlay.take_step_changes()).unwrap());
        prop_assert_eq!(stepwise.root(), store(&model).root());

        let changes = overlay.into_changes();
        let undo = whole.apply(&changes).unwrap();
        prop_assert_eq!(whole.root(), store(&model).root());
        for (address, stored) in whole.accounts() {
            let code_hash = stored.account.code_hash;
            prop_assert!(!stored.account.has_code() || whole.code(&code_hash).is_some(), "code of {}", address);
        }
        let redo = whole.apply(&undo).unwrap();
        prop_assert_eq!(whole.root(), root_before);
        prop_assert_eq!(redo.accounts.len(), changes.accounts.len());
        whole.apply(&redo).unwrap();
        prop_assert_eq!(whole.root(), store(&model).root());
        for undo in undos.iter().rev() {
            stepwise.apply(undo).unwrap();
        }
        prop_assert_eq!(stepwise.root(), root_before);
        prop_assert!(changes.accounts.values().all(|change| change.is_change()));
        prop_assert_eq!(Changes::default().first_difference(&changes).is_none(), changes.is_empty());
    }
}

/// A base that assigns account ids, and that reports zero as the hash of no code.
struct IdBase(MemoryStore);

impl DatabaseRef for IdBase {
    type Error = MissingCode;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, MissingCode> {
        let info = self.0.basic_ref(address)?;
        Ok(info.map(|info| AccountInfo {
            code_hash: if info.is_empty_code_hash() { B256::ZERO } else { info.code_hash },
            account_id: AccountId::new(usize::from(address[19]) + 1000),
            ..info
        }))
    }

    fn code_by_hash_ref(&self, code_hash: B256) -> Result<Bytecode, MissingCode> {
        self.0.code_by_hash_ref(code_hash)
    }

    fn storage_ref(&self, _: Address, _: U256) -> Result<U256, MissingCode> {
        panic!("a base with account ids is read by id");
    }

    fn storage_by_account_id_ref(
        &self,
        address: Address,
        id: AccountId,
        key: U256,
    ) -> Result<U256, MissingCode> {
        assert_eq!(id.get(), usize::from(address[19]) + 1000);
        self.0.storage_ref(address, key)
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, MissingCode> {
        self.0.block_hash_ref(number)
    }
}

#[test]
fn a_base_can_assign_account_ids_and_report_zero_for_no_code() {
    let owner = AccountModel { balance: 5, slots: BTreeMap::from([(1, 9)]), ..AccountModel::default() };
    let contract = AccountModel { balance: 7, code: 1, ..AccountModel::default() };
    let model = Model::from([(address(1), owner), (address(2), contract)]);
    let base = IdBase(store(&model));
    let mut overlay = Overlay::new(&base);
    let info = overlay.basic(address(1)).unwrap().unwrap();
    assert!(info.is_empty_code_hash(), "revm takes a zero hash for code when it checks a new address");
    assert_eq!(overlay.storage(address(1), U256::from(1)), Ok(U256::from(9)));
    // The account with the id of another account, as an incorrect caller could pass it.
    let mut account = Account::from(AccountInfo {
        account_id: overlay.basic(address(2)).unwrap().unwrap().account_id,
        ..info
    });
    account.mark_touch();
    account.info.balance = U256::from(6);
    overlay.commit_touched(&mut [(address(1), account)].into_iter().collect());
    let changes = overlay.into_changes();
    assert_eq!(changes.accounts.keys().collect::<Vec<_>>(), [&address(1)]);
}

#[test]
fn a_code_is_found_by_its_hash() {
    let contract = AccountModel { code: 1, ..AccountModel::default() };
    let base = store(&Model::from([(address(1), contract)]));
    let hash = base.basic_ref(address(1)).unwrap().unwrap().code_hash;
    let mut overlay = Overlay::new(&base);
    for _ in 0..2 {
        assert_eq!(overlay.code_by_hash(hash).unwrap().original_bytes(), code(1));
    }
}

#[test]
fn a_code_that_the_base_lacks_is_found_if_it_was_committed() {
    let mut overlay = Overlay::new(MemoryStore::new());
    let deployed = Bytecode::new_legacy(code(1));
    let hash = deployed.hash_slow();
    assert_eq!(overlay.code_by_hash(hash), Err(MissingCode(hash)));
    let action = Action::Create { code: 1, slots: Vec::new() };
    let account = touched(&mut overlay, address(1), &action);
    overlay.commit_touched(&mut [(address(1), account)].into_iter().collect());
    assert_eq!(overlay.code_by_hash(hash), Ok(deployed));
}
