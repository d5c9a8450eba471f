//! A toy machine on the real scheduler, gate, workers, memory, view and overlay.
//!
//! Its transactions are short programs over a few slots and balances, with reads that decide later reads, additions,
//! predicates and failures. Its speculative runs misbehave at random: they give up, panic, take long, or await another
//! transaction. An oracle runs the same programs on plain maps, one after the other.

mod machine;
#[cfg(feature = "shuttle")]
mod model;
mod oracle;
mod program;
#[cfg(not(feature = "shuttle"))]
mod properties;

use blockloom_fixtures::Random;
use blockloom_state::{CachedBase, Memory, MemoryStore, Overlay, TxIndex};

use crate::{
    parallel::{
        context::{BlockContext, StopOnDrop},
        gate::{Gate, publish_committed},
        thread_log::Recorder,
        traits::Committer as _,
        worker::Worker,
    },
    policy::publication::PublicationPolicy,
    threads::pool::Workers,
    toy::{
        machine::{Misbehaviour, ToyCommitter, ToySpeculator},
        program::{Toy, Yield},
    },
};

/// The outcome of a block of toys.
#[derive(Debug)]
struct ToyOutcome {
    /// What each committed transaction yielded.
    yields: Vec<Yield>,
    /// The first invalid transaction.
    invalid: Option<usize>,
    /// The state after the block.
    after: MemoryStore,
}

/// Executes a block of toys with the engine's own parts.
fn run(
    toy: &Toy,
    workers: &Workers,
    threads: usize,
    misbehaviour: Misbehaviour,
    memory: &Memory,
) -> ToyOutcome {
    let policy = if misbehaviour.seed.is_multiple_of(2) {
        PublicationPolicy::early()
    } else {
        PublicationPolicy::default()
    };
    let base = toy.base();
    let first = toy.prefix(Random::new(misbehaviour.seed));
    let batches = toy.batches(first, Random::new(misbehaviour.seed));
    let recorder = Recorder::off();
    let context = BlockContext::new(memory, TxIndex::new(first), &batches, threads);
    let speculator = || ToySpeculator::new(toy, memory, &base, misbehaviour);
    let worker = || Worker::new(&context, speculator, recorder.log());
    let overlay = Overlay::new(CachedBase::alone(&base));
    let mut committer = ToyCommitter { toy, overlay, yields: Vec::new() };
    toy.predict(memory, &base, Random::new(misbehaviour.seed));
    let prefix = (0..first).map(TxIndex::new).try_for_each(|index| committer.run(index));
    let result = prefix.and_then(|()| {
        committer.overlay.join_memory(memory);
        publish_committed(&context, &mut committer);
        workers.run_with_helpers(
            threads - 1,
            || worker().work(),
            || {
                let _stop = StopOnDrop(&context.scheduler);
                Gate::new(&context, &mut committer, worker(), policy).run()
            },
        )
    });
    let ToyCommitter { overlay, yields, .. } = committer;
    let mut after = base.clone();
    after.apply(&overlay.into_changes()).expect("the changes are made on this base");
    ToyOutcome { yields, invalid: result.err(), after }
}
