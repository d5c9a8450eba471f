//! Sets the table for executing a block in parallel: the memory, the workers, the gate.
//!
//! The calling thread is the gate, and runs transactions as well; the other threads run ahead of
//! it. All of them borrow from the calling thread's stack, so that none outlives the block.

use blockloom_state::{Base, CachedBase, Memory, Portion, Publication, Record, Writer, sync::Mutex};

use revm::context_interface::result::ExecutionResult;

use crate::{
    block::{
        block::Block,
        config::{Spread, Timing},
        error::Reason,
        outcome::Outcome,
        statistics::{Phases, ThreadCounts},
    },
    commit::committer::BlockCommitter,
    evm::{handling::Handling, speculator::EvmSpeculator},
    parallel::{
        context::{BlockContext, StopOnDrop},
        gate::Gate,
        traits::Committer as _,
        worker::Worker,
    },
    policy::{batching::Batch, publication::PublicationPolicy},
    threads::{clock::Stopwatch, pool::Workers},
};

/// What executing in parallel needs beside the block.
pub(crate) struct Table<'t, B, H> {
    pub(crate) base: &'t B,
    pub(crate) handling: &'t H,
    pub(crate) memory: &'t Memory,
    pub(crate) workers: &'t Workers,
    /// How many threads execute, the calling one among them.
    pub(crate) threads: usize,
    pub(crate) timing: Timing,
    pub(crate) spread: Spread,
}

/// Takes a block that is cut so along its course, with `table.threads` threads.
pub(crate) fn execute<'t, B: Base, H: Handling>(
    table: &Table<'t, B, H>,
    block: &'t Block,
    cuts: &[Batch],
    mut course: BlockCommitter<'t, '_, CachedBase<'t, B>, H>,
) -> Result<Outcome, Reason> {
    course.set_publication(Publication::Immediate);
    let loom = BlockContext::new(table.memory, cuts, table.threads, table.timing);
    let speculator = || EvmSpeculator::new(block, table.memory, table.base, table.handling.clone());
    let worker = || Worker::new(&loom, speculator);
    let counts = Mutex::new(Vec::new());
    let result = table.workers.run_with_helpers(
        table.threads - 1,
        || {
            let mut worker = worker();
            worker.work();
            counts.lock().push(worker.counts);
        },
        || {
            let _stop = StopOnDrop(&loom.scheduler);
            lead(&loom, course, worker(), table.spread, &counts)
        },
    );
    let (mut outcome, phases) = result?;
    outcome.statistics.phases = phases;
    for counts in counts.lock().iter() {
        outcome.statistics.add(counts);
    }
    outcome.statistics.threads = table.threads;
    outcome.statistics.widest_window = loom.scheduler.widest_window();
    Ok(outcome)
}

/// What the calling thread does.
fn lead<'l, B: Base, H: Handling, F: Fn() -> EvmSpeculator<'l, B, H>>(
    loom: &'l BlockContext<'l, ExecutionResult>,
    mut course: BlockCommitter<'_, '_, CachedBase<'_, B>, H>,
    worker: Worker<'l, EvmSpeculator<'l, B, H>, ExecutionResult, F>,
    spread: Spread,
    counts: &Mutex<Vec<ThreadCounts>>,
) -> Result<(Outcome, Phases), Reason> {
    let mut watch = Stopwatch::start();
    course.open()?;
    if loom.memory.is_publishing() {
        let (mut effects, mut stale) = (Record::default(), Vec::new());
        course.take_effects(loom.memory, Portion::Recent, &mut effects);
        loom.memory.publish(Writer::Opening, &effects, None, &mut stale);
        loom.report_stale(&mut stale);
    }
    let opening = watch.lap();
    let mut gate = Gate::new(
        loom,
        &mut course,
        worker,
        if spread == Spread::Hushed { PublicationPolicy::early() } else { PublicationPolicy::default() },
    );
    gate.run()?;
    counts.lock().push(gate.worker.counts);
    let transactions = watch.lap();
    let outcome = course.close()?;
    Ok((outcome, Phases { opening, transactions, closing: watch.lap() }))
}
