//! Converts the changes of a transaction into revm's types.

use alloy_primitives::map::AddressMap;
use blockloom_state::{Account, AccountChange, Changes, Life};
use revm::{
    Database,
    state::{Account as EvmAccount, AccountInfo, Bytecode, EvmState, EvmStorageSlot, TransactionId},
};

/// The changed accounts of a transaction with revm's flags, for a commit to `database`, which has the
/// state before the transaction.
///
/// # Errors
///
/// If an account cannot be read.
pub(super) fn evm_state<DB: Database>(database: &mut DB, changes: &Changes) -> Result<EvmState, DB::Error> {
    let mut state = AddressMap::with_capacity_and_hasher(changes.accounts.len(), Default::default());
    for (address, change) in &changes.accounts {
        // A database may keep the code in the account: the commit must not remove it.
        let before = database.basic(*address)?;
        state.insert(*address, evm_account(before, change, changes));
    }
    Ok(state)
}

fn evm_account(before: Option<AccountInfo>, change: &AccountChange, changes: &Changes) -> EvmAccount {
    let code_before = before.as_ref().and_then(|info| info.code.clone());
    let mut account = match before {
        Some(info) => EvmAccount::from(info),
        None => EvmAccount::new_not_existing(TransactionId::ZERO),
    };
    account.mark_touch();
    let Some(after) = change.account.after else {
        account.info = AccountInfo::default();
        account.mark_selfdestruct();
        return account;
    };
    if is_created(change, &after) {
        account.mark_created();
    }
    let is_same_code = change.account.before.map(|before| before.code_hash) == Some(after.code_hash);
    account.info.code = match changes.codes.get(&after.code_hash) {
        Some(code) => Some(code.clone()),
        None if !after.has_code() => Some(Bytecode::default()),
        None => code_before.filter(|_| is_same_code),
    };
    account.info.balance = after.balance;
    account.info.nonce = after.nonce;
    account.info.code_hash = after.code_hash;
    let slots = change
        .slots
        .iter()
        .map(|(key, slot)| (*key, EvmStorageSlot::new_changed(slot.before, slot.after, TransactionId::ZERO)));
    account.storage.extend(slots);
    account
}

/// Whether the transaction created the account, rather than changed or paid it.
fn is_created(change: &AccountChange, after: &Account) -> bool {
    match change.account.before {
        Some(_) => change.life == Life::New,
        // Before EIP-161 a new account may be empty. Without the flag "created", a database would clear
        // it.
        None => after.has_code() || after.is_empty(),
    }
}
