//! Those who run ahead stop telling each other what they do where nobody meets what another wrote, and
//! only there.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{ops::ControlFlow, thread, time::Duration};

use blockloom_bench::workloads::{Kind, Recipe, Shape, Workload};
use blockloom_engine::{Config, Engine, Outcome, Spread, Statistics};

const GAS: u64 = 100_000_000;

/// Executes a block while the gate takes its time, so that the others are far ahead of it.
fn execute(engine: &Engine, Workload { base, block }: &Workload) -> Outcome {
    let pause = |_: blockloom_engine::Step<'_>| {
        thread::sleep(Duration::from_micros(50));
        ControlFlow::Continue(())
    };
    engine.execute_with(base, block, pause).unwrap()
}

fn engine(spread: Spread) -> Engine {
    Engine::new(Config { spread, ..Config::with_threads(3) })
}

fn statistics_of(shape: Shape) -> Statistics {
    let workload = Recipe::new(Kind::Erc20, shape, GAS).prepare();
    execute(&engine(Spread::Always), &workload).statistics
}

#[test]
fn where_nobody_meets_anybody_most_is_told_to_nobody() {
    let Statistics { committed, untold, stale, .. } = statistics_of(Shape::Independent);
    assert!(committed > 400 && untold > committed / 2, "{untold} of {committed}");
    assert_eq!(stale.total(), 0);
}

#[test]
fn where_everybody_meets_somebody_all_is_told() {
    for shape in [Shape::Chain, Shape::Hot] {
        let Statistics { committed, untold, .. } = statistics_of(shape);
        assert_eq!(untold, 0, "{shape}: of {committed}");
    }
}

/// A block whose second half does with each account what the first half did, as far apart as can be.
fn two_phases(kind: Kind) -> Workload {
    let Workload { base, mut block } = Recipe::new(kind, Shape::Independent, GAS).prepare();
    let again = block.transactions.clone().into_iter().map(|mut transaction| {
        transaction.env.nonce += 1;
        transaction
    });
    block.transactions.extend(again);
    block.env.gas_limit *= 2;
    Workload { base, block }
}

#[test]
fn what_was_told_to_nobody_is_told_once_somebody_misses_it() {
    for kind in [Kind::Erc20, Kind::Swaps] {
        let workload = two_phases(kind);
        let expected = Engine::new(Config::sequential()).execute(&workload.base, &workload.block).unwrap();
        for spread in [Spread::Always, Spread::Hushed] {
            let outcome = execute(&engine(spread), &workload);
            let Statistics { untold, at_gate, .. } = outcome.statistics;
            assert!(outcome == expected, "{kind}, {spread:?}");
            let second_half = workload.block.transactions.len() as u64 / 2;
            assert!(untold > 0, "{kind}, {spread:?}");
            // What is in the window when it turns out is run again at the gate. If nobody told, all of the
            // half were.
            assert!(at_gate < second_half * 3 / 4, "{kind}, {spread:?}: {at_gate} of {second_half}");
        }
    }
}
