//! Changes in the form of revm: as a bundle with reverts, and as commits to a database.
//!
//! Both need nothing but the changes. revm's own bundle also remembers what happened inside the block, such as that an
//! account was destroyed twice. That does not follow from the changes, and no state depends on it.

use alloy_primitives::{KECCAK256_EMPTY, U256};
use revm_database::{
    AccountRevert, AccountStatus, BundleAccount, BundleState, RevertToSlot,
    states::{
        StorageSlot,
        reverts::{AccountInfoRevert, Reverts},
    },
};
use revm_state::{Account as EvmAccount, AccountInfo, Bytecode, EvmState, EvmStorageSlot, TransactionId};

use crate::model::{
    account::Account,
    changes::{AccountChange, Change, Changes, Life},
};

/// What becomes of the storage that an account had before the changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OldStorage {
    /// The account keeps it, or never had any.
    Kept,
    /// It is gone: the account was destroyed.
    Wiped,
}

impl Changes {
    /// The changes as revm's bundle, with one set of reverts: what revm's `State` makes of the block. It goes to a
    /// database that takes bundles, or to the end of a longer bundle ([`BundleState::extend`]).
    ///
    /// An account that was destroyed has its storage wiped, in the bundle and in its revert; the database adds the old
    /// slots to the revert, as it does for revm's own bundles.
    ///
    /// Three details of revm's bundle do not follow from changes. An account that was destroyed more than once is
    /// `Destroyed` here, not `DestroyedAgain`. An account without nonce and code before the block, so without storage,
    /// counts as changed in memory, whatever happened to it; nothing is wiped. The empty code is listed as a contract where
    /// an account without code is new; revm sometimes does not list it.
    ///
    /// ```
    /// use blockloom_state::Changes;
    ///
    /// let bundle = Changes::default().into_bundle();
    /// assert_eq!(bundle.reverts.len(), 1);
    /// ```
    pub fn into_bundle(self) -> BundleState {
        let mut bundle = BundleState::default();
        let mut reverts = Vec::with_capacity(self.accounts.len());
        for (address, change) in &self.accounts {
            let revert = revert(change);
            if revert.is_empty() {
                // Before EIP-161 an empty account may be touched, and stays what it was.
                continue;
            }
            let account = self.bundle_account(change);
            bundle.state_size += account.size_hint();
            bundle.reverts_size += revert.size_hint();
            bundle.state.insert(*address, account);
            reverts.push((*address, revert));
        }
        bundle.contracts = self.codes.into_iter().collect();
        if self.accounts.values().any(has_empty_code_now) {
            // revm lists the empty code, too.
            bundle.contracts.insert(KECCAK256_EMPTY, Bytecode::default());
        }
        bundle.reverts = Reverts::new(vec![reverts]);
        bundle
    }

    /// The changes as commits to a database of revm, to be made in this order: one, or two if an account was destroyed
    /// and lives again. The first then ends the old lives.
    ///
    /// The code of an account is in it only if it is new.
    pub fn into_evm_states(self) -> Vec<EvmState> {
        let reborn = |change: &&AccountChange| old_storage(change) == OldStorage::Wiped;
        let lives = |change: &&AccountChange| change.account.after.is_some();
        let ended: EvmState = self
            .accounts
            .iter()
            .filter(|(_, change)| lives(change) && reborn(change))
            .map(|(address, change)| (*address, destroyed(change)))
            .collect();
        let state = self.accounts.iter().map(|(address, change)| (*address, self.evm_account(change)));
        let state: EvmState = state.collect();
        [ended, state].into_iter().filter(|state| !state.is_empty()).collect()
    }

    fn bundle_account(&self, change: &AccountChange) -> BundleAccount {
        let slot =
            |(key, slot): (&U256, &Change<U256>)| (*key, StorageSlot::new_changed(slot.before, slot.after));
        BundleAccount {
            info: change.account.after.map(|after| self.info(after)),
            original_info: change.account.before.map(|before| before.into_info(None, None)),
            storage: change.slots.iter().map(slot).collect(),
            status: status_after(change),
        }
    }

    /// An account after the changes, with its code if that is new or empty.
    fn info(&self, after: Account) -> AccountInfo {
        let code = match self.codes.get(&after.code_hash) {
            None if !after.has_code() => Some(Bytecode::default()),
            code => code.cloned(),
        };
        after.into_info(code, None)
    }

    fn evm_account(&self, change: &AccountChange) -> EvmAccount {
        let Some(after) = change.account.after else { return destroyed(change) };
        let mut account = account_before(change);
        account.info = self.info(after);
        if is_created(change, &after) {
            account.mark_created();
        }
        let slots = change.slots.iter().map(|(key, slot)| {
            (*key, EvmStorageSlot::new_changed(slot.before, slot.after, TransactionId::ZERO))
        });
        account.storage = slots.collect();
        account
    }
}

/// Whether the old storage of an account is gone. An account without nonce and code has no storage.
fn old_storage(change: &AccountChange) -> OldStorage {
    match (change.account.before, change.account.after) {
        (Some(_), None) => OldStorage::Wiped,
        (Some(before), Some(_)) if change.life == Life::New && is_contract_or_sender(&before) => {
            OldStorage::Wiped
        }
        _ => OldStorage::Kept,
    }
}

fn is_contract_or_sender(account: &Account) -> bool {
    account.nonce > 0 || account.has_code()
}

/// revm's status of the account before the changes.
fn status_before(change: &AccountChange) -> AccountStatus {
    match change.account.before {
        None => AccountStatus::LoadedNotExisting,
        Some(before) if before.is_empty() => AccountStatus::LoadedEmptyEIP161,
        Some(_) => AccountStatus::Loaded,
    }
}

/// revm's status of the account after the changes.
fn status_after(change: &AccountChange) -> AccountStatus {
    match (change.account.before, old_storage(change)) {
        (_, OldStorage::Wiped) if change.account.after.is_none() => AccountStatus::Destroyed,
        (_, OldStorage::Wiped) => AccountStatus::DestroyedChanged,
        (Some(before), OldStorage::Kept) if is_contract_or_sender(&before) => AccountStatus::Changed,
        (_, OldStorage::Kept) => AccountStatus::InMemoryChange,
    }
}

/// Whether the account has no code now, and had one or did not exist.
fn has_empty_code_now(change: &AccountChange) -> bool {
    let is_code_empty = |account: Option<Account>| account.is_some_and(|account| !account.has_code());
    is_code_empty(change.account.after) && !is_code_empty(change.account.before)
}

/// What undoes a change.
fn revert(change: &AccountChange) -> AccountRevert {
    let account = match change.account.before {
        None => AccountInfoRevert::DeleteIt,
        Some(before) if change.account.is_change() => {
            AccountInfoRevert::RevertTo(before.into_info(None, None))
        }
        Some(_) => AccountInfoRevert::DoNothing,
    };
    let old_storage = old_storage(change);
    let slots = change.slots.iter().map(|(key, slot)| match old_storage {
        OldStorage::Kept => (*key, RevertToSlot::Some(slot.before)),
        OldStorage::Wiped => (*key, RevertToSlot::Destroyed),
    });
    AccountRevert {
        account,
        storage: slots.collect(),
        previous_status: status_before(change),
        wipe_storage: old_storage == OldStorage::Wiped,
    }
}

/// A touched account in revm's form, as it was before the changes.
fn account_before(change: &AccountChange) -> EvmAccount {
    let mut account = match change.account.before {
        Some(before) => EvmAccount::from(before.into_info(None, None)),
        None => EvmAccount::new_not_existing(TransactionId::ZERO),
    };
    account.mark_touch();
    account
}

fn destroyed(change: &AccountChange) -> EvmAccount {
    let mut account = account_before(change);
    account.info = AccountInfo::default();
    account.mark_selfdestruct();
    account
}

/// Whether revm takes the account for created, rather than changed or paid.
fn is_created(change: &AccountChange, after: &Account) -> bool {
    match change.account.before {
        Some(_) => change.life == Life::New,
        // Before EIP-161 a new account may be empty. Without the flag a database would clear it.
        None => after.has_code() || after.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Address, B256, Bytes, map::AddressIndexMap};
    use revm_database::{CacheDB, Database, DatabaseCommit, DatabaseRef, State, WrapDatabaseRef};

    use super::*;
    use crate::{model::allocation::Allocation, stores::memory::MemoryStore};

    const CODE: Bytes = Bytes::from_static(&[0x5b, 0x00]);
    const NEW_CODE: Bytes = Bytes::from_static(&[0x5b, 0x5b, 0x00]);

    fn address(byte: u8) -> Address {
        Address::with_last_byte(byte)
    }

    fn word(value: u64) -> U256 {
        U256::from(value)
    }

    /// Accounts 1 and 2 are contracts with a slot, account 3 has a balance only, account 4 is empty, account 5 has
    /// sent a transaction.
    fn store() -> MemoryStore {
        let storage = [(word(1), word(11))].into();
        let contract = Allocation { balance: word(5), nonce: 1, code: CODE, storage };
        let funded = Allocation { balance: word(7), ..Allocation::default() };
        let sender = Allocation { nonce: 1, ..funded.clone() };
        let accounts = [contract.clone(), contract, funded, Allocation::default(), sender];
        MemoryStore::from_genesis((1..).map(address).zip(accounts))
    }

    fn account(balance: u64, nonce: u64, code: &Bytes) -> Option<Account> {
        let code_hash = Bytecode::new_raw(code.clone()).hash_slow();
        Some(Account { balance: word(balance), nonce, code_hash })
    }

    fn change(
        number: u8,
        after: Option<Account>,
        life: Life,
        slots: &[(u64, u64, u64)],
    ) -> (Address, AccountChange) {
        let before = store().account(&address(number)).map(|stored| stored.account);
        let slot = |(key, before, after): &(u64, u64, u64)| {
            (word(*key), Change { before: word(*before), after: word(*after) })
        };
        let slots = slots.iter().map(slot).collect();
        (address(number), AccountChange { account: Change { before, after }, life, slots })
    }

    fn changes(accounts: impl IntoIterator<Item = (Address, AccountChange)>) -> Changes {
        let code = Bytecode::new_raw(NEW_CODE);
        let accounts: AddressIndexMap<_> = accounts.into_iter().collect();
        let is_new = |change: &AccountChange| {
            change.account.after.map(|after| after.code_hash) == Some(code.hash_slow())
        };
        let codes = if accounts.values().any(is_new) {
            [(code.hash_slow(), code)].into_iter().collect()
        } else {
            Default::default()
        };
        Changes { accounts, codes }
    }

    /// Each kind of change once.
    fn kinds() -> Vec<Changes> {
        let none = Bytes::new();
        let one = |change| changes([change]);
        vec![
            one(change(1, account(6, 1, &CODE), Life::Same, &[(1, 11, 12), (2, 0, 5)])),
            one(change(1, account(5, 1, &CODE), Life::Same, &[(1, 11, 0)])),
            one(change(1, None, Life::New, &[])),
            one(change(1, account(6, 0, &none), Life::New, &[])),
            one(change(1, account(5, 1, &NEW_CODE), Life::New, &[(2, 0, 5)])),
            one(change(3, account(8, 0, &none), Life::Same, &[])),
            one(change(3, account(7, 1, &NEW_CODE), Life::New, &[(1, 0, 4)])),
            one(change(4, None, Life::New, &[])),
            one(change(4, account(1, 0, &none), Life::Same, &[])),
            one(change(5, account(6, 2, &none), Life::Same, &[])),
            one(change(9, account(1, 0, &none), Life::Same, &[])),
            one(change(9, account(0, 1, &NEW_CODE), Life::Same, &[(1, 0, 4)])),
            changes([
                change(1, account(5, 1, &NEW_CODE), Life::New, &[(2, 0, 5)]),
                change(2, None, Life::New, &[]),
                change(3, account(9, 0, &none), Life::Same, &[]),
            ]),
        ]
    }

    /// What revm's own state makes of commits.
    fn bundle_of_revm(store: &MemoryStore, states: Vec<EvmState>) -> BundleState {
        let database = WrapDatabaseRef(store);
        let mut state = State::builder().with_database(database).with_bundle_update().build();
        for commit in states {
            commit.keys().for_each(|address| drop(state.basic(*address).unwrap()));
            state.commit(commit);
        }
        state.merge_transitions(revm_database::states::bundle_state::BundleRetention::Reverts);
        state.take_bundle()
    }

    #[test]
    fn the_bundle_is_what_revms_state_makes_of_the_commits() {
        let store = store();
        for changes in kinds() {
            let expected = bundle_of_revm(&store, changes.clone().into_evm_states());
            assert_eq!(changes.clone().into_bundle(), expected, "{changes:?}");
        }
    }

    #[test]
    fn commits_leave_a_database_as_the_changes_leave_a_store() {
        for changes in kinds() {
            let (base, mut expected) = (store(), store());
            expected.apply(&changes).unwrap();
            let mut database = CacheDB::new(&base);
            changes.clone().into_evm_states().into_iter().for_each(|state| database.commit(state));
            for number in 1..10 {
                let found = database.basic_ref(address(number)).unwrap();
                let wanted = expected.account(&address(number)).map(|stored| stored.account);
                assert_eq!(found.as_ref().map(Account::from), wanted, "{number}: {changes:?}");
                for key in 0..4 {
                    let found = database.storage_ref(address(number), word(key)).unwrap();
                    let wanted = expected.storage_ref(address(number), word(key)).unwrap();
                    assert_eq!(found, wanted, "slot {key} of {number}: {changes:?}");
                }
                let code = found.filter(|info| info.code_hash != B256::ZERO).map(|info| info.code_hash);
                code.into_iter().for_each(|hash| drop(database.code_by_hash_ref(hash).unwrap()));
            }
        }
    }

    #[test]
    fn an_account_that_is_touched_and_not_changed_is_in_no_bundle() {
        let idle = changes([change(4, Some(Account::EMPTY), Life::New, &[])]);
        let bundle = idle.clone().into_bundle();
        assert!(bundle.state.is_empty() && bundle.reverts[0].is_empty(), "{bundle:?}");
        assert_eq!(bundle, bundle_of_revm(&store(), idle.into_evm_states()));
    }

    #[test]
    fn a_destroyed_account_is_wiped_and_one_that_never_had_storage_is_not() {
        let [reborn, created] = [4, 6].map(|kind| kinds().remove(kind).into_bundle());
        let revert = |bundle: &BundleState| bundle.reverts[0][0].1.clone();
        assert!(revert(&reborn).wipe_storage);
        assert_eq!(revert(&reborn).storage[&word(2)], RevertToSlot::Destroyed);
        assert!(!revert(&created).wipe_storage);
        assert_eq!(revert(&created).storage[&word(1)], RevertToSlot::Some(U256::ZERO));
    }
}
