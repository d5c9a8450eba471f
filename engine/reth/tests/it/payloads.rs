//! Payloads, executed as reth's payload validator executes them: transactions are recovered on other threads, given to the
//! executor one by one, and precompiles are wrapped in a cache.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

use alloy_hardforks::EthereumHardfork;
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_rpc_types_engine::ExecutionData;
use blockloom_engine::Obstacle;
use blockloom_reth::BlockloomEvmConfig;
use blockloom_state::MemoryStore;
use reth_ethereum_primitives::{EthPrimitives, Receipt};
use reth_evm::{
    ConfigureEngineEvm, ConfigureEvm, ConvertTx, Database, Evm, ExecutableTxTuple,
    block::ExecutableTx,
    execute::{BlockExecutionError, BlockExecutor},
    precompiles::{DynPrecompile, Precompile},
};
use reth_execution_types::BlockExecutionResult;
use reth_storage_errors::provider::ProviderError;
use revm::{
    DatabaseRef,
    database::{BundleState, State, states::bundle_state::BundleRetention},
    precompile::PrecompileOutput,
    state::{AccountInfo, Bytecode},
};

use crate::chain::*;

/// The outputs of precompiles, by address and input, and the number of hits.
#[derive(Clone, Debug, Default)]
struct Cache(Arc<Mutex<(HashMap<(Address, Bytes), PrecompileOutput>, usize)>>);

impl Cache {
    /// As reth's `CachedPrecompile::wrap`.
    fn wrap(&self, address: Address, precompile: DynPrecompile) -> DynPrecompile {
        let cache = self.clone();
        let id = precompile.precompile_id().clone();
        DynPrecompile::new(id, move |input| {
            let key = (address, Bytes::copy_from_slice(input.data));
            if let (outputs, hits) = &mut *cache.0.lock().unwrap()
                && let Some(output) = outputs.get(&key)
                && output.gas_used <= input.gas
            {
                *hits += 1;
                return Ok(output.clone());
            }
            let output = precompile.call(input)?;
            if output.is_success() {
                cache.0.lock().unwrap().0.insert(key, output.clone());
            }
            Ok(output)
        })
    }

    fn hits(&self) -> usize {
        self.0.lock().unwrap().1
    }
}

/// What a payload validator learns from an execution: the result, and the gas of each receipt that it streams.
type Validated = Result<(BlockExecutionResult<Receipt>, Vec<u64>), BlockExecutionError>;

/// Executes a payload as reth's payload validator does: see `execute_block` and `execute_transactions` in its
/// `payload_validator.rs`.
fn validate<C, DB>(config: &C, state: &mut State<DB>, payload: &ExecutionData, cache: &Cache) -> Validated
where
    C: ConfigureEngineEvm<ExecutionData, Primitives = EthPrimitives>,
    DB: Database,
{
    let env = config.evm_env_for_payload(payload).unwrap();
    let (raw, convert) = config.tx_iterator_for_payload(payload).unwrap().into_parts();
    let (sender, transactions) = mpsc::channel();
    let recovery = thread::spawn(move || {
        raw.into_iter().for_each(|raw| drop(sender.send(convert.convert(raw))));
    });
    let executed = {
        let evm = config.evm_with_env(&mut *state, env);
        let ctx = config.context_for_payload(payload).unwrap();
        let mut executor = config.create_executor(evm, ctx);
        let precompiles = executor.evm_mut().precompiles_mut();
        precompiles.map_cacheable_precompiles(|address, precompile| cache.wrap(*address, precompile));
        execute_transactions(executor, transactions)
    };
    state.merge_transitions(BundleRetention::Reverts);
    recovery.join().unwrap();
    executed
}

fn execute_transactions<E, T, Error>(
    mut executor: E,
    transactions: impl IntoIterator<Item = Result<T, Error>>,
) -> Validated
where
    E: BlockExecutor<Receipt = Receipt>,
    T: ExecutableTx<E>,
    Error: std::error::Error + Send + Sync + 'static,
{
    executor.apply_pre_execution_changes()?;
    let mut streamed = Vec::new();
    for transaction in transactions {
        let transaction = transaction.map_err(BlockExecutionError::other)?;
        executor.execute_transaction(transaction)?;
        assert_eq!(executor.receipts().len(), streamed.len() + 1, "the receipt is there at once");
        streamed.extend(executor.receipts().last().map(|receipt| receipt.cumulative_gas_used));
    }
    Ok((executor.finish()?.1, streamed))
}

fn state<'c>(chain: &'c TestChain) -> State<Db<'c>> {
    State::builder().with_database(chain.db()).with_bundle_update().build()
}

/// Validates the payloads of a chain on one state.
fn validate_chain(
    chain: &TestChain,
    config: &impl ConfigureEngineEvm<ExecutionData, Primitives = EthPrimitives>,
    cache: &Cache,
) -> (Vec<(BlockExecutionResult<Receipt>, Vec<u64>)>, BundleState) {
    let mut state = state(chain);
    let validate = |block| validate(config, &mut state, &payload(block), cache).unwrap();
    let results = chain.blocks.iter().map(validate).collect();
    (results, state.take_bundle())
}

#[test]
fn payloads_yield_what_they_yield_with_reths_configuration() {
    for chain in TestChain::all() {
        let cache = Cache::default();
        let expected = validate_chain(&chain, &chain.reth(), &cache);
        assert!(cache.hits() > BLOCKS, "the precompiles are cached");
        let config = chain.blockloom();
        let found = validate_chain(&chain, &config, &Cache::default());
        assert!(found.0 == expected.0, "the results differ");
        assert_same_bundle(found.1, expected.1);
        assert_all_parallel(config.counts(), BLOCKS);
    }
}

#[test]
fn payloads_on_states_of_the_node_yield_what_they_yield_with_reths_configuration() {
    for chain in TestChain::all() {
        let expected = validate_chain(&chain, &chain.reth(), &Cache::default());
        // The states stay as they were before the first payload: later payloads are executed on what is in revm's state.
        let base = Arc::new(chain.base.clone());
        let opened = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&opened);
        let config = BlockloomEvmConfig::new(chain.reth(), parallel_engine()).with_states(move |_parent| {
            count.fetch_add(1, Ordering::Relaxed);
            Ok(Box::new(Opened(Arc::clone(&base))))
        });
        let found = validate_chain(&chain, &config, &Cache::default());
        assert!(found.0 == expected.0, "the results differ");
        assert_same_bundle(found.1, expected.1);
        assert_all_parallel(config.counts(), BLOCKS);
        assert!(opened.load(Ordering::Relaxed) >= BLOCKS);
    }
}

#[test]
fn a_payload_whose_state_cannot_be_opened_is_executed_sequentially() {
    let chain = TestChain::new(EthereumHardfork::Osaka);
    let expected = validate_chain(&chain, &chain.reth(), &Cache::default());
    let config = BlockloomEvmConfig::new(chain.reth(), parallel_engine())
        .with_states(|parent| Err(ProviderError::StateForHashNotFound(parent)));
    let found = validate_chain(&chain, &config, &Cache::default());
    assert!(found.0 == expected.0, "the results differ");
    assert_same_bundle(found.1, expected.1);
    assert_eq!(config.counts().sequential(Obstacle::Database), BLOCKS as u64);
}

/// A state of the node.
struct Opened(Arc<MemoryStore>);

impl DatabaseRef for Opened {
    type Error = ProviderError;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, ProviderError> {
        Ok(self.0.basic_ref(address).unwrap())
    }

    fn code_by_hash_ref(&self, code_hash: B256) -> Result<Bytecode, ProviderError> {
        Ok(self.0.code_by_hash_ref(code_hash).unwrap())
    }

    fn storage_ref(&self, address: Address, index: U256) -> Result<U256, ProviderError> {
        Ok(self.0.storage_ref(address, index).unwrap())
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, ProviderError> {
        Ok(self.0.block_hash_ref(number).unwrap())
    }
}

#[test]
fn an_invalid_payload_has_the_error_that_it_has_with_reths_configuration() {
    let chain = TestChain::new(EthereumHardfork::Osaka);
    let mut payload = payload(&chain.blocks[0]);
    let validate = |payload: &ExecutionData| {
        let reth = validate(&chain.reth(), &mut state(&chain), payload, &Cache::default());
        let config = chain.blockloom();
        let blockloom = validate(&config, &mut state(&chain), payload, &Cache::default());
        assert_eq!(format!("{blockloom:?}"), format!("{reth:?}"));
        (blockloom.unwrap_err().to_string(), config)
    };
    let transactions = &mut payload.payload.as_v1_mut().transactions;
    // Two transactions of one sender change places.
    transactions.swap(1, 13);
    let (error, config) = validate(&payload);
    assert!(error.contains("nonce"), "{error}");
    assert_eq!(config.counts().parallel(), 1);

    let transactions = &mut payload.payload.as_v1_mut().transactions;
    transactions.swap(1, 13);
    transactions[5] = Bytes::from_static(&[2, 0xc0]);
    let (error, config) = validate(&payload);
    assert!(!error.contains("nonce"), "{error}");
    assert_eq!(config.counts().parallel(), 0);
}

#[test]
fn a_payload_that_is_executed_again_is_not_announced_a_second_time() {
    let chain = TestChain::new(EthereumHardfork::Osaka);
    let config = chain.blockloom();
    let payload = payload(&chain.blocks[0]);
    let first = validate(&config, &mut state(&chain), &payload, &Cache::default()).unwrap();
    let env = config.evm_env_for_payload(&payload).unwrap();
    let mut state = state(&chain);
    let evm = config.evm_with_env(&mut state, env);
    let executor = config.create_executor(evm, config.context_for_payload(&payload).unwrap());
    let transactions = chain.blocks[0].clone_transactions_recovered();
    let (result, _) = execute_transactions(executor, transactions.map(Ok::<_, Infallible>)).unwrap();
    assert_eq!(result, first.0);
    assert_eq!((config.counts().parallel(), config.counts().sequential(Obstacle::OneByOne)), (1, 1));
}

#[test]
fn transactions_that_the_executing_thread_recovers_are_executed_sequentially() {
    let chain = TestChain::new(EthereumHardfork::Osaka);
    let config = chain.blockloom();
    let payload = payload(&chain.blocks[0]);
    let (raw, convert) = config.tx_iterator_for_payload(&payload).unwrap().into_parts();
    let env = config.evm_env_for_payload(&payload).unwrap();
    let mut database = state(&chain);
    let evm = config.evm_with_env(&mut database, env);
    let executor = config.create_executor(evm, config.context_for_payload(&payload).unwrap());
    let transactions = raw.into_iter().map(|raw| convert.convert(raw));
    let (result, _) = execute_transactions(executor, transactions).unwrap();
    assert_eq!(result.gas_used, chain.blocks[0].header().gas_used);
    assert_eq!((config.counts().parallel(), config.counts().sequential(Obstacle::Withdrawn)), (0, 1));
}
