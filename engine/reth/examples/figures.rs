//! Measures reth's own executor beside each way through Blockloom, on real blocks: `figures DIR...`.
//!
//! The folders hold blocks as nodes answer them. Every round executes all ways in turn, each in reth's form
//! with the bundle at the end; medians of all rounds. `THREADS` is the number of threads (2), `ROUNDS` that
//! of rounds (15).

use std::{
    env, iter,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use alloy_primitives::{Address, B256, U256};
use alloy_rpc_types_engine::{ExecutionData, ExecutionPayload};
use blockloom_engine::{Config, Engine, reexport::blockloom_state::MemoryStore};
use blockloom_fixtures::{BlockCase, Case, Sources, read};
use blockloom_reth::{BlockloomEvmConfig, StateReader};
use reth_ethereum_primitives::Block;
use reth_evm::{
    ConfigureEngineEvm, ConfigureEvm, ConvertTx, ExecutableTxTuple,
    execute::{BlockExecutor, Executor},
};
use reth_evm_ethereum::EthEvmConfig;
use reth_primitives_traits::RecoveredBlock;
use reth_storage_errors::provider::ProviderError;
use revm::{
    DatabaseRef,
    database::{State, WrapDatabaseRef, states::bundle_state::BundleRetention},
    state::{AccountInfo, Bytecode},
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const WAYS: [&str; 7] = [
    "reth's own executor, sequential",
    "reth's `Executor` trait, messages",
    "reth's `Executor` trait, locks",
    "payload, transactions one by one, messages",
    "payload, transactions one by one, `with_states`",
    "`execute_on` a base",
    "`Engine::execute` on a base, without reth's types",
];

fn main() {
    let number =
        |name, default| env::var(name).ok().and_then(|number| number.parse().ok()).unwrap_or(default);
    let (threads, rounds) = (number("THREADS", 2), number("ROUNDS", 15));
    let engine = Engine::new(Config::with_threads(threads));
    let (mut totals, mut logarithms) = ([Duration::ZERO; WAYS.len()], [0.0; WAYS.len()]);
    let blocks: Vec<_> = cases().filter_map(block).collect();
    for (block, base) in &blocks {
        let times = measure(&engine, block, base, rounds);
        for (way, time) in times.into_iter().enumerate() {
            totals[way] += time;
            logarithms[way] += (times[0].as_secs_f64() / time.as_secs_f64()).ln();
        }
    }
    let count = blocks.len();
    println!("{count} blocks of two transactions or more, {threads} threads, medians of {rounds} rounds\n");
    println!("| way | total | ratio in total | geometric mean |\n|---|---|---|---|");
    for (way, name) in WAYS.iter().enumerate() {
        let ratio = totals[0].as_secs_f64() / totals[way].as_secs_f64();
        let mean = (logarithms[way] / count as f64).exp();
        println!("| {name} | {:.1?} | {ratio:.2} | {mean:.2} |", totals[way]);
    }
}

fn cases() -> impl Iterator<Item = Case> {
    let fixtures = Sources::new(env::args_os().skip(1)).map(|source| read(&source?));
    fixtures.flat_map(|fixture| fixture.expect("the blocks can be read").cases)
}

/// The block in reth's form, and the state before it. Blocks before the Merge are left out: payloads cannot
/// hold them.
fn block(case: Case) -> Option<(RecoveredBlock<Block>, Arc<MemoryStore>)> {
    let Case::Block(case) = case else { return None };
    let BlockCase { header, transactions, senders, withdrawals, state, .. } = *case;
    if transactions.len() < 2 || !header.difficulty.is_zero() {
        return None;
    }
    let withdrawals = withdrawals.map(Into::into);
    let body = alloy_consensus::BlockBody { transactions, ommers: Vec::new(), withdrawals };
    Some((RecoveredBlock::new_unhashed(Block { header, body }, senders), Arc::new(state)))
}

fn measure(
    engine: &Engine,
    block: &RecoveredBlock<Block>,
    base: &Arc<MemoryStore>,
    rounds: usize,
) -> [Duration; WAYS.len()] {
    let reth = EthEvmConfig::mainnet();
    let config = BlockloomEvmConfig::new(reth.clone(), engine.clone()).with_messages();
    let opened = Arc::clone(base);
    let open = move |_| Ok(Box::new(Opened(Arc::clone(&opened))) as StateReader);
    let with_states = config.clone().with_states(open);
    let base = base.as_ref();
    let db = || WrapDatabaseRef(base);
    let engine_block = config.engine_block(block);
    let mut times = iter::repeat_with(Vec::new).take(WAYS.len()).collect::<Vec<_>>();
    for round in 0..=rounds {
        let gas = [
            timed(|| reth.executor(db()).execute(block).expect("real blocks are valid").result.gas_used),
            timed(|| config.executor(db()).execute(block).expect("real blocks are valid").result.gas_used),
            timed(|| {
                config.locking_executor(db()).execute(block).expect("real blocks are valid").result.gas_used
            }),
            payload(&config, block, base),
            payload(&with_states, block, base),
            timed(|| config.execute_on(base, block).expect("real blocks are valid").result.gas_used),
            timed(|| engine.execute(base, &engine_block).expect("real blocks are valid").gas_used),
        ];
        for ((gas, time), times) in gas.into_iter().zip(&mut times) {
            assert_eq!(gas, block.header().gas_used);
            // The first round warms up.
            if round > 0 {
                times.push(time);
            }
        }
    }
    let median = |mut times: Vec<Duration>| {
        times.sort_unstable();
        times[times.len() / 2]
    };
    times.into_iter().map(median).collect::<Vec<_>>().try_into().expect("there is a time for each way")
}

/// The way of reth's payload validator. The senders are recovered before: on a node, other threads do that.
fn payload(
    config: &BlockloomEvmConfig,
    block: &RecoveredBlock<Block>,
    base: &MemoryStore,
) -> (u64, Duration) {
    let (payload, sidecar) = ExecutionPayload::from_block_unchecked(block.hash(), &block.clone_block());
    let payload = ExecutionData { payload, sidecar };
    let (raw, convert) = config.tx_iterator_for_payload(&payload).expect("it cannot fail").into_parts();
    let recover = |raw| convert.convert(raw).expect("real blocks are signed");
    let transactions: Vec<_> = thread::scope(|scope| {
        let recovery = scope.spawn(|| raw.into_iter().map(recover).collect());
        recovery.join().expect("it does not panic")
    });
    timed(|| {
        let mut state = State::builder().with_database(WrapDatabaseRef(base)).with_bundle_update().build();
        let Ok(env) = config.evm_env_for_payload(&payload);
        let Ok(ctx) = config.context_for_payload(&payload);
        let mut executor = config.create_executor(config.evm_with_env(&mut state, env), ctx);
        executor.apply_pre_execution_changes().expect("real blocks are valid");
        for transaction in transactions {
            executor.execute_transaction(transaction).expect("real blocks are valid");
        }
        let result = executor.apply_post_execution_changes().expect("real blocks are valid");
        state.merge_transitions(BundleRetention::Reverts);
        drop(state.take_bundle());
        result.gas_used
    })
}

/// A state of the node.
struct Opened(Arc<MemoryStore>);

impl Opened {
    fn answer<T, E: std::fmt::Debug>(answer: Result<T, E>) -> Result<T, ProviderError> {
        Ok(answer.expect("the state is complete"))
    }
}

impl DatabaseRef for Opened {
    type Error = ProviderError;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, ProviderError> {
        Self::answer(self.0.basic_ref(address))
    }

    fn code_by_hash_ref(&self, code_hash: B256) -> Result<Bytecode, ProviderError> {
        Self::answer(self.0.code_by_hash_ref(code_hash))
    }

    fn storage_ref(&self, address: Address, index: U256) -> Result<U256, ProviderError> {
        Self::answer(self.0.storage_ref(address, index))
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, ProviderError> {
        Self::answer(self.0.block_hash_ref(number))
    }
}

fn timed<T>(run: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let value = run();
    (value, start.elapsed())
}
