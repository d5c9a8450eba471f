//! Payloads, executed as reth's payload validator executes them: transactions are recovered on other threads,
//! given to the executor one by one, and precompiles are wrapped in a cache.

use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
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
use reth_primitives_traits::RecoveredBlock;
use reth_storage_errors::provider::ProviderError;
use revm::{
    DatabaseRef,
    database::{BundleState, State, WrapDatabaseRef, states::bundle_state::BundleRetention},
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

/// What a payload validator learns from an execution: the result, and the gas of each receipt that it
/// streams.
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

/// A state on the one before the block.
fn state_before(chain: &TestChain, block: usize) -> State<Db<'_>> {
    State::builder().with_database(WrapDatabaseRef(chain.bases[block].as_ref())).with_bundle_update().build()
}

/// Validates the payloads of a chain, each on the state after the one before.
fn validate_chain(
    chain: &TestChain,
    config: &impl ConfigureEngineEvm<ExecutionData, Primitives = EthPrimitives>,
    cache: &Cache,
) -> Vec<(BlockExecutionResult<Receipt>, Vec<u64>, BundleState)> {
    let validate = |(number, block)| {
        let mut state = state_before(chain, number);
        let (result, streamed) = validate(config, &mut state, &payload(block), cache).unwrap();
        (result, streamed, state.take_bundle())
    };
    chain.blocks.iter().enumerate().map(validate).collect()
}

/// Asserts that the payloads of a chain yield what they yield with reth's configuration.
#[track_caller]
fn assert_validates(chain: &TestChain, config: &BlockloomEvmConfig) {
    let cache = Cache::default();
    let expected = validate_chain(chain, &chain.reth(), &cache);
    assert!(cache.hits() > BLOCKS, "the precompiles are cached");
    let found = validate_chain(chain, config, &Cache::default());
    for (found, expected) in found.into_iter().zip(expected) {
        assert_eq!((found.0, found.1), (expected.0, expected.1));
        assert_same_bundle(found.2, expected.2);
    }
}

/// The states of a chain's node, by the hash of the block before.
fn states(chain: &TestChain) -> HashMap<B256, Arc<MemoryStore>> {
    let parents = chain.blocks.iter().map(|block| block.header().parent_hash);
    parents.zip(chain.bases.iter().cloned()).collect()
}

#[test]
fn payloads_yield_what_they_yield_with_reths_configuration() {
    for chain in TestChain::all() {
        let config = chain.blockloom();
        assert_validates(&chain, &config);
        assert_all_parallel(config.counts(), BLOCKS);
    }
}

#[test]
fn payloads_on_states_of_the_node_yield_what_they_yield_with_reths_configuration() {
    for chain in TestChain::all() {
        let states = states(&chain);
        let config = BlockloomEvmConfig::new(chain.reth(), parallel_engine()).with_states(move |parent| {
            let base = states.get(&parent).ok_or(ProviderError::StateForHashNotFound(parent))?;
            Ok(Box::new(Opened::new(base)))
        });
        assert_validates(&chain, &config);
        assert_all_parallel(config.counts(), BLOCKS);
    }
}

#[test]
fn consecutive_payloads_on_one_state_are_executed_on_what_is_in_it() {
    for chain in TestChain::all() {
        let run = |config: &dyn Fn(&mut State<Db<'_>>, &ExecutionData) -> Validated| {
            let mut state = State::builder().with_database(chain.db()).with_bundle_update().build();
            let results = chain.blocks.iter().map(|block| config(&mut state, &payload(block)).unwrap());
            (results.collect::<Vec<_>>(), state.take_bundle())
        };
        let reth = chain.reth();
        let expected = run(&|state, payload| validate(&reth, state, payload, &Cache::default()));
        // The node's states stay as they were before the first payload.
        let base = Arc::new(chain.base.clone());
        let config = BlockloomEvmConfig::new(chain.reth(), parallel_engine())
            .with_states(move |_parent| Ok(Box::new(Opened::new(&base))));
        let found = run(&|state, payload| validate(&config, state, payload, &Cache::default()));
        assert!(found.0 == expected.0, "the results differ");
        assert_same_bundle(found.1, expected.1);
        assert_all_parallel(config.counts(), BLOCKS);
    }
}

#[test]
fn a_payload_whose_state_cannot_be_opened_is_executed_sequentially() {
    let chain = TestChain::new(EthereumHardfork::Osaka);
    let config = BlockloomEvmConfig::new(chain.reth(), parallel_engine())
        .with_states(|parent| Err(ProviderError::StateForHashNotFound(parent)));
    assert_validates(&chain, &config);
    assert_eq!(config.counts().sequential(Obstacle::Database), BLOCKS as u64);
}

#[test]
fn a_payload_for_which_there_is_no_way_to_read_is_executed_sequentially() {
    let chain = TestChain::new(EthereumHardfork::Osaka);
    let config = BlockloomEvmConfig::new(chain.reth(), parallel_engine());
    assert_validates(&chain, &config);
    assert_eq!(config.counts().sequential(Obstacle::Database), BLOCKS as u64);
}

#[test]
fn a_state_that_cannot_be_opened_for_a_second_thread_makes_no_valid_payload_an_error() {
    let chain = TestChain::new(EthereumHardfork::Osaka);
    let states = states(&chain);
    let (opened, failed) = (Arc::new(Mutex::new(HashSet::new())), Arc::new(AtomicUsize::new(0)));
    let fails = Arc::clone(&failed);
    let config = BlockloomEvmConfig::new(chain.reth(), parallel_engine()).with_states(move |parent| {
        if !opened.lock().unwrap().insert(parent) {
            fails.fetch_add(1, Ordering::Relaxed);
            return Err(ProviderError::BestBlockNotFound);
        }
        // Two threads read at once, because a read takes its time.
        Ok(Box::new(Opened { answer: sleep, ..Opened::new(&states[&parent]) }))
    });
    assert_validates(&chain, &config);
    assert!(failed.load(Ordering::Relaxed) > 0, "no state was opened for a second thread");
}

#[test]
fn states_that_fail_make_no_valid_payload_an_error() {
    let chain = TestChain::new(EthereumHardfork::Osaka);
    let states = states(&chain);
    let errors = Arc::new(Mutex::new(Vec::new()));
    let reported = Arc::clone(&errors);
    let config = BlockloomEvmConfig::new(chain.reth(), parallel_engine())
        .with_states(move |parent| Ok(Box::new(Opened { answer: fail, ..Opened::new(&states[&parent]) })))
        .with_observer(move |report| reported.lock().unwrap().push(report.to_string()));
    assert_validates(&chain, &config);
    assert_eq!(
        (config.counts().sequential(Obstacle::Failed), config.counts().parallel()),
        (BLOCKS as u64, 0)
    );
    let errors = errors.lock().unwrap();
    assert!(errors.iter().all(|error| error.contains("best block")), "{errors:?}");
}

/// A state of the node.
struct Opened {
    base: Arc<MemoryStore>,
    answer: fn() -> Result<(), ProviderError>,
}

fn sleep() -> Result<(), ProviderError> {
    thread::sleep(Duration::from_micros(20));
    Ok(())
}

fn fail() -> Result<(), ProviderError> {
    Err(ProviderError::BestBlockNotFound)
}

impl Opened {
    fn new(base: &Arc<MemoryStore>) -> Self {
        Self { base: Arc::clone(base), answer: || Ok(()) }
    }

    fn read<T, E: fmt::Debug>(&self, answer: Result<T, E>) -> Result<T, ProviderError> {
        (self.answer)()?;
        Ok(answer.unwrap())
    }
}

impl DatabaseRef for Opened {
    type Error = ProviderError;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, ProviderError> {
        self.read(self.base.basic_ref(address))
    }

    fn code_by_hash_ref(&self, code_hash: B256) -> Result<Bytecode, ProviderError> {
        self.read(self.base.code_by_hash_ref(code_hash))
    }

    fn storage_ref(&self, address: Address, index: U256) -> Result<U256, ProviderError> {
        self.read(self.base.storage_ref(address, index))
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, ProviderError> {
        self.read(self.base.block_hash_ref(number))
    }
}

#[test]
fn an_invalid_payload_has_the_error_that_it_has_with_reths_configuration() {
    let chain = TestChain::new(EthereumHardfork::Osaka);
    let mut payload = payload(&chain.blocks[0]);
    let validate = |payload: &ExecutionData| {
        let reth = validate(&chain.reth(), &mut state_before(&chain, 0), payload, &Cache::default());
        let config = chain.blockloom();
        let blockloom = validate(&config, &mut state_before(&chain, 0), payload, &Cache::default());
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
    let first = validate(&config, &mut state_before(&chain, 0), &payload, &Cache::default()).unwrap();
    let env = config.evm_env_for_payload(&payload).unwrap();
    let mut state = state_before(&chain, 0);
    let evm = config.evm_with_env(&mut state, env);
    let executor = config.create_executor(evm, config.context_for_payload(&payload).unwrap());
    let transactions = chain.blocks[0].clone_transactions_recovered();
    let (result, _) = execute_transactions(executor, transactions.map(Ok::<_, Infallible>)).unwrap();
    assert_eq!(result, first.0);
    assert_eq!((config.counts().parallel(), config.counts().sequential(Obstacle::OneByOne)), (1, 1));
}

#[test]
fn transactions_that_the_executing_thread_recovers_are_executed_in_parallel() {
    let chain = TestChain::new(EthereumHardfork::Osaka);
    let config = chain.blockloom();
    let payload = payload(&chain.blocks[0]);
    let (raw, convert) = config.tx_iterator_for_payload(&payload).unwrap().into_parts();
    let env = config.evm_env_for_payload(&payload).unwrap();
    let mut database = state_before(&chain, 0);
    let evm = config.evm_with_env(&mut database, env);
    // reth uses this method where the database lives shorter than the context.
    let executor = config.create_executor_with_state(evm, config.context_for_payload(&payload).unwrap());
    let transactions = raw.into_iter().map(|raw| convert.convert(raw));
    let (result, _) = execute_transactions(executor, transactions).unwrap();
    assert_eq!(result.gas_used, chain.blocks[0].header().gas_used);
    assert_all_parallel(config.counts(), 1);
}

#[test]
fn transactions_that_no_thread_recovers_are_recovered_by_the_executor() {
    let chain = TestChain::new(EthereumHardfork::Osaka);
    let config = chain.blockloom();
    let payload = payload(&chain.blocks[0]);
    let _transactions = config.tx_iterator_for_payload(&payload).unwrap();
    let env = config.evm_env_for_payload(&payload).unwrap();
    let mut database = state_before(&chain, 0);
    let evm = config.evm_with_env(&mut database, env);
    let executor = config.create_executor(evm, config.context_for_payload(&payload).unwrap());
    let transactions = chain.blocks[0].clone_transactions_recovered();
    let (result, _) = execute_transactions(executor, transactions.map(Ok::<_, Infallible>)).unwrap();
    assert_eq!(result.gas_used, chain.blocks[0].header().gas_used);
    assert_all_parallel(config.counts(), 1);
}

#[test]
fn the_hashes_of_blocks_in_the_state_count() {
    let chain = TestChain::new(EthereumHardfork::Osaka);
    let base = Arc::clone(&chain.bases[0]);
    let config = BlockloomEvmConfig::new(chain.reth(), parallel_engine())
        .with_states(move |_parent| Ok(Box::new(Opened::new(&base))));
    let payload = payload(&chain.blocks[0]);
    let bundle = |validate: &dyn Fn(&mut State<Db<'_>>) -> Validated| {
        let mut state = state_before(&chain, 0);
        // Contracts of the chain store the hash of the block before.
        state.block_hashes.insert(0, B256::repeat_byte(0x77));
        validate(&mut state).unwrap();
        state.take_bundle()
    };
    let reth = chain.reth();
    let expected = bundle(&|state| validate(&reth, state, &payload, &Cache::default()));
    let found = bundle(&|state| validate(&config, state, &payload, &Cache::default()));
    assert_same_bundle(found, expected);
    assert_all_parallel(config.counts(), 1);
}

#[test]
fn a_payload_with_an_access_list_is_left_to_reth() {
    let chain = TestChain::new(EthereumHardfork::Osaka);
    let (mut block, senders) = chain.blocks[0].clone().split();
    block.header.block_access_list_hash = Some(B256::ZERO);
    let block = RecoveredBlock::new_unhashed(block, senders);
    let config = chain.blockloom();
    let _transactions = config.tx_iterator_for_payload(&payload(&block)).unwrap();
    // Where reth executes without the list, no transaction was announced.
    let mut state = state_before(&chain, 0);
    let executor = config.executor_for_block(&mut state, &block).unwrap();
    let transactions = block.clone_transactions_recovered();
    execute_transactions(executor, transactions.map(Ok::<_, Infallible>)).unwrap();
    assert_eq!((config.counts().parallel(), config.counts().sequential(Obstacle::OneByOne)), (0, 1));
}
