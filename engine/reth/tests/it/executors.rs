//! Ranges of blocks through reth's `Executor`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use alloy_hardforks::EthereumHardfork;
use alloy_primitives::{Address, U256};
use blockloom_engine::{Config, Engine, Obstacle};
use blockloom_reth::BlockloomEvmConfig;
use reth_ethereum_primitives::{Block, EthPrimitives, Receipt};
use reth_evm::{
    ConfigureEvm,
    execute::{BlockExecutionError, BlockExecutor, Executor},
};
use reth_execution_types::ExecutionOutcome;
use reth_primitives_traits::RecoveredBlock;
use reth_storage_errors::provider::ProviderError;
use revm::{
    database::{State, WrapDatabaseRef},
    state::EvmState,
};

use crate::chain::*;

/// The outcome of all blocks, block by block as reth's stages execute them, and the size hint after each.
fn run<'c>(
    chain: &'c TestChain,
    mut executor: impl Executor<Db<'c>, Primitives = EthPrimitives, Error = BlockExecutionError>,
) -> (ExecutionOutcome<Receipt>, Vec<usize>) {
    let (mut results, mut sizes) = (Vec::new(), Vec::new());
    for block in &chain.blocks {
        let result = executor.execute_one(block).unwrap();
        assert_eq!(result.gas_used, block.header().gas_used);
        results.push(result);
        sizes.push(executor.size_hint());
    }
    let bundle = executor.into_state().take_bundle();
    (ExecutionOutcome::from_blocks(1, bundle, results), sizes)
}

#[test]
fn a_chain_yields_what_it_yields_in_reths_executor() {
    for chain in TestChain::all() {
        let (expected, sizes) = run(&chain, chain.reth().batch_executor(chain.db()));
        assert_eq!(expected.bundle.reverts.len(), BLOCKS);
        let config = chain.blockloom();
        let found = run(&chain, config.batch_executor(chain.db()));
        assert_same_outcome(found.0, expected.clone());
        assert_eq!(found.1, sizes);
        assert_all_parallel(config.counts(), BLOCKS);
        let config = chain.blockloom();
        assert_same_outcome(run(&chain, config.locking_executor(chain.db())).0, expected);
        assert_all_parallel(config.counts(), BLOCKS);
    }
}

#[test]
fn the_test_chains_have_requests_and_destroyed_accounts() {
    let [destroyed, requests] =
        TestChain::all().map(|chain| run(&chain, chain.reth().executor(chain.db())).0);
    let wipes = destroyed.bundle.reverts.iter().flatten().filter(|(_, revert)| revert.wipe_storage);
    assert!(wipes.count() > BLOCKS / 2);
    let with_requests = requests.requests.iter().filter(|requests| !requests.is_empty());
    assert!(with_requests.count() > BLOCKS / 2);
    let mut receipts = requests.receipts.iter().flatten();
    assert!(receipts.all(|receipt| receipt.success), "the beacon root of a block is there");
}

#[test]
fn a_batch_and_single_blocks_yield_what_they_yield_in_reths_executor() {
    for chain in TestChain::all() {
        let (reth, config) = (chain.reth(), chain.blockloom());
        let expected = reth.batch_executor(chain.db()).execute_batch(&chain.blocks).unwrap();
        let found = config.batch_executor(chain.db()).execute_batch(&chain.blocks).unwrap();
        assert_same_outcome(found, expected);
        let expected = reth.executor(chain.db()).execute(&chain.blocks[0]).unwrap();
        let found = config.executor(chain.db()).execute(&chain.blocks[0]).unwrap();
        assert_eq!(found.result, expected.result);
        assert_same_bundle(found.state, expected.state);
        assert_all_parallel(config.counts(), BLOCKS + 1);
    }
}

/// The accounts that a state hook receives, call by call.
fn hook_calls<'c>(
    chain: &TestChain,
    mut executor: impl Executor<Db<'c>, Primitives = EthPrimitives, Error = BlockExecutionError>,
) -> Vec<Vec<Address>> {
    let calls = Arc::new(Mutex::new(Vec::new()));
    for block in &chain.blocks[..3] {
        let calls = Arc::clone(&calls);
        let hook = move |state: EvmState| {
            let changed = state.into_iter().filter(|(_, account)| account.is_touched());
            let changed = changed.filter(|(_, account)| account.is_selfdestructed() || account.is_changed());
            let mut changed: Vec<_> = changed.map(|(address, _)| address).collect();
            changed.sort_unstable();
            calls.lock().unwrap().push(changed);
        };
        executor.execute_one_with_state_hook(block, hook).unwrap();
    }
    drop(executor);
    Arc::into_inner(calls).unwrap().into_inner().unwrap()
}

#[test]
fn a_state_hook_receives_each_transaction_in_order() {
    let chain = TestChain::new(EthereumHardfork::Osaka);
    let expected = hook_calls(&chain, chain.reth().executor(chain.db()));
    assert!(expected.len() > 3 * 30);
    assert_eq!(hook_calls(&chain, chain.blockloom().executor(chain.db())), expected);
}

#[test]
fn an_invalid_block_has_the_error_of_reths_executor() {
    let chain = TestChain::new(EthereumHardfork::Osaka);
    let (block, mut senders) = chain.blocks[0].clone().split();
    senders[9] = Address::repeat_byte(0x99);
    let block = RecoveredBlock::new_unhashed(block, senders);
    let expected = chain.reth().executor(chain.db()).execute(&block).unwrap_err();
    let found = chain.blockloom().executor(chain.db()).execute(&block).unwrap_err();
    assert_eq!(format!("{found:?}"), format!("{expected:?}"));
}

#[test]
fn an_observer_receives_why_a_block_is_not_executed_in_parallel() {
    let chain = TestChain::new(EthereumHardfork::Osaka);
    let reported = Arc::new(Mutex::new(Vec::new()));
    let reports = Arc::clone(&reported);
    let config = BlockloomEvmConfig::new(chain.reth(), Engine::new(Config::sequential()))
        .with_messages()
        .with_observer(move |report| reports.lock().unwrap().push((report.block, report.obstacle)));
    config.executor(chain.db()).execute_batch(&chain.blocks[..2]).unwrap();
    assert_eq!(*reported.lock().unwrap(), [(1, Obstacle::OneThread), (2, Obstacle::OneThread)]);
    assert_eq!(config.counts().sequential(Obstacle::OneThread), 2);
}

#[test]
fn a_block_with_an_access_list_is_executed_sequentially_and_has_reths_list() {
    let chain = TestChain::new(EthereumHardfork::Osaka);
    let (mut block, senders) = chain.blocks[0].clone().split();
    block.header.block_access_list_hash = Some(Default::default());
    let block = RecoveredBlock::new_unhashed(block, senders);
    let reth = chain.reth();
    let mut expected = reth.executor(chain.db());
    let expected = (expected.execute_one(&block).unwrap(), expected.take_bal());
    assert!(expected.1.as_ref().is_some_and(|list| list.len() > 10));
    let config = chain.blockloom();
    let mut found = config.executor(chain.db());
    assert_eq!((found.execute_one(&block).unwrap(), found.take_bal()), expected);
    assert_eq!(config.counts().sequential(Obstacle::AccessList), 1);
    assert_eq!(config.counts().parallel(), 0);
}

#[test]
fn without_a_way_to_read_blocks_are_executed_sequentially() {
    let chain = TestChain::new(EthereumHardfork::Osaka);
    let config = BlockloomEvmConfig::new(chain.reth(), parallel_engine());
    let expected = chain.reth().executor(chain.db()).execute(&chain.blocks[0]).unwrap();
    let found = config.executor(chain.db()).execute(&chain.blocks[0]).unwrap();
    assert_eq!(found.result, expected.result);
    assert_eq!((config.counts().sequential(Obstacle::Database), config.counts().parallel()), (1, 0));

    // The node's states are for payloads: another database may have another state.
    let config = config.with_states(|parent| Err(ProviderError::StateForHashNotFound(parent)));
    let mut state = State::builder().with_database(chain.db()).with_bundle_update().build();
    let executor = config.executor_for_block(&mut state, &chain.blocks[0]).unwrap();
    let found = executor.execute_block(chain.blocks[0].transactions_recovered()).unwrap();
    assert_eq!(found, expected.result);
    assert_eq!((config.counts().sequential(Obstacle::Database), config.counts().parallel()), (2, 0));
}

/// The accounts and slots that a state has read.
fn reads(state: &State<Db<'_>>) -> BTreeMap<Address, BTreeSet<U256>> {
    let accounts = state.cache.accounts.iter();
    accounts
        .map(|(address, account)| {
            let slots = account.account.as_ref().map(|account| account.storage.keys().copied());
            (*address, slots.into_iter().flatten().collect())
        })
        .collect()
}

#[test]
fn a_caller_that_looks_at_the_reads_gets_those_of_sequential_execution() {
    let chain = TestChain::new(EthereumHardfork::Osaka);
    let config = chain.blockloom();
    let (mut expected, mut found) = (BTreeMap::new(), BTreeMap::new());
    let block = &chain.blocks[0];
    let closure = |state: &State<Db<'_>>| expected = reads(state);
    chain.reth().executor(chain.db()).execute_with_state_closure(block, closure).unwrap();
    config
        .executor(chain.db())
        .execute_with_state_closure(block, |state: &State<Db<'_>>| found = reads(state))
        .unwrap();
    assert_eq!(found, expected);
    config
        .executor(chain.db())
        .execute_with_state_closure_always(block, |state: &State<Db<'_>>| found = reads(state))
        .unwrap();
    assert_eq!(found, expected);
    assert_eq!((config.counts().sequential(Obstacle::Witness), config.counts().parallel()), (2, 0));
}

/// The state after a block.
fn state_after<'c>(
    mut executor: impl Executor<Db<'c>, Primitives = EthPrimitives, Error = BlockExecutionError>,
    block: &RecoveredBlock<Block>,
) -> State<Db<'c>> {
    executor.execute_one(block).unwrap();
    executor.into_state()
}

#[test]
fn a_state_whose_reads_come_by_message_or_lock_has_read_at_least_what_the_block_reads() {
    for chain in TestChain::all() {
        for (base, block) in chain.bases.iter().zip(&chain.blocks).take(4) {
            let (config, db) = (chain.blockloom(), || WrapDatabaseRef(base.as_ref()));
            let expected = state_after(chain.reth().executor(db()), block);
            let found = [
                state_after(config.executor(db()), block),
                state_after(config.locking_executor(db()), block),
            ];
            for found in found {
                let found_reads = reads(&found);
                for (address, slots) in reads(&expected) {
                    let found = found_reads.get(&address);
                    assert!(found.is_some_and(|found| found.is_superset(&slots)), "{address}: {found:?}");
                }
                let mut codes = expected.cache.contracts.keys();
                assert!(codes.all(|code| found.cache.contracts.contains_key(code)));
            }
            assert_all_parallel(config.counts(), 2);
        }
    }
}
