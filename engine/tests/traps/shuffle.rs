//! One block, executed again and again: sequentially, then with several thread counts on a base
//! whose answers take an unpredictable time. All must agree.

use std::{ops::ControlFlow, sync::LazyLock};

use blockloom_engine::{Block, BlockError, Engine, Outcome, Place, Receipt, Step};
use blockloom_fuzz::{Dawdling, difference, engine_on, engines};
use blockloom_state::{Changes, MemoryStore};
use revm::context_interface::result::ResultGas;

/// How often each thread count executes a block; in every other round a callback is told of each step.
const ROUNDS: u64 = 4;

/// The engines keep their threads and memories from block to block, as a client's would. They use
/// all their threads however small a block is.
static ENGINES: LazyLock<Vec<Engine>> = LazyLock::new(engines);

/// What a block came to, and the steps that led there.
#[derive(Debug)]
pub(crate) struct Reference {
    pub(crate) result: Result<Outcome, BlockError>,
    pub(crate) steps: Vec<Told>,
}

/// A step as a callback was told of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Told {
    pub(crate) place: Place,
    pub(crate) receipt: Option<Receipt>,
    pub(crate) gas: ResultGas,
    pub(crate) changes: Changes,
}

/// Executes a block in every way there is and returns what all of them say.
pub(crate) fn agree(base: &MemoryStore, block: &Block) -> Reference {
    let sequential = engine_on(1);
    let reference = told(&sequential, base, block);
    let untold = sequential.execute(base, block);
    assert_eq!(difference(&reference.result, &untold), None, "one thread, nobody told");
    for engine in ENGINES.iter() {
        for round in 0..ROUNDS {
            let name = format!("{} threads, round {round}", engine.threads());
            let shuffled = Dawdling { base, seed: round << 8 | engine.threads() as u64 };
            if round % 2 == 0 {
                let found = engine.execute(&shuffled, block);
                assert_eq!(difference(&reference.result, &found), None, "{name}");
                if let Ok(outcome) = found {
                    assert_eq!(outcome.statistics.threads, engine.threads(), "{name}: not in parallel");
                }
            } else {
                let found = told(engine, &shuffled, block);
                compare_steps(&name, &reference.steps, &found.steps);
                assert_eq!(difference(&reference.result, &found.result), None, "{name}");
            }
        }
    }
    reference
}

fn told<B: blockloom_state::Base>(engine: &Engine, base: &B, block: &Block) -> Reference {
    let mut steps = Vec::new();
    let result = engine.execute_with(base, block, |Step { place, receipt, gas, changes }| {
        steps.push(Told { place, receipt: receipt.cloned(), gas, changes });
        ControlFlow::Continue(())
    });
    Reference { result, steps }
}

fn compare_steps(name: &str, expected: &[Told], found: &[Told]) {
    for (expected, found) in expected.iter().zip(found) {
        let place = expected.place;
        assert_eq!(place, found.place, "{name}");
        assert_eq!(expected.receipt, found.receipt, "{name}: {place}");
        let difference = expected.changes.first_difference(&found.changes);
        assert_eq!(difference, None, "{name}: {place}: the changes differ");
        assert!(expected == found, "{name}: {place}: expected {expected:?}, found {found:?}");
    }
    assert_eq!(expected.len(), found.len(), "{name}: the number of steps");
}
