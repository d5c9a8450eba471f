//! The gain and the cost of access lists (EIP-7928), on real blocks.
//!
//! Executes each block in one process, in turn, with warm caches: sequentially, in parallel, and in parallel
//! with its list; then the first two with and without producing the list. Compares medians and outcomes.
//! Fails below the targets of the project for a machine with two cores. `THREADS`, `ROUNDS` and `ONLY` are those
//! of the benchmark `parallel`. `READ_LATENCY_US` delays each read of the base; then only the target of a
//! slow base counts.

#![expect(clippy::print_stdout, reason = "printing is what a benchmark is for")]

use std::{env, process::ExitCode, time::Duration};

use blockloom_bench::{delayed_base::DelayedBase, times::Times};
use blockloom_engine::{Block, Config, Engine, Lists, Outcome};
use blockloom_fuzz::suites::{RealBlock, Suites};
use blockloom_state::Base;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The least ratio of all blocks in total, with their lists.
const TOTAL_TARGET: f64 = 1.60;
/// The greatest time with the list / time without, of any block.
const WITH_LIST_TARGET: f64 = 1.03;
/// The greatest time with producing the list / time without.
const PRODUCING_TARGET: f64 = 1.05;
/// The least ratio with lists on a slow base.
const SLOW_TARGET: f64 = 3.0;

/// The number of executions of each block in each way.
const ROUNDS: usize = 21;

/// The times of one block, or the sums of all blocks.
#[derive(Clone, Copy, Debug, Default)]
struct Measured {
    sequential: f64,
    parallel: f64,
    with_list: f64,
    /// With and without producing the list: sequentially, and in parallel.
    producing: [[f64; 2]; 2],
}

/// The engines that are compared.
struct Engines {
    sequential: Engine,
    parallel: Engine,
    sequential_listing: Engine,
    parallel_listing: Engine,
}

impl Engines {
    fn new(threads: usize) -> Self {
        let engine = |threads, lists| Engine::new(Config { lists, ..Config::with_threads(threads) });
        Self {
            sequential: engine(1, Lists::WhereCommitted),
            parallel: engine(threads, Lists::WhereCommitted),
            sequential_listing: engine(1, Lists::Always),
            parallel_listing: engine(threads, Lists::Always),
        }
    }

    /// The median times of a block in each way, and the runs of the last round with the list.
    fn measure<B: Base>(&self, base: &B, block: &Block, rounds: usize) -> (Measured, u64) {
        let Self { sequential, parallel, sequential_listing, parallel_listing } = self;
        let expected = sequential_listing.execute(base, block).expect("real blocks are valid");
        let list = expected.access_list.clone().expect("`Lists::Always` produces a list");
        let listed = block.clone().with_hint(list).expect("a list that execution produces is well-formed");
        let (times, runs) =
            in_turn(base, &expected, [(sequential, block), (parallel, block), (parallel, &listed)], rounds);
        let producing = [[sequential_listing, sequential], [parallel_listing, parallel]]
            .map(|engines| in_turn(base, &expected, engines.map(|engine| (engine, block)), rounds).0);
        (Measured { sequential: times[0], parallel: times[1], with_list: times[2], producing }, runs)
    }
}

/// The median times of all ways, and the runs of the last one.
fn in_turn<B: Base, const N: usize>(
    base: &B,
    expected: &Outcome,
    ways: [(&Engine, &Block); N],
    rounds: usize,
) -> ([f64; N], u64) {
    let list = expected.access_list.as_ref().expect("`Lists::Always` produces a list");
    let (mut times, mut runs) = (std::array::from_fn(|_| Times::default()), 0);
    for _ in 0..rounds {
        for (times, (engine, block)) in times.iter_mut().zip(ways) {
            let mut outcome = times.take(|| engine.execute(base, block)).expect("real blocks are valid");
            runs = outcome.statistics.incarnations;
            // Only some of the engines produce a list.
            outcome.access_list.get_or_insert_with(|| list.clone());
            assert_eq!(outcome, *expected, "every way has the same outcome");
        }
    }
    (times.map(|times: Times| times.median().as_secs_f64()), runs)
}

impl Measured {
    fn add(&mut self, other: Self) {
        self.sequential += other.sequential;
        self.parallel += other.parallel;
        self.with_list += other.with_list;
        for (sum, other) in self.producing.iter_mut().flatten().zip(other.producing.iter().flatten()) {
            *sum += other;
        }
    }
}

fn main() -> ExitCode {
    let suites = Suites::find().expect("the suites can be unpacked");
    let Some(mut blocks) = suites.real_blocks() else {
        println!("skipped: there is no suite of mainnet blocks; {suites}");
        return ExitCode::SUCCESS;
    };
    let number = |name| env::var(name).ok().and_then(|number| number.parse().ok());
    let engines = Engines::new(number("THREADS").unwrap_or(2));
    let rounds = number("ROUNDS").unwrap_or(ROUNDS);
    let latency = number("READ_LATENCY_US").map(|micros| Duration::from_micros(micros as u64));
    let only = number("ONLY").map(|number| number as u64);
    blocks.retain(|real| real.block.transactions.len() > 1);
    blocks.retain(|real| only.is_none_or(|only| only == real.block.number()));
    let (mut total, mut worst) = (Measured::default(), (0.0, ""));
    for RealBlock { name, block, base } in &blocks {
        let (measured, runs) = match latency {
            Some(latency) => engines.measure(&DelayedBase::new(base, latency), block, rounds),
            None => engines.measure(base, block, rounds),
        };
        let transactions = block.transactions.len();
        println!(
            "{name:>10}  {transactions:>4} transactions  sequential {:>9.0} us  parallel {:.3}  with its list {:.3}  runs {:.3}",
            1e6 * measured.sequential,
            measured.sequential / measured.parallel,
            measured.sequential / measured.with_list,
            runs as f64 / transactions as f64
        );
        total.add(measured);
        let list_ratio = measured.with_list / measured.parallel;
        if list_ratio > worst.0 {
            worst = (list_ratio, name);
        }
    }
    verdict(total, worst, latency.is_some())
}

fn verdict(total: Measured, worst: (f64, &str), is_slow: bool) -> ExitCode {
    let ratio = total.sequential / total.with_list;
    let producing = total.producing.map(|[listing, without]| listing / without);
    println!(
        "parallel {:.3} in total, with lists {ratio:.3} (at least {}); time with producing the list / without: {:.3} sequentially, {:.3} in parallel (at most {PRODUCING_TARGET}); worst time with the list / without: {:.3} ({}, at most {WITH_LIST_TARGET})",
        total.sequential / total.parallel,
        if is_slow { SLOW_TARGET } else { TOTAL_TARGET },
        producing[0],
        producing[1],
        worst.0,
        worst.1
    );
    let is_reached = if is_slow {
        ratio >= SLOW_TARGET
    } else {
        ratio >= TOTAL_TARGET
            && worst.0 <= WITH_LIST_TARGET
            && producing.iter().all(|producing| *producing <= PRODUCING_TARGET)
    };
    if is_reached { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
