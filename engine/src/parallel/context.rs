//! What the threads of one block share.

use blockloom_state::{Memory, TxIndex};

use crate::{
    parallel::{records::Records, scheduler::Scheduler},
    policy::batching::Batch,
};

/// What the threads of one block share.
#[derive(Debug)]
pub(crate) struct BlockContext<'m, Y> {
    /// The multi-version memory.
    pub(crate) memory: &'m Memory,
    /// Which thread does what.
    pub(crate) scheduler: Scheduler,
    /// The records of speculative runs.
    pub(crate) records: Records<Y>,
}

impl<'m, Y: Send> BlockContext<'m, Y> {
    /// A context for a number of threads and the batches of a block, from the transaction `first` on.
    pub(crate) fn new(memory: &'m Memory, first: TxIndex, batches: &[Batch], threads: usize) -> Self {
        let scheduler = Scheduler::new(first, batches, threads);
        Self { memory, records: Records::new(scheduler.transactions()), scheduler }
    }

    /// Marks transactions stale, and empties the list. The slot writes of their records become predictions.
    pub(crate) fn report_stale(&self, stale: &mut Vec<TxIndex>) {
        if stale.is_empty() {
            return;
        }
        stale.iter().for_each(|index| self.records.mark_stale(*index));
        self.scheduler.stale(stale);
        stale.drain(..).for_each(|index| self.records.predict(self.memory, index));
    }
}

/// Stops the block when its thread leaves, with a panic or without, so that no thread waits for work that the
/// leaving thread would have done.
pub(crate) struct StopOnDrop<'s>(pub(crate) &'s Scheduler);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}
