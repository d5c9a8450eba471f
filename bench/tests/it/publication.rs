//! Speculative runs stop publishing their writes if, and only if, transactions do not read each other's writes.

use std::{ops::ControlFlow, thread, time::Duration};

use blockloom_bench::workloads::{Kind, Recipe, Shape, Workload};
use blockloom_engine::{Config, Engine, Outcome, Statistics, TestMode};

const GAS: u64 = 100_000_000;

/// The usual time between two commits.
const PAUSE: Duration = Duration::from_micros(50);

/// Executes a block with a slow gate, so that speculation runs far ahead.
fn execute(engine: &Engine, Workload { base, block }: &Workload, pause: Duration) -> Outcome {
    let pause = |_: blockloom_engine::CommittedStep<'_>| {
        thread::sleep(pause);
        ControlFlow::Continue(())
    };
    engine.execute_with(base, block, pause).unwrap()
}

fn engine(test_mode: TestMode) -> Engine {
    Engine::new(Config::with_threads(3)).with_test_mode(test_mode)
}

fn statistics_of(shape: Shape) -> Statistics {
    let workload = Recipe::new(Kind::Erc20, shape, GAS).prepare();
    execute(&engine(TestMode::AlwaysParallel), &workload, PAUSE).statistics
}

#[test]
fn independent_transactions_are_mostly_unpublished() {
    let Statistics { committed, unpublished, stale_at_gate, .. } = statistics_of(Shape::Independent);
    assert!(committed > 400 && unpublished > committed / 2, "{unpublished} of {committed}");
    assert_eq!(stale_at_gate.total(), 0);
}

#[test]
fn dependent_transactions_are_all_published() {
    for shape in [Shape::Chain, Shape::Hot] {
        let Statistics { committed, unpublished, .. } = statistics_of(shape);
        assert_eq!(unpublished, 0, "{shape}: of {committed}");
    }
}

/// A block with every transaction twice: the second half repeats the first half, as far apart as possible.
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
fn a_missing_write_switches_publication_on() {
    for kind in [Kind::Erc20, Kind::Swaps] {
        let workload = two_phases(kind);
        let expected = Engine::new(Config::sequential()).execute(&workload.base, &workload.block).unwrap();
        for test_mode in [TestMode::AlwaysParallel, TestMode::EarlyDeferral] {
            let second_half = workload.block.transactions.len() as u64 / 2;
            // The gate runs the transactions that were in the window when the first write was missed. Without
            // publication it would run the whole second half. On a busy machine, where the other threads fall
            // behind, it runs more: then it is slower the next time.
            let is_resumed = [1, 4, 16].into_iter().any(|times| {
                let outcome = execute(&engine(test_mode), &workload, times * PAUSE);
                let Statistics { unpublished, at_gate, .. } = outcome.statistics;
                assert!(outcome == expected, "{kind}, {test_mode:?}");
                assert!(unpublished > 0, "{kind}, {test_mode:?}");
                at_gate < second_half * 3 / 4
            });
            assert!(is_resumed, "{kind}, {test_mode:?}: the gate ran most of the second half");
        }
    }
}
