//! The reference: a block's transactions, one after the other.

use std::time::Duration;

use blockloom_state::{Base, TxIndex};

use crate::{
    block::{
        error::Reason,
        outcome::Outcome,
        statistics::{Phases, Statistics},
    },
    commit::committer::BlockCommitter,
    evm::handling::Handling,
    threads::clock::Stopwatch,
};

/// Takes a block along its course, one transaction after the other.
pub(crate) fn execute<B: Base, H: Handling>(
    mut course: BlockCommitter<'_, '_, B, H>,
    transactions: usize,
) -> Result<Outcome, Reason> {
    let mut watch = Stopwatch::start();
    course.open()?;
    let opening = watch.lap();
    for position in 0..transactions {
        course.run(TxIndex::new(position))?;
    }
    let in_transactions = watch.lap();
    let mut outcome = course.close()?;
    let runs = transactions as u64;
    outcome.statistics = Statistics {
        threads: 1,
        incarnations: runs,
        at_gate: runs,
        phases: Phases { opening, transactions: in_transactions, closing: watch.lap() },
        ..Statistics::default()
    };
    Ok(outcome)
}

/// Takes a block along its course and returns the time of each step: what happens before the
/// transactions, each transaction, and what happens after them.
pub(crate) fn timed<B: Base, H: Handling>(
    mut course: BlockCommitter<'_, '_, B, H>,
    transactions: usize,
) -> Result<Vec<Duration>, Reason> {
    let mut laps = Vec::with_capacity(transactions + 2);
    let mut watch = Stopwatch::start();
    course.open()?;
    laps.push(watch.lap());
    for position in 0..transactions {
        course.run(TxIndex::new(position))?;
        laps.push(watch.lap());
    }
    course.close()?;
    laps.push(watch.lap());
    Ok(laps)
}
