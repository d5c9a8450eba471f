//! Parallel against sequential execution, on real blocks.
//!
//! Both run in one process, in turn, with warm caches. Compares medians, and the outcomes of every round. Fails
//! below the targets of the project for a machine with two cores. `THREADS` is the number of threads (2). `ONLY`
//! selects one block by its number. `ROUNDS` is the number of executions on each side (21). `SIDE=parallel` or
//! `SIDE=sequential` executes that side as often once more, for a profiler.

#![expect(clippy::print_stdout, reason = "printing is what a benchmark is for")]

use std::{
    env,
    process::ExitCode,
    time::{Duration, Instant},
};

use blockloom_bench::core_latency::CoreLatency;
use blockloom_engine::{Block, Config, Engine, Statistics};
use blockloom_fuzz::suites::{RealBlock, Suites};
use blockloom_state::MemoryStore;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The least ratio of all blocks in total, and of any block.
const TOTAL_TARGET: f64 = 1.30;
const WORST_TARGET: f64 = 0.90;

/// The number of executions of each block on each side.
const ROUNDS: usize = 21;

fn main() -> ExitCode {
    let suites = Suites::find().expect("the suites can be unpacked");
    let Some(mut blocks) = suites.real_blocks() else {
        println!("skipped: there is no suite of mainnet blocks; {suites}");
        return ExitCode::SUCCESS;
    };
    let before = CoreLatency::measure();
    let number = |name| env::var(name).ok().and_then(|number| number.parse().ok());
    let threads = number("THREADS").unwrap_or(2);
    let rounds = number("ROUNDS").unwrap_or(ROUNDS);
    let only = number("ONLY").map(|number| number as u64);
    blocks.retain(|real| real.block.transactions.len() > 1);
    blocks.retain(|real| only.is_none_or(|only| only == real.block.number()));
    let engine = Engine::new(Config::with_threads(threads));
    let (mut sequential_total, mut parallel_total) = (Duration::ZERO, Duration::ZERO);
    let (mut worst, mut logs) = ((f64::MAX, ""), 0.0);
    for RealBlock { name, block, base } in &blocks {
        let (sequential, parallel, statistics) = compare(&engine, base, block, rounds);
        let ratio = sequential.as_secs_f64() / parallel.as_secs_f64();
        println!(
            "{name:>10}  {:>4} transactions  sequential {sequential:>10.1?}  parallel {parallel:>10.1?}  {ratio:.3}  {statistics:?}",
            block.transactions.len()
        );
        sequential_total += sequential;
        parallel_total += parallel;
        logs += ratio.ln();
        if ratio < worst.0 {
            worst = (ratio, name);
        }
    }
    let count = blocks.len();
    let ratio = sequential_total.as_secs_f64() / parallel_total.as_secs_f64();
    let mean = (logs / count as f64).exp();
    println!(
        "{count} blocks, {threads} threads: {ratio:.3} in total (at least {TOTAL_TARGET}), geometric mean {mean:.3}, worst {:.3} ({}, at least {WORST_TARGET})",
        worst.0, worst.1
    );
    CoreLatency::before_and_after(before).into_iter().for_each(|line| println!("{line}"));
    if ratio >= TOTAL_TARGET && worst.0 >= WORST_TARGET { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The median times of both sides, and the statistics of the last parallel round.
fn compare(
    engine: &Engine,
    base: &MemoryStore,
    block: &Block,
    rounds: usize,
) -> (Duration, Duration, Statistics) {
    let reference = Engine::new(Config::sequential());
    let (mut sequential_times, mut parallel_times) = (Vec::new(), Vec::new());
    let mut statistics = Statistics::default();
    if let Ok(side) = env::var("SIDE") {
        let engine = if side == "parallel" { engine } else { &reference };
        for _ in 0..rounds {
            engine.execute(base, block).expect("real blocks are valid");
        }
    }
    for _ in 0..rounds {
        let start = Instant::now();
        let expected = reference.execute(base, block).expect("real blocks are valid");
        sequential_times.push(start.elapsed());
        let start = Instant::now();
        let outcome = engine.execute(base, block).expect("real blocks are valid");
        parallel_times.push(start.elapsed());
        assert_eq!(outcome, expected, "parallel execution has the outcome of sequential execution");
        statistics = outcome.statistics;
    }
    (median(&mut sequential_times), median(&mut parallel_times), statistics)
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
