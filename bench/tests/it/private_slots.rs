//! Real blocks: what the explanation says of the most limiting slot, beside the block in which each transaction has its own
//! copy of it, executed and measured again.

use std::{num::NonZeroUsize, ops::ControlFlow, time::Duration};

use alloy_primitives::{Address, U256};
use blockloom_bench::{
    explanation::{COMPARED, Explanation, Subject},
    limit::{WorkerCount, limit, with_private},
    rounds::Rounds,
};
use blockloom_engine::{Block, BlockStep, CommittedStep, Config, Dependencies, Engine, Frame};
use blockloom_fuzz::suites::{RealBlock, Suites};
use blockloom_state::{Location, MemoryStore};

/// The number of blocks, and how far the two may be apart in half of them.
const BLOCKS: usize = 20;
const TOLERANCE: f64 = 0.1;

/// The time of each transaction alone, on the state before it in which `private`, if given, has the value from before the
/// block.
fn times(base: &MemoryStore, block: &Block, private: Option<(Address, U256)>) -> Vec<Duration> {
    let mut steps = Vec::new();
    let engine = Engine::new(Config::sequential());
    let keep = |step: CommittedStep<'_>| {
        steps.push((step.step, step.changes));
        ControlFlow::Continue(())
    };
    engine.execute_with(base, block, keep).unwrap();
    let (mut store, mut times) = (base.clone(), Vec::new());
    for (step, changes) in steps {
        if let BlockStep::Transaction(index, _) = step {
            let mut before = store.clone();
            if let Some((address, key)) = private {
                let stored = base.account(&address).and_then(|account| account.slots.get(&key).copied());
                before.set_slot(address, key, stored.unwrap_or_default());
            }
            let transactions = vec![block.transactions[index.get()].clone()];
            let alone = Block { transactions, frame: Frame::TransactionsOnly, ..block.clone() };
            times.push(engine.dependencies(&before, &alone, 3).unwrap().transactions[0].time);
        }
        store.apply(&changes).unwrap();
    }
    times
}

fn with_times(graph: &Dependencies, times: &[Duration]) -> Dependencies {
    let mut graph = graph.clone();
    graph.transactions.iter_mut().zip(times).for_each(|(transaction, time)| transaction.time = *time);
    graph
}

#[test]
fn the_limit_without_the_most_limiting_slot_is_that_of_the_block_in_which_it_is_private() {
    let Some(blocks) = Suites::find().unwrap().real_blocks() else {
        eprintln!("skipped: there are no real blocks");
        return;
    };
    let (threads, workers) = (NonZeroUsize::new(2).unwrap(), WorkerCount::Exactly(COMPARED));
    let mut compared = Vec::new();
    for RealBlock { name, block, base } in blocks {
        if block.transactions.len() < 8 || compared.len() == BLOCKS {
            continue;
        }
        let found =
            Explanation::of(&base, &block, threads, Rounds::Exactly(NonZeroUsize::MIN), || true).unwrap();
        let slot = found.locations.iter().find_map(|cause| match cause.subject {
            Subject::Location(Location::Slot(address, key)) => Some((cause, address, key)),
            _ => None,
        });
        let Some((cause, address, key)) = slot.filter(|(cause, ..)| !cause.saved.is_zero()) else { continue };
        let said = cause.limit_without / found.compared_limit;
        let is_slot = |location: &Location| *location == Location::Slot(address, key);
        let whole = with_times(&found.graph, &times(&base, &block, None));
        let private =
            with_times(&with_private(&found.graph, is_slot), &times(&base, &block, Some((address, key))));
        let measured = limit(&private, workers) / limit(&whole, workers);
        println!("{name}: slot {key:#x} of {address}: said {said:.3}, measured {measured:.3}");
        compared.push(said / measured);
    }
    // The times are measured: other programs may disturb some of them.
    let mut apart: Vec<_> = compared.iter().map(|ratio| (ratio - 1.0).abs()).collect();
    apart.sort_by(f64::total_cmp);
    assert!(compared.len() >= 5, "{} blocks have such a slot", compared.len());
    assert!(apart[apart.len() / 2] < TOLERANCE, "{compared:?}");
}
