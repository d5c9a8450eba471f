//! The engine in somebody else's pool of threads: it neither hangs nor piles blocks up on one stack.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{ops::ControlFlow, sync::Arc, sync::mpsc, thread, time::Duration};

use alloy_consensus::Header;
use alloy_hardforks::EthereumHardfork;
use alloy_primitives::{Address, TxKind, U256, keccak256};
use blockloom_engine::{Block, Config, Engine, Outcome, Rules, Spread, Transaction, Workers};
use blockloom_state::{Allocation, MemoryStore};
use rayon::prelude::*;
use revm::context::TxEnv;

const PATIENCE: Duration = Duration::from_secs(120);

fn address(number: u64) -> Address {
    Address::from_word(U256::from(0x1000 + number).into())
}

/// A block of transfers, some of which depend on others.
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
    if is_done.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
        panic!("it hangs");
    }
    worker.join().unwrap();
}

fn pool(threads: usize) -> Arc<rayon::ThreadPool> {
    Arc::new(rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap())
}

fn engine_in(pool: &Arc<rayon::ThreadPool>, threads: usize) -> Engine {
    let workers = Some(Workers::from(Arc::clone(pool)));
    Engine::new(Config { workers, spread: Spread::Always, ..Config::with_threads(threads) })
}

#[test]
fn blocks_run_inside_the_pool_whose_threads_help() {
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
fn a_callback_may_use_the_pool_whose_threads_help() {
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
fn a_callback_may_execute_another_block() {
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
fn threads_of_all_kinds_share_one_engine() {
    in_time(|| {
        let (base, block) = block(100);
        let expected = expected(&base, &block);
        let engine = Engine::new(Config { spread: Spread::Always, ..Config::with_threads(3) });
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
