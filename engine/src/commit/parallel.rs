//! Parallel execution of blocks, or of the rest of them: the calling thread commits, and helpers run ahead.
//!
//! The calling thread is the gate, and speculates as well. All threads borrow from its stack, so none outlives the
//! blocks.

use std::time::Duration;

use blockloom_state::{Base, CachedBase, Memory, TxIndex, sync::Mutex};

use revm::context_interface::result::ExecutionResult;

use crate::{
    block::{
        config::TestMode,
        error::Reason,
        outcome::Outcome,
        statistics::{Phases, ThreadCounts},
        steps::Steps,
        trace::TraceEventKind,
    },
    commit::{committer::BlockCommitter, sequential::Start},
    evm::{handling::Handling, speculator::EvmSpeculator},
    parallel::{
        context::{BlockContext, StopOnDrop},
        gate::{Gate, publish_committed},
        thread_log::{Recorder, ThreadLog},
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
    pub(crate) recorder: &'r Recorder,
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
    /// What the calling thread has noted.
    pub(crate) log: ThreadLog,
}

impl<'r> Rest<'r> {
    /// All of it; the first block is not opened yet.
    pub(crate) fn all(batches: &'r [Batch], recorder: &Recorder) -> Self {
        let (watch, log) = (Stopwatch::start(), recorder.log());
        Self { first: TxIndex::new(0), batches, opening: None, watch, log }
    }

    /// From `first` on, after a start on the calling thread.
    pub(crate) fn after(Start { opening, watch, log }: Start, first: TxIndex, batches: &'r [Batch]) -> Self {
        Self { first, batches, opening: Some(opening), watch, log }
    }
}

/// Executes the rest of the blocks.
pub(crate) fn execute<'r, B: Base + ?Sized, H: Handling>(
    resources: &Resources<'r, B, H>,
    steps: &'r Steps<'r>,
    rest: Rest<'_>,
    mut committer: BlockCommitter<'r, '_, CachedBase<'r, B>, H>,
) -> Result<Outcome, Reason> {
    let Resources { base, handling, memory, workers, threads, recorder, test_mode } = *resources;
    let Rest { first, batches, opening, watch, log } = rest;
    let context = BlockContext::new(memory, first, batches, threads);
    committer.join_memory(memory);
    if opening.is_some() {
        // Before the first speculative run: it reads what the transactions so far have written.
        publish_committed(&context, &mut committer);
    }
    let policy = match test_mode {
        TestMode::EarlyDeferral => PublicationPolicy::early(),
        _ => PublicationPolicy::default(),
    };
    let speculator = || EvmSpeculator::new(steps, memory, base, handling.clone());
    let worker = |log| Worker::new(&context, speculator, log);
    let counts = Mutex::new(Vec::new());
    let result = workers.run_with_helpers(
        threads - 1,
        || {
            let mut worker = worker(recorder.log());
            worker.work();
            let (own, log) = worker.finish();
            counts.lock().push(own);
            recorder.collect(log);
        },
        || {
            let _stop = StopOnDrop(&context.scheduler);
            lead(&context, opening, watch, committer, worker(log), policy)
        },
    );
    let (mut outcome, own_counts, log) = result?;
    recorder.collect(log);
    let before = ThreadCounts { at_gate: first.get() as u64, ..ThreadCounts::default() };
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

/// The calling thread's part. Also returns its counts and its log.
fn lead<'c, B: Base + ?Sized, H: Handling, F: Fn() -> EvmSpeculator<'c, B, H>>(
    context: &'c BlockContext<'c, ExecutionResult>,
    opening: Option<Duration>,
    mut watch: Stopwatch,
    mut committer: BlockCommitter<'_, '_, CachedBase<'_, B>, H>,
    mut worker: Worker<'c, EvmSpeculator<'c, B, H>, ExecutionResult, F>,
    policy: PublicationPolicy,
) -> Result<(Outcome, ThreadCounts, ThreadLog), Reason> {
    let opening = match opening {
        Some(opening) => opening,
        None => {
            worker.log.start();
            committer.open()?;
            publish_committed(context, &mut committer);
            worker.log.end(|| TraceEventKind::Opening);
            watch.lap()
        }
    };
    let mut gate = Gate::new(context, &mut committer, worker, policy);
    gate.run()?;
    let (counts, mut log) = gate.worker.finish();
    let transactions = watch.lap();
    log.start();
    let mut outcome = committer.close()?;
    log.end(|| TraceEventKind::Closing);
    outcome.statistics.phases = Phases { opening, transactions, closing: watch.lap() };
    Ok((outcome, counts, log))
}
