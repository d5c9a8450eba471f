//! The sequential engine beside a bare revm loop, on real blocks.
//!
//! The loop is the least that executes a block: one EVM on revm's own in-memory cache over the same
//! base, the same transactions by reference, each result dropped. It makes no receipts, no changes,
//! no system calls, and pays no rewards. Both sides run in one process and in turn, and medians are
//! compared. The bar is 1.05: the benchmark fails above it.

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

/// The most that the engine may take of the bare loop's time, over all blocks.
const BAR: f64 = 1.05;

/// How often each block is executed by each side.
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
        "{} blocks: engine / bare revm loop {ratio:.3} in total (at most {BAR}), geometric mean {mean:.3}, worst {:.3} ({})",
        blocks.len(),
        worst.0,
        worst.1
    );
    if ratio <= BAR { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The median times of the bare loop and of the engine, taken in turn.
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
