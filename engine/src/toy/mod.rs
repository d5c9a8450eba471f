//! A toy machine on the shipped scheduler, gate, workers, memory, view and overlay.
//!
//! Its transactions are short programs over a few slots and balances, with reads that decide later
//! reads, additions, predicates and failures; its speculative runs are moody: they give up, panic,
//! dawdle or wait for somebody, each as a dice of the run says. An oracle runs the same programs on
//! plain maps, one after the other.

mod dice;
mod machine;
#[cfg(feature = "shuttle")]
mod model;
mod oracle;
mod program;
#[cfg(not(feature = "shuttle"))]
mod properties;

use blockloom_state::{Keeping, Memory, MemoryStore, Overlay, CachedBase};

use crate::{
    block::config::{Spread, Timing},
    parallel::{
        gate::Gate,
        worker::{Loom, StopOnDrop, Worker},
    },
    threads::pool::Workers,
    toy::{
        dice::Dice,
        machine::{Moods, ToyCommitter, ToySpeculator},
        program::{Toy, Yield},
    },
};

/// What came of a block of toys.
#[derive(Debug)]
struct ToyOutcome {
    /// What each committed transaction yielded.
    yields: Vec<Yield>,
    /// The first transaction that is invalid, if one is.
    refused: Option<usize>,
    /// The state in the end, as the store has it.
    after: MemoryStore,
}

/// Runs a block of toys with the engine's own parts.
fn run(toy: &Toy, workers: &Workers, threads: usize, moods: Moods, memory: &Memory) -> ToyOutcome {
    let spread = if moods.seed.is_multiple_of(2) { Spread::Hushed } else { Spread::Always };
    let base = toy.base();
    let loom = Loom::new(memory, &toy.cuts(Dice::new(moods.seed)), threads, Timing::Phases);
    let worker = || Worker::new(&loom, || ToySpeculator::new(toy, memory, &base, moods));
    let mut overlay = Overlay::new(CachedBase::new(memory, &base));
    overlay.keep(Keeping::Kept);
    let mut committer = ToyCommitter { toy, overlay, yields: Vec::new() };
    toy.predict(memory, &base, Dice::new(moods.seed));
    let result = workers.run_with_helpers(
        threads - 1,
        || worker().work(),
        || {
            let _stop = StopOnDrop(&loom.scheduler);
            Gate::new(&loom, &mut committer, worker(), spread).run()
        },
    );
    let ToyCommitter { overlay, yields, .. } = committer;
    let mut after = base.clone();
    after.apply(&overlay.into_changes()).expect("the changes are made on this base");
    ToyOutcome { yields, refused: result.err(), after }
}
