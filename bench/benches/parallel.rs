//! The parallel engine beside the sequential one, on real blocks.
//!
//! Both run in one process and in turn, on warm blocks, and medians are compared; their outcomes
//! are compared whole, every round. The bars are what the project asks of a machine with two cores:
//! the benchmark fails below them.

#![expect(clippy::print_stdout, reason = "printing is what a benchmark is for")]

use std::{
    env,
    process::ExitCode,
    time::{Duration, Instant},
};

use blockloom_engine::{Block, Config, Engine, Statistics};
use blockloom_fixtures::{Case, Sources, read};
use blockloom_fuzz::suites::Suites;
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
    let Some(folder) = suites.suite("mainnet") else {
        println!("skipped: there is no suite of mainnet blocks; {suites}");
        return ExitCode::SUCCESS;
    };
    let number = |name| env::var(name).ok().and_then(|number| number.parse().ok());
    let threads = number("THREADS").unwrap_or(2);
    let rounds = number("ROUNDS").unwrap_or(ROUNDS);
    let only: Option<u64> = number("ONLY").map(|number| number as u64);
    let engine = Engine::new(Config::with_threads(threads));
    let (mut sequential_total, mut parallel_total) = (Duration::ZERO, Duration::ZERO);
    let (mut worst, mut logs, mut count) = ((f64::MAX, String::new()), 0.0, 0);
    for source in Sources::new([folder]) {
        let fixture = read(&source.expect("the suites hold fixtures")).expect("the fixtures are whole");
        for case in fixture.cases {
            let Case::Block(case) = case else { continue };
            let block = case.block().expect("real blocks are signed");
            if block.transactions.len() < 2 || only.is_some_and(|only| only != block.number()) {
                continue;
            }
            let (sequential, parallel, statistics) = compare(&engine, &case.state, &block, rounds);
            let ratio = sequential.as_secs_f64() / parallel.as_secs_f64();
            println!(
                "{:>10}  {:>4} transactions  sequential {sequential:>10.1?}  parallel {parallel:>10.1?}  {ratio:.3}  {statistics:?}",
                case.name,
                block.transactions.len()
            );
            sequential_total += sequential;
            parallel_total += parallel;
            logs += ratio.ln();
            count += 1;
            if ratio < worst.0 {
                worst = (ratio, case.name);
            }
        }
    }
    let ratio = sequential_total.as_secs_f64() / parallel_total.as_secs_f64();
    let mean = (logs / f64::from(count)).exp();
    println!(
        "{count} blocks, {threads} threads: {ratio:.3} in total (at least {TOTAL_BAR}), geometric mean {mean:.3}, worst {:.3} ({}, at least {WORST_BAR})",
        worst.0, worst.1
    );
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
