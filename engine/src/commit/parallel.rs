//! Parallel execution of blocks, or of the rest of them: the calling thread commits, and helpers run ahead.
//!
//! The calling thread is the gate, and speculates as well. All threads borrow from its stack, so none outlives the
//! blocks.

use std::time::Duration;

use blockloom_state::{Base, CachedBase, Memory, TxIndex, sync::Mutex};

use revm::context_interface::result::ExecutionResult;

use crate::{
    block::{
        config::{TestMode, Timing},
        error::Reason,
        outcome::Outcome,
        statistics::{Phases, ThreadCounts},
        steps::Steps,
    },
    commit::committer::BlockCommitter,
    evm::{handling::Handling, speculator::EvmSpeculator},
    parallel::{
        context::{BlockContext, StopOnDrop},
        gate::{Gate, publish_committed},
        worker::Worker,
    },
    policy::{batching::Batch, publication::PublicationPolicy},
    threads::{clock::Stopwatch, pool::Workers},
};

/// What parallel execution needs beside the blocks.
pub(crate) struct Resources<'r, B: ?Sized, H> {
    pub(crate) base: &'r B,
    pub(crate) handling: &'r H,
    pub(crate) memory: &'r Memory,
    pub(crate) workers: &'r Workers,
    /// The number of threads, with the calling one.
    pub(crate) threads: usize,
    pub(crate) timing: Timing,
    pub(crate) test_mode: TestMode,
}

/// The part of the blocks that is executed in parallel.
pub(crate) struct Rest<'r> {
    /// Its first index. What is before it is committed.
    pub(crate) first: TxIndex,
    pub(crate) batches: &'r [Batch],
    /// The time of the opening, if the first block is opened already.
    pub(crate) opening: Option<Duration>,
    /// Started before the opening; or before the transactions, if the first block is opened already.
    pub(crate) watch: Stopwatch,
}

impl<'r> Rest<'r> {
    /// All of it; the first block is not opened yet.
    pub(crate) fn all(batches: &'r [Batch]) -> Self {
        Self { first: TxIndex::new(0), batches, opening: None, watch: Stopwatch::start() }
    }
}

/// Executes the rest of the blocks.
pub(crate) fn execute<'r, B: Base + ?Sized, H: Handling>(
    resources: &Resources<'r, B, H>,
    steps: &'r Steps<'r>,
    rest: &Rest<'_>,
    mut committer: BlockCommitter<'r, '_, CachedBase<'r, B>, H>,
) -> Result<Outcome, Reason> {
    let Resources { base, handling, memory, workers, threads, timing, test_mode } = *resources;
    let context = BlockContext::new(memory, rest.first, rest.batches, threads, timing);
    committer.join_memory(memory);
    if rest.opening.is_some() {
        // Before the first speculative run: it reads what the transactions so far have written.
        publish_committed(&context, &mut committer);
    }
    let policy = match test_mode {
        TestMode::EarlyDeferral => PublicationPolicy::early(),
        _ => PublicationPolicy::default(),
    };
    let speculator = || EvmSpeculator::new(steps, memory, base, handling.clone());
    let worker = || Worker::new(&context, speculator);
    let counts = Mutex::new(Vec::new());
    let result = workers.run_with_helpers(
        threads - 1,
        || {
            let mut worker = worker();
            worker.work();
            counts.lock().push(worker.counts);
        },
        || {
            let _stop = StopOnDrop(&context.scheduler);
            lead(&context, rest, committer, worker(), policy)
        },
    );
    let (mut outcome, own_counts) = result?;
    let before = ThreadCounts { at_gate: rest.first.get() as u64, ..ThreadCounts::default() };
    for counts in [before, own_counts].iter().chain(&*counts.lock()) {
        outcome.statistics.add(counts);
    }
    let busy_helpers = counts.lock().iter().filter(|counts| counts.speculative > 0).count();
    outcome.statistics.threads = threads;
    outcome.statistics.threads_used = 1 + busy_helpers;
    outcome.statistics.widest_window = context.scheduler.widest_window();
    outcome.statistics.farthest_batch = context.scheduler.farthest_batch();
    Ok(outcome)
}

/// The calling thread's part. Also returns its counts.
fn lead<'c, B: Base + ?Sized, H: Handling, F: Fn() -> EvmSpeculator<'c, B, H>>(
    context: &'c BlockContext<'c, ExecutionResult>,
    rest: &Rest<'_>,
    mut committer: BlockCommitter<'_, '_, CachedBase<'_, B>, H>,
    worker: Worker<'c, EvmSpeculator<'c, B, H>, ExecutionResult, F>,
    policy: PublicationPolicy,
) -> Result<(Outcome, ThreadCounts), Reason> {
    let mut watch = rest.watch;
    let opening = match rest.opening {
        Some(opening) => opening,
        None => {
            committer.open()?;
            publish_committed(context, &mut committer);
            watch.lap()
        }
    };
    let mut gate = Gate::new(context, &mut committer, worker, policy);
    gate.run()?;
    let counts = gate.worker.counts;
    let transactions = watch.lap();
    let mut outcome = committer.close()?;
    outcome.statistics.phases = Phases { opening, transactions, closing: watch.lap() };
    Ok((outcome, counts))
}
