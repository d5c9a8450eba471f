//! The parallel engine beside the sequential one, on real blocks.
//!
//! Both run in one process and in turn, on warm blocks, and medians are compared; their outcomes
//! are compared whole, every round. The bars are what the project asks of a machine with two cores:
//! the benchmark fails below them. `ONLY` names one block, `ROUNDS` says how often each side executes
//! each; `SIDE=parallel` or `SIDE=sequential` executes that side as often once more, for a profiler.

#![expect(clippy::print_stdout, reason = "printing is what a benchmark is for")]

use std::{
    env,
    process::ExitCode,
    time::{Duration, Instant},
};

use blockloom_bench::distance::Distance;
use blockloom_engine::{Block, Config, Engine, Statistics};
use blockloom_fuzz::suites::{RealBlock, Suites};
use blockloom_state::MemoryStore;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The least ratio of all blocks together, and of any block.
const TOTAL_BAR: f64 = 1.30;
const WORST_BAR: f64 = 0.90;

/// How often each block is executed by each side.
const ROUNDS: usize = 21;

fn main() -> ExitCode {
    let suites = Suites::find().expect("the suites can be unpacked");
    let Some(mut blocks) = suites.real_blocks() else {
        println!("skipped: there is no suite of mainnet blocks; {suites}");
        return ExitCode::SUCCESS;
    };
    let before = Distance::measure();
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
        "{count} blocks, {threads} threads: {ratio:.3} in total (at least {TOTAL_BAR}), geometric mean {mean:.3}, worst {:.3} ({}, at least {WORST_BAR})",
        worst.0, worst.1
    );
    Distance::then_and_now(before).into_iter().for_each(|line| println!("{line}"));
    if ratio >= TOTAL_BAR && worst.0 >= WORST_BAR { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The median times of both sides, taken in turn, and what the last parallel round took.
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
        assert_eq!(outcome, expected, "parallel execution commits what sequential execution does");
        statistics = outcome.statistics;
    }
    (median(&mut sequential_times), median(&mut parallel_times), statistics)
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
