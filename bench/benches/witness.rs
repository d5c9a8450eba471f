//! Blocks on their witness alone, against the same blocks on a store in memory that has what they read, and what a
//! witness costs beside the execution: hashing its nodes, and the root after the block.
//!
//! All sides run in one process, in turn, sequentially and with two threads. Compares medians.

#![expect(clippy::print_stdout, reason = "printing is what a benchmark is for")]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use blockloom_engine::{Config, Engine};
use blockloom_fixtures::{BlockCase, Case, Sources, read};
use blockloom_fuzz::suites::sources;
use blockloom_state::{Account, MemoryStore, NotingBase, StoredAccount, WitnessError, WitnessStore};
use revm::DatabaseRef;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The number of executions of each block on each side.
const ROUNDS: usize = 41;

/// The sides of a comparison.
const SIDES: [&str; 6] = ["memory", "witness", "memory, 2", "witness, 2", "hashing", "root"];

fn main() {
    let found = sources().expect("the sources can be unpacked");
    let Some(folder) = found.suite("witness") else {
        println!("skipped: there are no witnesses; {found}");
        return;
    };
    println!("{:>14}  {}", "block", SIDES.map(|side| format!("{side:>10}")).join("  "));
    let mut totals = [Duration::ZERO; SIDES.len()];
    for source in Sources::new([folder]) {
        let fixture = read(&source.expect("the folder has blocks")).expect("the blocks are undamaged");
        for case in fixture.cases {
            let Case::Block(case) = case else { continue };
            let times = measure(&case);
            println!("{:>14}  {}", case.name, times.map(|time| format!("{time:>10.1?}")).join("  "));
            totals.iter_mut().zip(times).for_each(|(total, time)| *total += time);
        }
    }
    println!("{:>14}  {}", "all", totals.map(|time| format!("{time:>10.1?}")).join("  "));
    for (memory, witness) in [(0, 1), (2, 3)] {
        let ratio = totals[witness].as_secs_f64() / totals[memory].as_secs_f64();
        println!("{} / {}: {ratio:.3}", SIDES[witness], SIDES[memory]);
    }
}

/// The median time of each side.
fn measure(case: &BlockCase) -> [Duration; SIDES.len()] {
    let block = case.block().expect("real blocks are signed");
    let witness = case.witness.as_ref().expect("the block comes with a witness");
    let root = witness.parent_state_root.expect("the folder says the root");
    let proven = witness.store(root);
    let [sequential, parallel] = [Config::sequential(), Config::with_threads(2)].map(Engine::new);
    let noting = NotingBase::new(&proven);
    let outcome = sequential.execute(&noting, &block).expect("the block is valid");
    let known = known(&proven, noting).expect("what was read is proven");
    let mut times: [Vec<Duration>; SIDES.len()] = Default::default();
    for _ in 0..ROUNDS {
        let sides: [&dyn Fn(); SIDES.len()] = [
            &|| drop(black_box(sequential.execute(&known, &block))),
            &|| drop(black_box(sequential.execute(&proven, &block))),
            &|| drop(black_box(parallel.execute(&known, &block))),
            &|| drop(black_box(parallel.execute(&proven, &block))),
            &|| drop(black_box(witness.store(root))),
            &|| drop(black_box(proven.root_after(&outcome.changes))),
        ];
        for (side, times) in sides.iter().zip(&mut times) {
            let start = Instant::now();
            side();
            times.push(start.elapsed());
        }
    }
    times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2]
    })
}

/// A store in memory with everything that was read.
fn known(proven: &WitnessStore, noting: NotingBase<'_, WitnessStore>) -> Result<MemoryStore, WitnessError> {
    let (accesses, mut store) = (noting.into_accesses(), MemoryStore::new());
    for hash in &accesses.codes {
        store.insert_code(proven.code_by_hash_ref(*hash)?.original_bytes());
    }
    for number in &accesses.block_hashes {
        store.set_block_hash(*number, Some(proven.block_hash_ref(*number)?));
    }
    for (address, keys) in &accesses.accounts {
        let Some(info) = proven.basic_ref(*address)? else { continue };
        let account = Account::from(&info);
        store.insert_account(*address, StoredAccount { account, ..StoredAccount::default() });
        for key in keys {
            store.set_slot(*address, *key, proven.storage_ref(*address, *key)?);
        }
    }
    Ok(store)
}
