//! The engine in a thread pool of the embedder: it does not deadlock, and blocks do not nest on one stack.

#[cfg(target_os = "linux")]
use std::{env, fs, process::Command};
use std::{ops::ControlFlow, sync::Arc, sync::mpsc, thread, time::Duration};

use alloy_consensus::Header;
use alloy_hardforks::EthereumHardfork;
use alloy_primitives::{Address, TxKind, U256, bytes, keccak256};
use blockloom_engine::{BaseLatency, Block, Config, Engine, Outcome, Rules, TestMode, Transaction, Workers};
use blockloom_state::{Allocation, MemoryStore};
use rayon::prelude::*;
use revm::context::TxEnv;

use crate::ways_out::blocks;

const TIMEOUT: Duration = Duration::from_secs(120);

fn address(number: u64) -> Address {
    Address::from_word(U256::from(0x1000 + number).into())
}

/// A block of transfers, some of which depend on earlier ones.
fn block(transactions: u64) -> (MemoryStore, Block) {
    let rich = Allocation { balance: U256::from(1u64 << 60), ..Allocation::default() };
    let base = MemoryStore::from_genesis((0..50).map(|number| (address(number), rich.clone())));
    let header = Header { number: 1, gas_limit: 1 << 40, ..Header::default() };
    let block = Block::without_body(Rules::mainnet(EthereumHardfork::Byzantium), &header);
    let transaction = |number: u64| {
        let env = TxEnv {
            caller: address(number % 50),
            nonce: number / 50,
            gas_limit: 21_000,
            gas_price: 1,
            kind: TxKind::Call(address(number * 7 % 60)),
            value: U256::from(5),
            ..TxEnv::default()
        };
        Transaction { hash: keccak256(number.to_be_bytes()), env }
    };
    let block = Block { transactions: (0..transactions).map(transaction).collect(), ..block };
    (base, block)
}

fn expected(base: &MemoryStore, block: &Block) -> Outcome {
    Engine::new(Config::sequential()).execute(base, block).unwrap()
}

fn in_time(work: impl FnOnce() + Send + 'static) {
    let (done, is_done) = mpsc::channel();
    let worker = thread::spawn(move || {
        work();
        done.send(()).unwrap();
    });
    if is_done.recv_timeout(TIMEOUT) == Err(mpsc::RecvTimeoutError::Timeout) {
        panic!("the engine hangs");
    }
    worker.join().unwrap();
}

fn pool(threads: usize) -> Arc<rayon::ThreadPool> {
    Arc::new(rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap())
}

fn engine_in(pool: &Arc<rayon::ThreadPool>, threads: usize) -> Engine {
    let workers = Some(Workers::from(Arc::clone(pool)));
    Engine::new(Config { workers, ..Config::with_threads(threads) }).with_test_mode(TestMode::AlwaysParallel)
}

#[test]
fn blocks_execute_inside_the_pool_that_the_engine_uses() {
    for threads in [1, 2, 4] {
        in_time(move || {
            let (base, block) = block(200);
            let expected = expected(&base, &block);
            let pool = pool(threads);
            let engine = engine_in(&pool, 4);
            pool.install(|| {
                (0..200).into_par_iter().for_each(|_| {
                    assert_eq!(engine.execute(&base, &block).unwrap(), expected);
                });
            });
        });
    }
}

#[test]
fn a_callback_can_use_the_pool_that_the_engine_uses() {
    in_time(|| {
        let (base, block) = block(60);
        let expected = expected(&base, &block);
        let pool = pool(2);
        let engine = engine_in(&pool, 3);
        pool.install(|| {
            (0..20).into_par_iter().for_each(|_| {
                let outcome = engine.execute_with(&base, &block, |_| {
                    let sum: u64 = (0..100u64).into_par_iter().map(|number| number * 2).sum();
                    assert_eq!(sum, 9900);
                    ControlFlow::Continue(())
                });
                assert_eq!(outcome.unwrap(), expected);
            });
        });
    });
}

#[test]
fn a_callback_that_yields_to_the_pool_does_not_start_a_helper_of_its_own_block() {
    in_time(|| {
        let (base, block) = block(60);
        let expected = expected(&base, &block);
        let pool = pool(1);
        let engine = engine_in(&pool, 2);
        let outcome = pool.install(|| {
            engine.execute_with(&base, &block, |_| {
                // The only thread of the pool takes the job of the helper, which would wait for this block.
                rayon::yield_now();
                ControlFlow::Continue(())
            })
        });
        assert_eq!(outcome.unwrap(), expected);
    });
}

#[test]
fn a_block_finds_nothing_of_the_last_block_of_its_engine() {
    in_time(|| {
        let (mut base, mut block) = block(100);
        // It logs its slot 0: PUSH1 0, SLOAD, PUSH1 0, MSTORE, PUSH1 32, PUSH1 0, LOG0.
        let contract = Allocation { code: bytes!("60005460005260206000a0"), ..Allocation::default() };
        for transaction in &mut block.transactions {
            transaction.env.gas_limit = 100_000;
            transaction.env.kind = TxKind::Call(address(100));
        }
        let pool = pool(1);
        let engine = engine_in(&pool, 2);
        let mut blocks_with_a_helper = 0;
        for number in 1.. {
            let storage = [(U256::ZERO, U256::from(number))].into();
            base.insert(address(100), Allocation { storage, ..contract.clone() });
            let outcome = engine.execute_with(&base, &block, |_| {
                // The helper gets ahead.
                thread::sleep(Duration::from_micros(20));
                ControlFlow::Continue(())
            });
            let outcome = outcome.unwrap();
            assert_eq!(outcome, expected(&base, &block), "block {number}");
            blocks_with_a_helper += u64::from(outcome.statistics.committed > 0);
            if blocks_with_a_helper == 5 {
                break;
            }
            // The only thread of the pool has prepared the memory for the next block when it takes this job.
            pool.install(|| ());
        }
    });
}

#[test]
fn a_callback_can_execute_another_block() {
    in_time(|| {
        let (base, block) = block(20);
        let expected = expected(&base, &block);
        let pool = pool(2);
        let engine = engine_in(&pool, 2);
        let outcome = pool.install(|| {
            engine.execute_with(&base, &block, |_| {
                assert_eq!(engine.execute(&base, &block).unwrap(), expected);
                ControlFlow::Continue(())
            })
        });
        assert_eq!(outcome.unwrap(), expected);
    });
}

#[test]
fn a_callback_can_install_work_while_the_pool_is_busy_with_its_block() {
    in_time(|| {
        let (base, block) = block(100);
        let expected = expected(&base, &block);
        let pool = pool(1);
        let engine = engine_in(&pool, 2);
        for _ in 0..20 {
            let outcome = engine.execute_with(&base, &block, |_| {
                assert_eq!(engine.install(|| 7), 7);
                ControlFlow::Continue(())
            });
            assert_eq!(outcome.unwrap(), expected);
        }
    });
}

/// The names of the threads of this process that are not the embedder's.
#[cfg(target_os = "linux")]
fn other_threads() -> Vec<String> {
    let threads = fs::read_dir("/proc/self/task").unwrap();
    let name = |entry: fs::DirEntry| fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
    let names = threads.map(|entry| name(entry.unwrap()));
    let mut others: Vec<_> = names.filter(|name| !name.starts_with("embedder")).collect();
    others.sort();
    others
}

#[cfg(target_os = "linux")]
#[test]
fn with_pools_of_the_embedder_no_other_thread_is_started() {
    // In a process of its own: other tests start threads.
    const IS_CHILD: &str = "BLOCKLOOM_TEST_IS_CHILD";
    if env::var_os(IS_CHILD).is_none() {
        let name = "thread_pools::with_pools_of_the_embedder_no_other_thread_is_started";
        let mut child = Command::new(env::current_exe().unwrap());
        let output = child.args(["--exact", name, "--nocapture"]).env(IS_CHILD, "").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    let before = other_threads();
    let named = |name: &'static str| {
        let builder = rayon::ThreadPoolBuilder::new().num_threads(2).thread_name(move |_| name.to_owned());
        let pool = builder.build().unwrap();
        // A thread has its name once it has run something.
        pool.broadcast(|_| ());
        Workers::from(Arc::new(pool))
    };
    let engine = Engine::new(Config {
        workers: Some(named("embedder")),
        prefetch_workers: Some(named("embedder-reads")),
        base_latency: BaseLatency::High,
        ..Config::with_threads(3)
    });
    assert_eq!(other_threads(), before, "the first engine of the process warms up in the pool");
    let (hostile, expected) = blocks(1).remove(0);
    let (mut helpers, mut prefetched) = (0, 0);
    while helpers == 0 || prefetched == 0 {
        let rules = hostile.block.rules.clone();
        let block = engine.recover(rules, hostile.signed.clone()).unwrap();
        let outcome = engine.execute(&hostile.base, &block).unwrap();
        assert_eq!(outcome.changes, expected.changes);
        let mut store = hostile.base.clone();
        store.apply(&outcome.changes).unwrap();
        engine.install(|| store.root());
        helpers += outcome.statistics.threads_used - 1;
        prefetched += outcome.statistics.prefetched;
        // Threads that were started for the block are still there.
        assert_eq!(other_threads(), before);
    }
}

#[test]
fn many_threads_share_one_engine() {
    in_time(|| {
        let (base, block) = block(100);
        let expected = expected(&base, &block);
        let engine = Engine::new(Config::with_threads(3)).with_test_mode(TestMode::AlwaysParallel);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        assert_eq!(engine.execute(&base, &block).unwrap(), expected);
                    }
                });
            }
        });
    });
}
