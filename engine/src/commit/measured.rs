//! Blocks that start on the calling thread, and go on with helpers once they pay.

use std::{ops::Range, time::Duration};

use blockloom_state::{Base, CachedBase, TxIndex};

use crate::{
    block::{error::Reason, outcome::Outcome, steps::Steps},
    commit::{
        committer::BlockCommitter,
        parallel::{self, Resources, Rest},
        sequential::{self, Start},
    },
    evm::handling::Handling,
    parallel::thread_log::Recorder,
    policy::batching::{Batch, Effort},
};

/// Executes the batches in order on the calling thread. After each one `pays` receives it, its transactions, and
/// the time since the first transaction; once it returns true, the rest is executed with `resources`.
pub(crate) fn execute<'r, B: Base + ?Sized, H: Handling>(
    steps: &'r Steps<'r>,
    batches: &[Batch],
    mut committer: BlockCommitter<'r, '_, CachedBase<'r, B>, H>,
    mut pays: impl FnMut(&Batch, Range<usize>, Duration) -> bool,
    recorder: &'r Recorder,
    resources: impl FnOnce() -> Resources<'r, B, H>,
) -> Result<Outcome, Reason> {
    let mut start = Start::open(&mut committer, recorder)?;
    let (mut next, mut at_borders) = (0, Duration::ZERO);
    for (number, batch) in batches.iter().enumerate() {
        let of_batch = next..next + batch.transactions;
        next = of_batch.end;
        if batch.effort == Effort::Border {
            let (before, index) = (start.watch.elapsed(), TxIndex::new(of_batch.start));
            committer.run(index)?;
            start.log.ran_without_record(index);
            at_borders += start.watch.elapsed() - before;
            continue;
        }
        for index in of_batch.clone().map(TxIndex::new) {
            committer.run(index)?;
            start.log.ran_without_record(index);
        }
        let left = &batches[number + 1..];
        if !left.is_empty() && pays(batch, of_batch, start.watch.elapsed() - at_borders) {
            let rest = Rest::after(start, TxIndex::new(next), left);
            return parallel::execute(&resources(), steps, rest, committer);
        }
    }
    sequential::close(committer, steps.len(), start, recorder)
}
