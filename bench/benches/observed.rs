//! What an observer costs: blocks with one beside the same blocks without, in turn, on one engine each.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::sync::Arc;

use blockloom_bench::{
    times::Times,
    workloads::{Kind, Recipe, Shape, Workload},
};
use blockloom_engine::{Config, Engine, Trace, TraceObserver};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 41;

/// Receives traces, and does nothing with them.
#[derive(Debug)]
struct Silent;

impl TraceObserver for Silent {
    fn executed(&self, _: &Trace) {}
}

fn main() {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    for (kind, shape) in [
        (Kind::Transfers, Shape::Independent),
        (Kind::Erc20, Shape::Independent),
        (Kind::Swaps, Shape::Independent),
        (Kind::Mixed, Shape::Independent),
        (Kind::Erc20, Shape::Hot),
        (Kind::Erc20, Shape::Chain),
    ] {
        for threads in [1, threads] {
            measure(kind, shape, threads);
        }
    }
}

fn measure(kind: Kind, shape: Shape, threads: usize) {
    let recipe = Recipe { kind, shape, gas: 30_000_000, seed: 1, hot: 0.3, senders: 10 };
    let Workload { base, block } = recipe.prepare();
    let plain = Engine::new(Config::with_threads(threads));
    let observed = Engine::new(Config { observer: Some(Arc::new(Silent)), ..Config::with_threads(threads) });
    let mut times = [Times::default(), Times::default()];
    for round in 0..ROUNDS + 3 {
        // The order alternates: what a side leaves behind is to the advantage of each.
        let mut sides = [(0, &plain), (1, &observed)];
        if round % 2 == 1 {
            sides.reverse();
        }
        for (side, engine) in sides {
            let execute = || engine.execute(&base, &block).expect("a generated block is valid");
            drop(if round < 3 { execute() } else { times[side].take(execute) });
        }
    }
    let [plain, observed] = times.map(|times| times.median());
    let ratio = observed.as_secs_f64() / plain.as_secs_f64();
    println!("{kind} {shape}, {threads} threads: {plain:.2?}, observed {observed:.2?}: {ratio:.3}");
}
