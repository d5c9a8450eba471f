//! Executes one block many times: sequentially, then with several thread counts on a base with random
//! delays. All executions must yield the same.

use std::{ops::ControlFlow, sync::LazyLock, time::Duration};

use blockloom_engine::{Block, BlockError, BlockStep, CommittedStep, Engine, Outcome, Receipt, Statistics};
use blockloom_fuzz::{
    JitteryBase, difference, engine_on, engines, execute_with_delayed_commits, isolated_engine_on,
    late_engine_on,
};
use blockloom_state::{Changes, MemoryStore};
use revm::context_interface::result::ResultGas;

/// How often each thread count executes a block. Every other round has a callback for the steps.
const ROUNDS: u64 = 4;

/// These engines keep their threads and memories from block to block, as in a client. They use all
/// their threads for blocks of any size.
static ENGINES: LazyLock<Vec<Engine>> = LazyLock::new(engines);

/// These start each block on the calling thread, and execute the rest after a number of transactions in parallel.
static LATE_ENGINES: LazyLock<[(usize, Engine); 2]> =
    LazyLock::new(|| [1, 3].map(|first| (first, late_engine_on(3, first))));

/// Its speculative runs see only the state before the block.
static ISOLATED_ENGINE: LazyLock<Engine> = LazyLock::new(|| isolated_engine_on(3));

/// How often a block is executed, with longer and longer pauses, until something happens in an execution.
const ATTEMPTS: u32 = 12;

/// The result of a block, and its steps.
#[derive(Debug)]
pub(crate) struct Reference {
    pub(crate) result: Result<Outcome, BlockError>,
    pub(crate) steps: Vec<ObservedStep>,
}

/// A step, as a callback received it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ObservedStep {
    pub(crate) step: BlockStep,
    pub(crate) receipt: Option<Receipt>,
    pub(crate) gas: ResultGas,
    pub(crate) changes: Changes,
}

/// Executes a block in every way, and returns the result that all of them share.
pub(crate) fn execute_in_every_way(base: &MemoryStore, block: &Block) -> Reference {
    let sequential = engine_on(1);
    let reference = observe(&sequential, base, block);
    let unobserved = sequential.execute(base, block);
    assert_eq!(difference(&reference.result, &unobserved), None, "one thread, without a callback");
    // The first transactions are at most two more than the engine was told.
    let late = LATE_ENGINES.iter().map(|(first, engine)| (engine, block.transactions.len() > first + 2));
    for (engine, is_parallel) in ENGINES.iter().map(|engine| (engine, true)).chain(late) {
        for round in 0..ROUNDS {
            let name = format!("{} threads, round {round}", engine.threads());
            let jittery = JitteryBase { base, seed: round << 8 | engine.threads() as u64 };
            if round % 2 == 0 {
                let found = engine.execute(&jittery, block);
                assert_eq!(difference(&reference.result, &found), None, "{name}");
                if let Ok(outcome) = found
                    && is_parallel
                {
                    assert_eq!(outcome.statistics.threads, engine.threads(), "{name}: not in parallel");
                }
            } else {
                let found = observe(engine, &jittery, block);
                compare_steps(&name, &reference.steps, &found.steps);
                assert_eq!(difference(&reference.result, &found.result), None, "{name}");
            }
        }
    }
    reference
}

/// Executes a block, whose speculative runs see only the state before it, until the statistics of an execution show
/// that something happened. A fault that makes it not happen, or changes the outcome if it does, is found every time.
pub(crate) fn execute_isolated_until(
    base: &MemoryStore,
    block: &Block,
    expected: &Outcome,
    has_happened: fn(&Statistics) -> bool,
) {
    execute_until(&ISOLATED_ENGINE, base, block, expected, has_happened);
}

/// Executes a block in the same way with any engine.
pub(crate) fn execute_until(
    engine: &Engine,
    base: &MemoryStore,
    block: &Block,
    expected: &Outcome,
    has_happened: fn(&Statistics) -> bool,
) {
    let expected = Ok(expected.clone());
    for attempt in 0..ATTEMPTS {
        let pause = Duration::from_micros(20 << attempt);
        let found = execute_with_delayed_commits(engine, base, block, pause);
        assert_eq!(difference(&expected, &found), None, "with pauses of {pause:?}");
        if found.is_ok_and(|outcome| has_happened(&outcome.statistics)) {
            return;
        }
    }
    panic!("it happened in none of {ATTEMPTS} executions");
}

fn observe<B: blockloom_state::Base>(engine: &Engine, base: &B, block: &Block) -> Reference {
    let mut steps = Vec::new();
    let result = engine.execute_with(base, block, |CommittedStep { step, receipt, gas, changes, .. }| {
        steps.push(ObservedStep { step, receipt: receipt.cloned(), gas, changes });
        ControlFlow::Continue(())
    });
    Reference { result, steps }
}

fn compare_steps(name: &str, expected: &[ObservedStep], found: &[ObservedStep]) {
    for (expected, found) in expected.iter().zip(found) {
        let step = expected.step;
        assert_eq!(step, found.step, "{name}");
        assert_eq!(expected.receipt, found.receipt, "{name}: {step}");
        let difference = expected.changes.first_difference(&found.changes);
        assert_eq!(difference, None, "{name}: {step}: the changes differ");
        assert!(expected == found, "{name}: {step}: expected {expected:?}, found {found:?}");
    }
    assert_eq!(expected.len(), found.len(), "{name}: the number of steps");
}
