//! Sequential execution: the reference.

use std::time::Duration;

use blockloom_state::{Base, Overlay, TxIndex};

use crate::{
    block::{
        error::Reason,
        outcome::Outcome,
        statistics::{Phases, Statistics},
    },
    commit::committer::BlockCommitter,
    evm::{handling::Handling, watch::Watch},
    threads::clock::Stopwatch,
};

/// Executes blocks on the calling thread; `steps` is the number of their steps with an index.
pub(crate) fn execute<'a, B: Base, H: Handling, W: Watch<'a, Overlay<B>>>(
    mut committer: BlockCommitter<'a, '_, B, H, W>,
    steps: usize,
) -> Result<Outcome, Reason> {
    let mut watch = Stopwatch::start();
    committer.open()?;
    let opening = watch.lap();
    for index in 0..steps {
        committer.run(TxIndex::new(index))?;
    }
    close(committer, steps, opening, watch)
}

/// Closes the last block after all steps were executed on the calling thread. The `watch` was started before them.
pub(crate) fn close<'a, B: Base, H: Handling, W: Watch<'a, Overlay<B>>>(
    committer: BlockCommitter<'a, '_, B, H, W>,
    steps: usize,
    opening: Duration,
    mut watch: Stopwatch,
) -> Result<Outcome, Reason> {
    let in_transactions = watch.lap();
    let mut outcome = committer.close()?;
    let runs = steps as u64;
    outcome.statistics = Statistics {
        threads: 1,
        threads_used: 1,
        incarnations: runs,
        at_gate: runs,
        phases: Phases { opening, transactions: in_transactions, closing: watch.lap() },
        ..Statistics::default()
    };
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
