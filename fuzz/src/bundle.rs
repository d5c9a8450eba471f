//! The bundle that revm's own state makes of a block, and its comparison with the bundle of our changes.

use alloy_eips::eip7685::Requests;
use alloy_evm::{
    Evm, EvmEnv, EvmFactory,
    block::{SystemCaller, state_changes::post_block_balance_increments},
    eth::{
        EthEvmFactory,
        dao_fork::{DAO_HARDFORK_ACCOUNTS, DAO_HARDFORK_BENEFICIARY},
    },
};
use alloy_hardforks::EthereumHardfork;
use alloy_primitives::{Address, KECCAK256_EMPTY, U256};
use blockloom_engine::Block;
use blockloom_state::{Changes, MemoryStore};
use revm::{
    Database, DatabaseCommit,
    database::{
        AccountStatus, BundleState, DatabaseCommitExt, RevertToSlot, State, WrapDatabaseRef,
        states::bundle_state::BundleRetention,
    },
    state::{Account, AccountInfo, TransactionId},
};

use crate::oracle::cfg;

/// Executes a block with alloy-evm's EVM on revm's `State`, and returns the state's bundle with reverts. It shares no
/// code with the engine but the block.
///
/// # Errors
///
/// The message of the step that failed.
pub fn bundle_of_revm(base: &MemoryStore, block: &Block) -> Result<BundleState, String> {
    let mut state = State::builder().with_database(WrapDatabaseRef(base)).with_bundle_update().build();
    if block.frame.has_opening() && block.rules.dao_block == Some(block.number()) {
        move_dao(&mut state)?;
    }
    let env = EvmEnv { cfg_env: cfg(block), block_env: block.env.clone() };
    let mut evm = EthEvmFactory::default().create_evm(&mut state, env);
    let mut caller = SystemCaller::new(&block.rules);
    if block.frame.has_opening() {
        caller
            .apply_blockhashes_contract_call(block.parent_hash, &mut evm)
            .and_then(|()| caller.apply_beacon_root_contract_call(block.parent_beacon_root, &mut evm))
            .map_err(|error| error.to_string())?;
    }
    for transaction in &block.transactions {
        let ran = evm.transact_raw(transaction.env.clone()).map_err(|error| error.to_string())?;
        evm.db_mut().commit(ran.state);
    }
    if block.frame.has_closing() {
        if block.rules.is_active(EthereumHardfork::Prague) {
            caller
                .append_post_execution_changes(&mut evm, &mut Requests::default())
                .map_err(|error| error.to_string())?;
        }
        pay(evm.db_mut(), block)?;
    }
    drop(evm);
    state.merge_transitions(BundleRetention::Reverts);
    Ok(state.take_bundle())
}

/// The bundle that revm's `State` makes of the commits that changes become.
pub fn bundle_of_commits(base: &MemoryStore, changes: Changes) -> BundleState {
    let mut state = State::builder().with_database(WrapDatabaseRef(base)).with_bundle_update().build();
    changes.into_evm_states().into_iter().for_each(|commit| state.commit(commit));
    state.merge_transitions(BundleRetention::Reverts);
    state.take_bundle()
}

/// Pays withdrawals and rewards.
fn pay(state: &mut State<WrapDatabaseRef<&MemoryStore>>, block: &Block) -> Result<(), String> {
    let Block { rules, env, ommers, withdrawals, .. } = block;
    let increments = post_block_balance_increments(rules, env, ommers, withdrawals.as_deref());
    state.increment_balances(increments).map_err(|error| error.to_string())
}

/// Moves the balances of the DAO, before everything else. alloy-evm does that last, and with a function that also removes
/// the accounts, as from EIP-161 on: the roots in the headers tell otherwise.
fn move_dao(state: &mut State<WrapDatabaseRef<&MemoryStore>>) -> Result<(), String> {
    let mut drained = U256::ZERO;
    for address in DAO_HARDFORK_ACCOUNTS {
        drained += drain(state, address)?;
    }
    let increment = [(DAO_HARDFORK_BENEFICIARY, drained.to::<u128>())];
    state.increment_balances(increment).map_err(|error| error.to_string())
}

/// Takes the balance of an account, which exists from then on.
fn drain(state: &mut State<WrapDatabaseRef<&MemoryStore>>, address: Address) -> Result<U256, String> {
    let mut account = match state.basic(address).map_err(|error| error.to_string())? {
        Some(info) => Account::from(info),
        None => Account::new_not_existing(TransactionId::ZERO),
    };
    let balance = std::mem::take(&mut account.info.balance);
    account.mark_touch();
    if account.is_empty() {
        account.mark_created();
    }
    state.commit([(address, account)].into_iter().collect());
    Ok(balance)
}

/// The first difference between revm's bundle and ours, without what does not follow from the changes of a block (see
/// `Changes::into_bundle`).
pub fn bundle_difference(of_revm: &BundleState, ours: &BundleState) -> Option<String> {
    let (expected, found) = (without_history(of_revm), without_history(ours));
    let mut addresses: Vec<_> = expected.state.keys().chain(found.state.keys()).collect();
    addresses.sort_unstable();
    for address in addresses {
        let (expected, found) = (expected.state.get(address), found.state.get(address));
        if expected != found {
            return Some(format!("account {address}: revm has {expected:?}, we have {found:?}"));
        }
    }
    if expected.contracts != found.contracts {
        return Some(format!("contracts: revm has {:?}, we have {:?}", expected.contracts, found.contracts));
    }
    if expected.reverts != found.reverts {
        return Some(format!("reverts: revm has {:?}, we have {:?}", expected.reverts, found.reverts));
    }
    (expected != found).then(|| {
        let [expected, found] = [&expected, &found].map(|bundle| (bundle.state_size, bundle.reverts_size));
        format!("sizes: revm has {expected:?}, we have {found:?}")
    })
}

/// A bundle without what happened inside the block and left no trace in the state.
fn without_history(bundle: &BundleState) -> BundleState {
    let mut bundle = bundle.clone();
    bundle.contracts.remove(&KECCAK256_EMPTY);
    for account in bundle.state.values_mut() {
        account.status = match account.status {
            AccountStatus::DestroyedAgain => AccountStatus::Destroyed,
            AccountStatus::DestroyedChanged if !had_storage(account.original_info.as_ref()) => {
                AccountStatus::InMemoryChange
            }
            status => status,
        };
    }
    let state = &bundle.state;
    for (address, revert) in bundle.reverts.iter_mut().flatten() {
        let account = &state[address];
        if account.info.is_some() && !had_storage(account.original_info.as_ref()) {
            revert.wipe_storage = false;
            revert.storage.values_mut().for_each(|slot| *slot = RevertToSlot::Some(U256::ZERO));
        }
    }
    bundle
}

/// Whether an account may have had storage before the block.
fn had_storage(before: Option<&AccountInfo>) -> bool {
    before.is_some_and(|before| before.nonce > 0 || !before.is_empty_code_hash())
}
