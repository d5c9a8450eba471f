//! The statistics of an execution: what they count, and what they say of threads and times.

use std::{
    collections::HashSet,
    ops::ControlFlow,
    sync::{Arc, Mutex},
    thread::{self, ThreadId},
    time::Duration,
};

use alloy_consensus::Header;
use alloy_hardforks::EthereumHardfork;
use alloy_primitives::{Address, B256, TxKind, U256, keccak256};
use blockloom_engine::{
    BaseLatency, Block, Config, Engine, Outcome, Phases, Rules, Statistics, TestMode, Timing, Transaction,
    Workers,
};
use blockloom_fuzz::execute_with_delayed_commits;
use blockloom_state::{Allocation, MemoryStore, MissingCode};
use revm::{
    DatabaseRef,
    context::TxEnv,
    state::{AccountInfo, Bytecode},
};

const TRANSACTIONS: u64 = 60;

fn address(kind: u8, number: u64) -> Address {
    let mut address = Address::from_word(U256::from(number).into());
    address[0] = kind;
    address
}

/// A block of transfers to new accounts. `sender` names the sender of each one, and its nonce.
fn block(sender: impl Fn(u64) -> (Address, u64)) -> (MemoryStore, Block) {
    let rich = Allocation { balance: U256::from(1u64 << 60), ..Allocation::default() };
    let base = MemoryStore::from_genesis((0..TRANSACTIONS).map(|number| (sender(number).0, rich.clone())));
    let header = Header { number: 1, gas_limit: 1 << 40, ..Header::default() };
    let transaction = |number: u64| {
        let (caller, nonce) = sender(number);
        let env = TxEnv {
            caller,
            nonce,
            gas_limit: 21_000,
            gas_price: 1,
            kind: TxKind::Call(address(2, number)),
            value: U256::from(5),
            ..TxEnv::default()
        };
        Transaction { hash: keccak256(number.to_be_bytes()), env }
    };
    let transactions = (0..TRANSACTIONS).map(transaction).collect();
    let empty = Block::without_body(Rules::mainnet(EthereumHardfork::Byzantium), &header);
    (base, Block { transactions, ..empty })
}

fn independent() -> (MemoryStore, Block) {
    block(|number| (address(1, number), 0))
}

fn of_one_sender() -> (MemoryStore, Block) {
    block(|number| (address(1, 0), number))
}

fn engine(threads: usize, test_mode: TestMode) -> Engine {
    Engine::new(Config::with_threads(threads)).with_test_mode(test_mode)
}

/// Executes a block with longer and longer pauses until the statistics show that something happened.
fn statistics_once(
    engine: &Engine,
    (base, block): &(MemoryStore, Block),
    has_happened: impl Fn(&Statistics) -> bool,
) -> Statistics {
    let mut executions = (0..12).map(|attempt| {
        let pause = Duration::from_micros(20 << attempt);
        execute_with_delayed_commits(engine, base, block, pause).unwrap().statistics
    });
    executions.find(has_happened).expect("it happens in one of the executions")
}

#[test]
fn a_sequential_execution_counts_one_run_at_the_gate_for_each_transaction() {
    let (base, block) = independent();
    let counted = Engine::new(Config::sequential()).execute(&base, &block).unwrap().statistics;
    let Statistics { threads, incarnations, at_gate, phases, .. } = counted;
    assert_eq!((threads, incarnations, at_gate), (1, TRANSACTIONS, TRANSACTIONS));
    let Phases { opening, transactions, closing, .. } = phases;
    assert!(transactions > Duration::ZERO && opening + closing > Duration::ZERO, "{phases:?}");
}

#[test]
fn each_transaction_is_committed_with_a_record_or_by_a_run_at_the_gate() {
    let modes = [
        TestMode::AlwaysParallel,
        TestMode::ParallelAfter(7),
        TestMode::ParallelAfter(usize::MAX),
        TestMode::NoPublication,
        TestMode::EarlyDeferral,
    ];
    for (base, block) in [independent(), of_one_sender()] {
        for test_mode in modes {
            for threads in [2, 3] {
                let engine = engine(threads, test_mode);
                for pause in [0, 50].map(Duration::from_micros) {
                    let outcome = execute_with_delayed_commits(&engine, &base, &block, pause).unwrap();
                    let Statistics { at_gate, committed, incarnations, .. } = outcome.statistics;
                    assert_eq!(at_gate + committed, TRANSACTIONS, "{test_mode:?}, {threads} threads");
                    assert!(incarnations >= TRANSACTIONS, "{test_mode:?}: {incarnations}");
                }
            }
        }
    }
}

#[test]
fn a_block_that_helpers_do_not_pay_for_is_executed_on_the_calling_thread() {
    let (base, block) = independent();
    let threads = |test_mode| engine(2, test_mode).execute(&base, &block).unwrap().statistics.threads;
    assert_eq!(threads(TestMode::ParallelAfter(usize::MAX)), 1);
    assert_eq!(threads(TestMode::ParallelAfter(7)), 2);
}

#[test]
fn publication_is_withheld_after_the_first_record_in_the_test_mode_for_it() {
    // The block is too short for the usual policy.
    let (block, has_happened) = (independent(), |counted: &Statistics| counted.unpublished > 0);
    statistics_once(&engine(2, TestMode::EarlyDeferral), &block, has_happened);
}

#[test]
fn runs_are_timed_if_the_engine_is_configured_to_time_them() {
    let block = independent();
    let timed = |timing| {
        let config = Config { timing, ..Config::with_threads(2) };
        let engine = Engine::new(config).with_test_mode(TestMode::AlwaysParallel);
        let counted = statistics_once(&engine, &block, |counted| counted.committed > 0);
        (counted.time_speculative, counted.time_committed)
    };
    assert_eq!(timed(Timing::Phases), (Duration::ZERO, Duration::ZERO));
    let (speculative, committed) = timed(Timing::Runs);
    assert!(committed > Duration::ZERO && committed <= speculative, "{committed:?} of {speculative:?}");
}

/// A slow store that keeps the threads that read it.
struct ObservedStore<'a> {
    store: &'a MemoryStore,
    threads: Mutex<HashSet<ThreadId>>,
}

impl ObservedStore<'_> {
    fn read(&self) -> &MemoryStore {
        self.threads.lock().unwrap().insert(thread::current().id());
        thread::sleep(Duration::from_micros(50));
        self.store
    }
}

impl DatabaseRef for ObservedStore<'_> {
    type Error = MissingCode;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, MissingCode> {
        self.read().basic_ref(address)
    }

    fn code_by_hash_ref(&self, hash: B256) -> Result<Bytecode, MissingCode> {
        self.read().code_by_hash_ref(hash)
    }

    fn storage_ref(&self, address: Address, key: U256) -> Result<U256, MissingCode> {
        self.read().storage_ref(address, key)
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, MissingCode> {
        self.read().block_hash_ref(number)
    }
}

#[test]
fn a_block_is_executed_by_no_more_threads_than_configured() {
    let (store, block) = independent();
    let pool = Arc::new(rayon::ThreadPoolBuilder::new().num_threads(6).build().unwrap());
    for threads in [2, 3] {
        let workers = Some(Workers::from(Arc::clone(&pool)));
        let config = Config { workers, base_latency: BaseLatency::Low, ..Config::with_threads(threads) };
        let engine = Engine::new(config).with_test_mode(TestMode::AlwaysParallel);
        for _ in 0..5 {
            let observed = ObservedStore { store: &store, threads: Mutex::default() };
            let outcome: Outcome = engine
                .execute_with(&observed, &block, |_| {
                    // All threads of the pool could wake up and find work meanwhile.
                    thread::sleep(Duration::from_micros(200));
                    ControlFlow::Continue(())
                })
                .unwrap();
            let readers = observed.threads.into_inner().unwrap().len();
            assert_eq!(outcome.statistics.threads, threads);
            assert!(readers <= threads, "{readers} threads");
        }
    }
}
