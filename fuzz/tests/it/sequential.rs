//! Compares the sequential engine with a bare revm loop on revm's own cache, on hostile blocks.

use std::ops::ControlFlow;

use alloy_primitives::U256;
use blockloom_engine::{Block, Config, Engine, Frame, Invalid, Reason};
use blockloom_fuzz::{FORKS, HostileBlock, bare_loop, hostile_block};
use blockloom_state::{Account, Allocation, MemoryStore};
use proptest::prelude::*;
use revm::{
    DatabaseRef,
    context_interface::{Transaction as _, transaction::AuthorizationTr as _},
    database::CacheDB,
};

/// The first difference between `state` and revm's cache after a bare loop, over the accounts of both.
fn difference(state: &MemoryStore, cache: &CacheDB<&MemoryStore>) -> Option<String> {
    let known = state.accounts().map(|(address, _)| *address).chain(cache.cache.accounts.keys().copied());
    for address in known {
        let ours = state.account(&address);
        let theirs = cache.basic_ref(address).unwrap();
        // revm's cache keeps accounts that EIP-161 clears as empty ones.
        let is_same = match (ours, &theirs) {
            (Some(ours), Some(theirs)) => ours.account == Account::from(theirs),
            (None, Some(theirs)) => theirs.is_empty(),
            (Some(_), None) => false,
            (None, None) => true,
        };
        if !is_same {
            return Some(format!("{address}: {ours:?}, but revm's cache has {theirs:?}"));
        }
        let Some(ours) = ours else { continue };
        let cached =
            cache.cache.accounts.get(&address).into_iter().flat_map(|account| account.storage.keys());
        for key in ours.slots.keys().chain(cached) {
            let value = ours.slots.get(key).copied().unwrap_or_default();
            let theirs = cache.storage_ref(address, *key).unwrap();
            if value != theirs {
                return Some(format!("slot {key} of {address}: {value}, but revm's cache has {theirs}"));
            }
        }
    }
    None
}

/// The same transactions in a block with enough gas for all of them, and without system calls: the bare
/// loop does not count the gas that is left.
fn with_enough_gas(mut block: Block) -> Block {
    block.frame = Frame::TransactionsOnly;
    block.env.gas_limit = u64::MAX / 2;
    if let Some(blobs) = &mut block.rules.blobs {
        blobs.max_blob_count = 1_000;
    }
    block
}

/// The same state with an account for every authority. Delegating an absent account costs more, and
/// revm's cache takes an account that EIP-161 cleared for an existing one.
fn with_authorities(mut base: MemoryStore, block: &Block) -> MemoryStore {
    let transactions = block.transactions.iter();
    let authorizations = transactions.flat_map(|transaction| transaction.env.authorization_list());
    for authority in authorizations.filter_map(|authorization| authorization.authority()) {
        if base.account(&authority).is_none() {
            base.insert(authority, Allocation { balance: U256::from(1), ..Allocation::default() });
        }
    }
    base
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_sequential_engine_leaves_what_a_bare_revm_loop_leaves(
        HostileBlock { base, block, .. } in hostile_block(FORKS.to_vec()),
    ) {
        let mut block = with_enough_gas(block);
        let base = with_authorities(base, &block);
        let (cache, invalid) = bare_loop(&base, &block);
        let result = Engine::new(Config::sequential()).execute(&base, &block);
        if let Some(position) = invalid {
            let error = result.unwrap_err();
            let is_named = matches!(error.reason,
                Reason::Invalid(Invalid::Transaction { index, .. }) if index.get() == position);
            prop_assert!(is_named, "transaction {} is invalid, but {}", position, error);
            // The transactions before the invalid one form a valid block.
            block.transactions.truncate(position);
        }
        let outcome = Engine::new(Config::sequential()).execute(&base, &block).unwrap();
        let mut state = base.clone();
        state.apply(&outcome.changes).unwrap();
        let difference = difference(&state, &cache);
        prop_assert!(difference.is_none(), "{}: {}", block.rules.fork, difference.unwrap());
    }

    #[test]
    fn the_steps_of_a_block_add_up_to_its_changes_and_revert(
        HostileBlock { base, block, .. } in hostile_block(FORKS.to_vec()),
    ) {
        let mut stepwise = base.clone();
        let mut undos = Vec::new();
        let result = Engine::new(Config::sequential()).execute_with(&base, &block, |step| {
            undos.push(stepwise.apply(&step.changes).unwrap());
            ControlFlow::Continue(())
        });
        let Ok(outcome) = result else { return Ok(()) };
        prop_assert_eq!(&outcome, &Engine::new(Config::sequential()).execute(&base, &block).unwrap());
        let mut whole = base.clone();
        let undo = whole.apply(&outcome.changes).unwrap();
        prop_assert_eq!(stepwise.first_difference(&whole), None);
        prop_assert_eq!(stepwise.root(), whole.root());
        whole.apply(&undo).unwrap();
        prop_assert_eq!(whole.first_difference(&base), None);
        for undo in undos.iter().rev() {
            stepwise.apply(undo).unwrap();
        }
        prop_assert_eq!(stepwise.first_difference(&base), None);
    }
}
