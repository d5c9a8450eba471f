//! The store on disk: the root after a block against a full rebuild, reads of one thread against two, and a block
//! with its root against the block alone.
//!
//! All sides run in one process, in turn. Compares medians, and fails below the targets of the project for a
//! machine with two cores. Environment variables, with their defaults: `ACCOUNTS` (1000000), `ROUNDS` (21), `GAS`
//! (1000000000), `CACHE_MB` (that of the store).

#![expect(clippy::print_stdout, reason = "printing is what a benchmark is for")]

use std::{env, hint::black_box, num::NonZeroU64, ops::ControlFlow, process::ExitCode, thread};

use alloy_primitives::{Address, B256, U256, keccak256};
use blockloom_bench::{
    times::Times,
    workloads::{Kind, Recipe, Shape, Workload},
};
use blockloom_engine::{Config, Engine};
use blockloom_state::{
    Account, AccountChange, Allocation, Change, Changes, DiskConfig, DiskStore, Genesis, MemoryStore,
    NewBlock,
};
use revm_database_interface::DatabaseRef;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The greatest time of the root after a block / time of a full rebuild.
const UPDATE_TARGET: f64 = 0.01;
/// The number of accounts that such a block changes.
const CHANGED: u64 = 2000;
/// The least throughput of two reading threads / that of one.
const READING_TARGET: f64 = 1.8;
/// The number of accounts that each thread reads.
const READS: u64 = 50_000;
/// The greatest time of a block with its root / time of the block alone.
const ROOT_TARGET: f64 = 1.35;

fn main() -> ExitCode {
    let number = |name, usual| env::var(name).ok().and_then(|number| number.parse().ok()).unwrap_or(usual);
    let (accounts, rounds) = (number("ACCOUNTS", 1_000_000), number("ROUNDS", 21) as usize);
    let cache_bytes = number("CACHE_MB", DiskConfig::CACHE_BYTES / 1_000_000) * 1_000_000;
    let config = DiskConfig { cache_bytes, ..DiskConfig::default() };
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let mut store = many_accounts(folder.path(), config, accounts);
    let are_reached = [
        update_against_rebuild(&mut store, accounts, rounds),
        reading(&store, accounts, rounds),
        block_with_root(config, number("GAS", 1_000_000_000), rounds),
    ];
    println!("{}", peak_memory());
    if are_reached.iter().all(|is_reached| *is_reached) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The address of the account with this number.
fn address(number: u64) -> Address {
    Address::from_slice(&keccak256(number.to_be_bytes())[12..])
}

/// Pseudo-random numbers.
fn numbers(seed: u64, count: u64, below: u64) -> impl Iterator<Item = u64> {
    (0..count).map(move |index| {
        let hash = keccak256([seed.to_be_bytes(), index.to_be_bytes()].concat());
        U256::from_be_bytes(hash.0).wrapping_rem(U256::from(below)).to::<u64>()
    })
}

fn many_accounts(path: &std::path::Path, config: DiskConfig, accounts: u64) -> DiskStore {
    let mut times = Times::default();
    let store = times.take(|| {
        let mut genesis = Genesis::begin(path, config).expect("a store can be created");
        for number in 0..accounts {
            let allocation =
                Allocation { balance: U256::from(number), nonce: number % 7, ..Allocation::default() };
            genesis.add(address(number), allocation).expect("each account is another");
        }
        let first =
            NewBlock { number: 0, hash: B256::ZERO, note: Default::default(), encoded: Default::default() };
        genesis.finish(first).expect("it can be written")
    });
    println!("creating a store with {accounts} accounts takes {:.1} s", times.median().as_secs_f64());
    store
}

/// A block that adds to the balances of many accounts.
fn block(store: &DiskStore, seed: u64, accounts: u64) -> Changes {
    let mut changes = Changes::default();
    for number in numbers(seed, CHANGED, accounts) {
        let info = store.basic_ref(address(number)).expect("it can be read").expect("it is there");
        let before = Account::from(&info);
        let after = Account { balance: before.balance + U256::ONE, ..before };
        let account = Change { before: Some(before), after: Some(after) };
        changes.accounts.insert(address(number), AccountChange { account, ..AccountChange::default() });
    }
    changes
}

fn update_against_rebuild(store: &mut DiskStore, accounts: u64, rounds: usize) -> bool {
    let [mut update, mut commit, mut rebuild] = std::array::from_fn(|_| Times::default());
    for round in 1..=rounds as u64 {
        let changes = block(store, round, accounts);
        let staged = update.take(|| store.stage(&changes)).expect("it can be read");
        let new = NewBlock {
            number: round,
            hash: B256::with_last_byte(1),
            note: Default::default(),
            encoded: Default::default(),
        };
        commit.take(|| store.commit(staged, new)).expect("it can be written");
        if round % 4 == 1 {
            let root = rebuild.take(|| store.rebuild_root()).expect("it can be read");
            assert_eq!(root, store.head().root);
        }
    }
    let [update, commit, rebuild] = [update, commit, rebuild].map(|times| times.median().as_secs_f64());
    println!(
        "root after changing {CHANGED} of {accounts} accounts: {:.2} ms, full rebuild {:.0} ms, ratio {:.4} (at most {UPDATE_TARGET}); commit {:.1} ms",
        1e3 * update,
        1e3 * rebuild,
        update / rebuild,
        1e3 * commit
    );
    update / rebuild <= UPDATE_TARGET
}

fn reading(store: &DiskStore, accounts: u64, rounds: usize) -> bool {
    let read = |seed: u64| {
        let chosen: Vec<_> = numbers(seed, READS, accounts).map(address).collect();
        move || {
            for address in &chosen {
                black_box(store.basic_ref(*address).expect("it can be read"));
            }
        }
    };
    let [mut alone, mut together] = std::array::from_fn(|_| Times::default());
    let before = store.cache();
    for round in 0..rounds as u64 {
        let [first, second, third] = [0, 1, 2].map(|part| read(1000 + 3 * round + part));
        alone.take(first);
        together.take(|| {
            thread::scope(|scope| {
                scope.spawn(second);
                third();
            });
        });
    }
    let after = store.cache();
    let hits =
        (after.hits - before.hits) as f64 / (after.hits + after.misses - before.hits - before.misses) as f64;
    let [alone, together] = [alone, together].map(|times| times.median().as_secs_f64());
    let ratio = 2.0 * alone / together;
    println!(
        "reading an account takes {:.2} us, {:.0} % cache hits; throughput of two threads / one: {ratio:.2} (at least {READING_TARGET})",
        1e6 * alone / READS as f64,
        100.0 * hits
    );
    ratio >= READING_TARGET
}

fn block_with_root(config: DiskConfig, gas: u64, rounds: usize) -> bool {
    let Workload { base, block } = Recipe::new(Kind::Swaps, Shape::Independent, gas).prepare();
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let store = copy(&base, folder.path(), config);
    let engine = Engine::new(Config::with_threads(2));
    let [mut alone, mut streamed, mut after, mut in_memory] = std::array::from_fn(|_| Times::default());
    let mut roots = Vec::new();
    for _ in 0..rounds.min(11) {
        in_memory.take(|| engine.execute(&base, &block)).expect("it is valid");
        let outcome = alone.take(|| engine.execute(&store, &block)).expect("it is valid");
        roots.push(after.take(|| store.stage(&outcome.changes)).expect("it can be read").root());
        let staged = streamed.take(|| {
            let (outcome, streamed) = store.stream_root(|steps| {
                engine.execute_with(&store, &block, |step| {
                    steps.send(step.changes);
                    ControlFlow::Continue(())
                })
            });
            store.stage_streamed(&outcome.expect("it is valid").changes, streamed)
        });
        roots.push(staged.expect("it can be read").root());
    }
    assert!(roots.windows(2).all(|pair| pair[0] == pair[1]), "the root is the same either way");
    let [alone, streamed, after, in_memory] =
        [alone, streamed, after, in_memory].map(|times| times.median().as_secs_f64());
    let best = streamed.min(alone + after) / alone;
    println!(
        "{} swaps on the store take {:.0} ms ({:.0} ms in memory), the root afterwards {:.0} ms; with the root streamed during execution {:.0} ms in all; the better ratio is {best:.3} (at most {ROOT_TARGET}); {:?}",
        block.transactions.len(),
        1e3 * alone,
        1e3 * in_memory,
        1e3 * after,
        1e3 * streamed,
        store.cache()
    );
    best <= ROOT_TARGET
}

/// A store with the same state.
fn copy(base: &MemoryStore, path: &std::path::Path, config: DiskConfig) -> DiskStore {
    let config = DiskConfig { blocks_per_write: NonZeroU64::MIN, ..config };
    let mut genesis = Genesis::begin(path, config).expect("a store can be created");
    for (address, stored) in base.accounts() {
        let Account { balance, nonce, code_hash } = stored.account;
        let code = base.code(&code_hash).map(|code| code.original_bytes()).unwrap_or_default();
        let storage = stored.slots.iter().map(|(key, value)| (*key, *value)).collect();
        genesis.add(*address, Allocation { balance, nonce, code, storage }).expect("each account is another");
    }
    let first =
        NewBlock { number: 0, hash: B256::ZERO, note: Default::default(), encoded: Default::default() };
    genesis.finish(first).expect("it can be written")
}

/// The peak of resident memory of the process.
fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM: unknown");
    format!("peak of memory: {}", line.trim_start_matches("VmHWM:").trim())
}
