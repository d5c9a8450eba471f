//! Streams of blocks against the same blocks one by one.
//!
//! Three sides in one process, in turn: one by one on one thread, one by one on `THREADS` threads (2), and as streams on
//! them, in windows of blocks with at least `WINDOW_GAS` gas together (30 million). Compares medians of `ROUNDS` rounds
//! (9), and all outcomes. The blocks are a generated chain of `BLOCKS` blocks (1000) of `GAS` gas (1.5 million), the
//! 20 largest real blocks, each split into 8, and the real blocks that follow each other.

#![expect(clippy::print_stdout, reason = "printing is what a benchmark is for")]

#[path = "streams/consecutive.rs"]
mod consecutive;

use std::{
    env,
    num::NonZeroUsize,
    ops::ControlFlow,
    time::{Duration, Instant},
};

use blockloom_bench::{
    core_latency::CoreLatency,
    split::split,
    workloads::{
        Kind,
        chain::{ChainRecipe, GeneratedChain},
    },
};
use blockloom_engine::{Block, ChainSpec, Config, Engine, Outcome};
use blockloom_fuzz::suites::Suites;
use blockloom_state::MemoryStore;

use consecutive::consecutive_blocks;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How many of the largest real blocks are split, and into how many.
const LARGEST: usize = 20;
const PARTS: NonZeroUsize = NonZeroUsize::new(8).unwrap();

/// Blocks that follow each other, and the state before the first one.
struct Chain {
    name: String,
    base: MemoryStore,
    blocks: Vec<Block>,
}

/// How blocks are executed.
#[derive(Clone, Copy)]
enum Side<'e> {
    OneByOne(&'e Engine),
    Stream(&'e Engine, u64),
}

fn number(name: &str, default: u64) -> u64 {
    env::var(name).ok().and_then(|number| number.parse().ok()).unwrap_or(default)
}

fn main() {
    let before = CoreLatency::measure();
    let threads = number("THREADS", 2) as usize;
    let window = number("WINDOW_GAS", 30_000_000);
    let (sequential, parallel) =
        (Engine::new(Config::sequential()), Engine::new(Config::with_threads(threads)));
    let sides = [Side::OneByOne(&sequential), Side::OneByOne(&parallel), Side::Stream(&parallel, window)];
    let chain = generated();
    let times = measure(&chain, &sides);
    print_line(&chain.name, &times);
    let mut total = [Duration::ZERO; 3];
    for (whole, parts) in split_blocks() {
        let of_whole = measure(&whole, &sides);
        let of_parts = measure(&parts, &sides);
        // What the whole block takes in parallel stands for its parts one by one.
        let times = [of_whole[0], of_whole[1], of_parts[2]];
        print_line(&parts.name, &times);
        total.iter_mut().zip(times).for_each(|(total, time)| *total += time);
    }
    print_line("real blocks, split", &total);
    let mut total = [Duration::ZERO; 3];
    for chain in consecutive_blocks() {
        let times = measure(&chain, &sides);
        print_line(&format!("{} and next {}", chain.name, chain.blocks.len() - 1), &times);
        total.iter_mut().zip(times).for_each(|(total, time)| *total += time);
    }
    print_line("real blocks in a row", &total);
    CoreLatency::before_and_after(before).into_iter().for_each(|line| println!("{line}"));
}

fn print_line(name: &str, [sequential, parallel, stream]: &[Duration; 3]) {
    let ratio = |time: &Duration| time.as_secs_f64() / stream.as_secs_f64();
    println!(
        "{name:>32}  sequential {sequential:>9.2?}  parallel {parallel:>9.2?}  stream {stream:>9.2?}  {:.3} of sequential, {:.3} of parallel",
        ratio(sequential),
        ratio(parallel)
    );
}

/// A generated chain of small blocks.
fn generated() -> Chain {
    let (blocks, gas) = (number("BLOCKS", 1000), number("GAS", 1_500_000));
    let recipe = ChainRecipe { kind: Kind::Mixed, gas, accounts: 20_000, seed: 1 };
    let genesis = recipe.genesis();
    let base = MemoryStore::from_genesis(genesis.accounts());
    let root = base.root();
    let mut chain = GeneratedChain::new(&recipe, genesis, base.clone(), root);
    let spec = ChainSpec::always(alloy_hardforks::EthereumHardfork::Osaka);
    let grow = |_| {
        let signed = chain.grow().expect("a generated block is valid");
        let rules = spec.rules(&signed.header);
        Block::recover(rules, signed).expect("a generated block has signatures")
    };
    let blocks: Vec<_> = (0..blocks).map(grow).collect();
    Chain { name: format!("{} blocks of {gas} gas", blocks.len()), base, blocks }
}

/// The largest real blocks, whole and split.
fn split_blocks() -> Vec<(Chain, Chain)> {
    let suites = Suites::find().expect("the suites can be unpacked");
    let mut blocks = suites.real_blocks().unwrap_or_default();
    blocks.sort_by_key(|real| std::cmp::Reverse(real.block.transactions.len()));
    let pair = |real: blockloom_fuzz::suites::RealBlock| {
        let chain = |name: String, blocks| Chain { name, base: real.base.clone(), blocks };
        let parts = split(&real.block, PARTS);
        (
            chain(real.name.to_string(), vec![real.block.clone()]),
            chain(format!("{} in {PARTS}", real.name), parts),
        )
    };
    blocks.into_iter().take(LARGEST).map(pair).collect()
}

/// The median times of the sides.
fn measure(chain: &Chain, sides: &[Side<'_>; 3]) -> [Duration; 3] {
    let rounds = number("ROUNDS", 9);
    let mut times = [const { Vec::new() }; 3];
    let mut expected = None;
    for _ in 0..=rounds {
        for (times, side) in times.iter_mut().zip(sides) {
            let (time, outcomes) = side.run(chain);
            times.push(time);
            let expected = &*expected.get_or_insert_with(|| outcomes.clone());
            assert!(*expected == outcomes, "{}: all sides have the same outcomes", chain.name);
        }
    }
    times.map(|mut times| {
        // The first round is a warm-up.
        times.remove(0);
        times.sort_unstable();
        times[times.len() / 2]
    })
}

impl Side<'_> {
    /// Executes a chain, and returns the time of the executions, without that of applying the changes.
    fn run(&self, Chain { base, blocks, .. }: &Chain) -> (Duration, Vec<Outcome>) {
        let (mut state, mut time, mut outcomes) = (base.clone(), Duration::ZERO, Vec::new());
        let mut left = &blocks[..];
        while !left.is_empty() {
            let (window, rest) = left.split_at(self.window(left));
            let first = &window[0];
            state.set_block_hash(first.number().saturating_sub(1), Some(first.parent_hash));
            let start = Instant::now();
            let changes = match self {
                Self::OneByOne(engine) => {
                    let outcome = engine.execute(&state, first).expect("the blocks are valid");
                    let changes = outcome.changes.clone();
                    outcomes.push(outcome);
                    changes
                }
                Self::Stream(engine, _) => {
                    let total = engine.execute_blocks(&state, window, |outcome| {
                        outcomes.push(outcome);
                        ControlFlow::Continue(())
                    });
                    total.expect("the blocks are valid").changes
                }
            };
            time += start.elapsed();
            state.apply(&changes).expect("the changes fit");
            for (block, next) in window.iter().zip(&window[1..]) {
                state.set_block_hash(block.number(), Some(next.parent_hash));
            }
            left = rest;
        }
        (time, outcomes)
    }

    /// How many of the blocks are executed together.
    fn window(&self, blocks: &[Block]) -> usize {
        let Self::Stream(_, least) = self else { return 1 };
        let mut gas = 0;
        let is_enough = |block: &Block| {
            gas += block.transactions.iter().map(|transaction| transaction.env.gas_limit).sum::<u64>();
            gas >= *least
        };
        blocks.iter().position(is_enough).map_or(blocks.len(), |last| last + 1)
    }
}
