//! Sequential execution: the reference.

use std::time::Duration;

use blockloom_state::{Base, Overlay, TxIndex};

use crate::{
    block::{
        error::Reason,
        outcome::Outcome,
        statistics::{Phases, Statistics},
        trace::TraceEventKind,
    },
    commit::committer::BlockCommitter,
    evm::{handling::Handling, watch::Watch},
    parallel::thread_log::{Recorder, ThreadLog},
    threads::clock::Stopwatch,
};

/// Executes blocks on the calling thread; `steps` is the number of their steps with an index.
pub(crate) fn execute<'a, B: Base, H: Handling, W: Watch<'a, Overlay<B>>>(
    mut committer: BlockCommitter<'a, '_, B, H, W>,
    steps: usize,
    recorder: &Recorder,
) -> Result<Outcome, Reason> {
    let mut start = Start::open(&mut committer, recorder)?;
    for index in (0..steps).map(TxIndex::new) {
        committer.run(index)?;
        start.log.ran_without_record(index);
    }
    close(committer, steps, start, recorder)
}

/// Blocks that start on the calling thread: the first one is open.
pub(crate) struct Start {
    /// The time of the opening.
    pub(crate) opening: Duration,
    /// Started after it.
    pub(crate) watch: Stopwatch,
    /// What the thread notes.
    pub(crate) log: ThreadLog,
}

impl Start {
    /// Opens the first block.
    pub(crate) fn open<'a, B: Base, H: Handling, W: Watch<'a, Overlay<B>>>(
        committer: &mut BlockCommitter<'a, '_, B, H, W>,
        recorder: &Recorder,
    ) -> Result<Self, Reason> {
        let (mut watch, mut log) = (Stopwatch::start(), recorder.log());
        log.start();
        committer.open()?;
        log.end(|| TraceEventKind::Opening);
        Ok(Self { opening: watch.lap(), watch, log })
    }
}

/// Closes the last block after all steps were executed on the calling thread.
pub(crate) fn close<'a, B: Base, H: Handling, W: Watch<'a, Overlay<B>>>(
    committer: BlockCommitter<'a, '_, B, H, W>,
    steps: usize,
    Start { opening, mut watch, mut log }: Start,
    recorder: &Recorder,
) -> Result<Outcome, Reason> {
    let in_transactions = watch.lap();
    let mut outcome = committer.close()?;
    log.end(|| TraceEventKind::Closing);
    let runs = steps as u64;
    outcome.statistics = Statistics {
        threads: 1,
        threads_used: 1,
        incarnations: runs,
        at_gate: runs,
        phases: Phases { opening, transactions: in_transactions, closing: watch.lap() },
        time_at_gate: log.at_gate,
        ..Statistics::default()
    };
    recorder.collect(log);
    Ok(outcome)
}

/// Executes a block on the calling thread and returns the time of each step: the opening, each transaction, and the
/// closing.
pub(crate) fn timed<B: Base, H: Handling>(
    mut committer: BlockCommitter<'_, '_, B, H>,
    transactions: usize,
) -> Result<Vec<Duration>, Reason> {
    let mut laps = Vec::with_capacity(transactions + 2);
    let mut watch = Stopwatch::start();
    committer.open()?;
    laps.push(watch.lap());
    for position in 0..transactions {
        committer.run(TxIndex::new(position))?;
        laps.push(watch.lap());
    }
    committer.close()?;
    laps.push(watch.lap());
    Ok(laps)
}
