//! The sequential executor against a bare revm loop, on real blocks.
//!
//! The loop is the minimum that executes a block: one EVM on revm's in-memory cache over the same base, the same
//! transactions by reference, each result dropped. It produces no receipts and no changes, makes no system calls,
//! and pays no rewards. Both sides run in one process, in turn. Compares medians, and fails above the target.

#![expect(clippy::print_stdout, reason = "printing is what a benchmark is for")]

use std::{
    hint::black_box,
    process::ExitCode,
    time::{Duration, Instant},
};

use blockloom_engine::{Block, Config, Engine};
use blockloom_fuzz::{
    bare_loop,
    suites::{RealBlock, Suites},
};
use blockloom_state::MemoryStore;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The greatest time of the engine / time of the bare loop, over all blocks.
const TARGET: f64 = 1.05;

/// The number of executions of each block on each side.
const ROUNDS: usize = 21;

fn main() -> ExitCode {
    let suites = Suites::find().expect("the suites can be unpacked");
    let Some(mut blocks) = suites.real_blocks() else {
        println!("skipped: there is no suite of mainnet blocks; {suites}");
        return ExitCode::SUCCESS;
    };
    blocks.retain(|real| !real.block.transactions.is_empty());
    let (mut bare_total, mut engine_total) = (Duration::ZERO, Duration::ZERO);
    let (mut worst, mut logs) = ((0.0, String::new()), 0.0);
    for RealBlock { name, block, base } in &blocks {
        let (bare, engine) = compare(base, block);
        let ratio = engine.as_secs_f64() / bare.as_secs_f64();
        println!(
            "{name:>10}  {:>4} transactions  bare {bare:>10.1?}  engine {engine:>10.1?}  {ratio:.3}",
            block.transactions.len()
        );
        bare_total += bare;
        engine_total += engine;
        logs += ratio.ln();
        if ratio > worst.0 {
            worst = (ratio, name.clone());
        }
    }
    let ratio = engine_total.as_secs_f64() / bare_total.as_secs_f64();
    let mean = (logs / blocks.len() as f64).exp();
    println!(
        "{} blocks: engine / bare revm loop {ratio:.3} in total (at most {TARGET}), geometric mean {mean:.3}, worst {:.3} ({})",
        blocks.len(),
        worst.0,
        worst.1
    );
    if ratio <= TARGET { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The median times of the bare loop and of the engine.
fn compare(base: &MemoryStore, block: &Block) -> (Duration, Duration) {
    let engine = Engine::new(Config::sequential());
    let (mut bare_times, mut engine_times) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let (left, refused) = bare_loop(base, block);
        assert_eq!(refused, None, "real blocks are valid");
        drop(black_box(left));
        bare_times.push(start.elapsed());
        let start = Instant::now();
        black_box(engine.execute(base, block).expect("real blocks are valid"));
        engine_times.push(start.elapsed());
    }
    (median(&mut bare_times), median(&mut engine_times))
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
