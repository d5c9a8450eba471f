//! What the store on disk takes: its root after a block beside the root of everything, reading with one
//! thread and with two, and a block with its root beside the block alone.
//!
//! All sides in one process and in turn, medians compared. The bars are what the project asks of a
//! machine with two cores: the benchmark fails below them. `ACCOUNTS` (1000000), `ROUNDS` (21), `GAS`
//! (1000000000) and `CACHE_MB` (as by default) say what is measured.

#![expect(clippy::print_stdout, reason = "printing is what a benchmark is for")]

use std::{env, hint::black_box, num::NonZeroU64, ops::ControlFlow, process::ExitCode, thread};

use alloy_primitives::{Address, B256, U256, keccak256};
use blockloom_bench::{
    measure::Times,
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

/// The greatest share of the full rebuild that the root after a block may take.
const UPDATE_BAR: f64 = 0.01;
/// How many accounts such a block changes.
const CHANGED: u64 = 2000;
/// How many times as much two threads must read as one.
const READING_BAR: f64 = 1.8;
/// How much of them one thread reads.
const READS: u64 = 50_000;
/// What a block with its root may take, beside the block alone.
const FEEDING_BAR: f64 = 1.35;

fn main() -> ExitCode {
    let number = |name, usual| env::var(name).ok().and_then(|number| number.parse().ok()).unwrap_or(usual);
    let (accounts, rounds) = (number("ACCOUNTS", 1_000_000), number("ROUNDS", 21) as usize);
    let cache_bytes = number("CACHE_MB", DiskConfig::CACHE_BYTES / 1_000_000) * 1_000_000;
    let config = DiskConfig { cache_bytes, ..DiskConfig::default() };
    let folder = tempfile::tempdir().expect("there is room for a store");
    let mut store = many_accounts(folder.path(), config, accounts);
    let are_reached = [
        update_beside_rebuild(&mut store, accounts, rounds),
        reading(&store, accounts, rounds),
        feeding(config, number("GAS", 1_000_000_000), rounds),
    ];
    println!("{}", megabytes_at_most());
    if are_reached.iter().all(|is_reached| *is_reached) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The address of the account with this number.
fn address(number: u64) -> Address {
    Address::from_slice(&keccak256(number.to_be_bytes())[12..])
}

/// Numbers that look random.
fn numbers(seed: u64, count: u64, below: u64) -> impl Iterator<Item = u64> {
    (0..count).map(move |index| {
        let hash = keccak256([seed.to_be_bytes(), index.to_be_bytes()].concat());
        U256::from_be_bytes(hash.0).wrapping_rem(U256::from(below)).to::<u64>()
    })
}

fn many_accounts(path: &std::path::Path, config: DiskConfig, accounts: u64) -> DiskStore {
    let mut times = Times::default();
    let store = times.take(|| {
        let mut genesis = Genesis::begin(path, config).expect("a store can be made");
        for number in 0..accounts {
            let allocation =
                Allocation { balance: U256::from(number), nonce: number % 7, ..Allocation::default() };
            genesis.add(address(number), allocation).expect("each account is another");
        }
        let first = NewBlock { number: 0, hash: B256::ZERO, note: Default::default() };
        genesis.finish(first).expect("it can be written")
    });
    println!("a store with {accounts} accounts takes {:.1} s to make", times.median().as_secs_f64());
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

fn update_beside_rebuild(store: &mut DiskStore, accounts: u64, rounds: usize) -> bool {
    let [mut update, mut commit, mut rebuild] = std::array::from_fn(|_| Times::default());
    for round in 1..=rounds as u64 {
        let changes = block(store, round, accounts);
        let staged = update.take(|| store.stage(&changes)).expect("it can be read");
        let new = NewBlock { number: round, hash: B256::with_last_byte(1), note: Default::default() };
        commit.take(|| store.commit(staged, new)).expect("it can be written");
        if round % 4 == 1 {
            let root = rebuild.take(|| store.rebuild_root()).expect("it can be read");
            assert_eq!(root, store.head().root);
        }
    }
    let [update, commit, rebuild] = [update, commit, rebuild].map(|times| times.median().as_secs_f64());
    println!(
        "root after {CHANGED} accounts of {accounts}: {:.2} ms, of everything {:.0} ms: {:.4} (at most {UPDATE_BAR}); written in {:.1} ms",
        1e3 * update,
        1e3 * rebuild,
        update / rebuild,
        1e3 * commit
    );
    update / rebuild <= UPDATE_BAR
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
        "reading an account takes {:.2} us, {:.0} % from the cache; two threads read {ratio:.2} times as much as one (at least {READING_BAR})",
        1e6 * alone / READS as f64,
        100.0 * hits
    );
    ratio >= READING_BAR
}

fn feeding(config: DiskConfig, gas: u64, rounds: usize) -> bool {
    let Workload { base, block } = Recipe::new(Kind::Swaps, Shape::Independent, gas).prepare();
    let folder = tempfile::tempdir().expect("there is room for a store");
    let store = copy(&base, folder.path(), config);
    let engine = Engine::new(Config::with_threads(2));
    let [mut alone, mut fed, mut after, mut in_memory] = std::array::from_fn(|_| Times::default());
    let mut roots = Vec::new();
    for _ in 0..rounds.min(11) {
        in_memory.take(|| engine.execute(&base, &block)).expect("it is valid");
        let outcome = alone.take(|| engine.execute(&store, &block)).expect("it is valid");
        roots.push(after.take(|| store.stage(&outcome.changes)).expect("it can be read").root());
        let staged = fed.take(|| {
            let (outcome, fed) = store.feeding(|feed| {
                engine.execute_with(&store, &block, |step| {
                    feed.tell(step.changes);
                    ControlFlow::Continue(())
                })
            });
            store.stage_fed(&outcome.expect("it is valid").changes, fed)
        });
        roots.push(staged.expect("it can be read").root());
    }
    assert!(roots.windows(2).all(|pair| pair[0] == pair[1]), "the root is the same either way");
    let [alone, fed, after, in_memory] =
        [alone, fed, after, in_memory].map(|times| times.median().as_secs_f64());
    let best = fed.min(alone + after) / alone;
    println!(
        "{} swaps on the store take {:.0} ms ({:.0} ms in memory), the root afterwards {:.0} ms; fed while they run both take {:.0} ms; the better of the two {best:.3} (at most {FEEDING_BAR}); {:?}",
        block.transactions.len(),
        1e3 * alone,
        1e3 * in_memory,
        1e3 * after,
        1e3 * fed,
        store.cache()
    );
    best <= FEEDING_BAR
}

/// A store with the same state.
fn copy(base: &MemoryStore, path: &std::path::Path, config: DiskConfig) -> DiskStore {
    let config = DiskConfig { blocks_per_write: NonZeroU64::MIN, ..config };
    let mut genesis = Genesis::begin(path, config).expect("a store can be made");
    for (address, stored) in base.accounts() {
        let Account { balance, nonce, code_hash } = stored.account;
        let code = base.code(&code_hash).map(|code| code.original_bytes()).unwrap_or_default();
        let storage = stored.slots.iter().map(|(key, value)| (*key, *value)).collect();
        genesis.add(*address, Allocation { balance, nonce, code, storage }).expect("each account is another");
    }
    let first = NewBlock { number: 0, hash: B256::ZERO, note: Default::default() };
    genesis.finish(first).expect("it can be written")
}

/// The most memory that the process had, of all kinds.
fn megabytes_at_most() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM: unknown");
    format!("the most memory at once: {}", line.trim_start_matches("VmHWM:").trim())
}
