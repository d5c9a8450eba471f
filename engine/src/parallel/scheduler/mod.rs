//! The scheduler: which thread runs which batch of transactions, and which batch waits for which.
//!
//! Owns the schedule behind one lock. Knows indices and incarnations only: no EVM, no values. Promises that a batch is
//! run by one thread at a time, that the gate gets the frontier and nothing else, and that a waiting thread is woken:
//! a change of the schedule that creates work notifies a thread that waits.

pub(crate) mod batch;
pub(crate) mod priority;
pub(crate) mod status;
pub(crate) mod wakeup;
pub(crate) mod window;

use std::ops::Range;

use blockloom_state::{
    Publication, TxIndex,
    sync::{AtomicBool, Ordering},
};

use crate::{
    parallel::scheduler::{
        batch::{Attempt, BatchIndex, Batches},
        priority::Claimant,
        status::{AttemptStatus, CommittedBy, GateStep, Schedule, StaleBatch},
        wakeup::{NextAction, SharedSchedule},
    },
    policy::batching::Batch,
};

/// The scheduler of one block.
#[derive(Debug)]
pub(crate) struct Scheduler {
    shared: SharedSchedule,
    batches: Batches,
    /// For each batch, whether its attempt is stale and should abort.
    stale_flags: Vec<AtomicBool>,
}

/// Consecutive batches that only the gate runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GateBatches {
    /// The indices of their transactions.
    pub(crate) transactions: Range<usize>,
    /// How many batches there are: at least one.
    pub(crate) count: usize,
}

/// What the gate does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum GateTask {
    /// Commit the frontier: validate its records, run the rest. Also says when speculative runs will read the
    /// effects.
    Commit(Attempt, Publication),
    /// Run these batches, which no speculative run has touched or will touch.
    Run(GateBatches, Publication),
    /// A worker runs the frontier: run this batch meanwhile.
    Speculate(Attempt),
    /// Everything is committed.
    Done,
    /// The block was stopped.
    Stopped,
}

impl Scheduler {
    /// A scheduler for a number of threads and the batches of a block, from the transaction `first` on.
    pub(crate) fn new(first: TxIndex, batches: &[Batch], threads: usize) -> Self {
        Self {
            batches: Batches::new(first, batches),
            stale_flags: batches.iter().map(|_| AtomicBool::new(false)).collect(),
            shared: SharedSchedule::new(Schedule::new(batches, threads)),
        }
    }

    /// How many transactions there are.
    pub(crate) fn transactions(&self) -> usize {
        self.batches.transactions()
    }

    /// The transactions of a batch, in order.
    pub(crate) fn transactions_of(&self, batch: BatchIndex) -> impl Iterator<Item = TxIndex> + use<> {
        self.batches.transactions_of(batch)
    }

    /// Whether the attempt at a batch is stale and should abort.
    pub(crate) fn stale_flag(&self, batch: BatchIndex) -> &AtomicBool {
        &self.stale_flags[batch.get()]
    }

    /// The largest reach of the window so far.
    pub(crate) fn widest_window(&self) -> usize {
        self.shared.lock().schedule().window.widest()
    }

    /// The longest distance between the frontier and a batch that was handed out.
    pub(crate) fn farthest_batch(&self) -> usize {
        self.shared.lock().schedule().farthest
    }

    /// The next batch for a worker. Waits until there is one; returns `None` once the block is over.
    pub(crate) fn next(&self, waits: &mut u64) -> Option<Attempt> {
        self.shared.find(Claimant::Worker, waits, |schedule| {
            schedule.note_worker();
            let claimed = schedule.claim(Claimant::Worker);
            claimed.inspect(|attempt| self.clear_stale_flag(*attempt));
            (claimed.is_some() || schedule.is_over()).then_some(claimed)
        })
    }

    /// The next batch for a worker, if there is one now.
    #[cfg(not(feature = "shuttle"))]
    #[cfg(test)]
    pub(crate) fn try_next(&self) -> Option<Attempt> {
        let mut locked = self.shared.lock();
        locked.schedule().note_worker();
        let claimed = locked.schedule().claim(Claimant::Worker);
        claimed.inspect(|attempt| self.clear_stale_flag(*attempt))
    }

    /// The next task of the gate, after the frontier was `committed`. Waits until there is one.
    pub(crate) fn at_gate(&self, committed: Option<CommittedBy>, waits: &mut u64) -> GateTask {
        if let Some(by) = committed {
            let mut locked = self.shared.lock();
            locked.schedule().committed(by);
            let task = self.gate_task(locked.schedule());
            locked.notify(NextAction::Other);
            if let Some(task) = task {
                return task;
            }
        }
        self.shared.find(Claimant::Gate, waits, |schedule| self.gate_task(schedule))
    }

    fn gate_task(&self, schedule: &mut Schedule) -> Option<GateTask> {
        if schedule.is_done() {
            return Some(GateTask::Done);
        }
        if schedule.is_over() {
            return Some(GateTask::Stopped);
        }
        match schedule.at_gate() {
            GateStep::Commit(attempt) => Some(GateTask::Commit(attempt, schedule.publication())),
            GateStep::Run(batches) => {
                let transactions = self.batches.transactions_of_range(&batches);
                let batches = GateBatches { transactions, count: batches.len() };
                Some(GateTask::Run(batches, schedule.publication()))
            }
            GateStep::RunsElsewhere => {
                let claimed = schedule.claim(Claimant::Gate);
                claimed.inspect(|attempt| self.clear_stale_flag(*attempt)).map(GateTask::Speculate)
            }
        }
    }

    fn clear_stale_flag(&self, attempt: Attempt) {
        // ORDER: Relaxed: set and cleared under the lock only; a run reads it without.
        self.stale_flags[attempt.batch.get()].store(false, Ordering::Relaxed);
    }

    fn set_stale_flag(&self, batch: BatchIndex) {
        // ORDER: Relaxed: a run that sees it later only takes longer.
        self.stale_flags[batch.get()].store(true, Ordering::Relaxed);
    }

    /// An attempt has completed, and is published.
    pub(crate) fn ran(&self, attempt: Attempt) -> AttemptStatus {
        let mut locked = self.shared.lock();
        let status = locked.schedule().ran(attempt);
        locked.notify(NextAction::FindWork);
        status
    }

    /// An attempt met a prediction of transaction `on`.
    pub(crate) fn blocked(&self, attempt: Attempt, on: TxIndex) {
        self.report(|schedule| schedule.blocked(attempt, self.batches.batch_of(on)));
    }

    /// An attempt was aborted because it was stale.
    pub(crate) fn aborted(&self, attempt: Attempt) {
        self.report(|schedule| schedule.aborted(attempt));
    }

    /// A run of an attempt failed, or needs the committed state.
    pub(crate) fn gave_up(&self, attempt: Attempt) {
        self.report(|schedule| schedule.gave_up(attempt));
    }

    /// Reports how an attempt ended that did not complete.
    fn report(&self, how: impl FnOnce(&mut Schedule)) {
        let mut locked = self.shared.lock();
        how(locked.schedule());
        locked.notify(NextAction::FindWork);
    }

    /// Reads of these transactions no longer hold.
    pub(crate) fn stale(&self, indices: &[TxIndex]) {
        let mut locked = self.shared.lock();
        let mut before = None;
        for batch in indices.iter().map(|index| self.batches.batch_of(*index)) {
            // Several transactions of one batch mostly follow each other.
            if before.replace(batch) != Some(batch) && locked.schedule().stale(batch) == StaleBatch::Abort {
                self.set_stale_flag(batch);
            }
        }
        locked.notify(NextAction::Other);
    }

    /// Validation found a record of the frontier stale that was not marked stale.
    pub(crate) fn found_stale(&self) {
        self.shared.lock().schedule().found_stale();
    }

    /// Ends the block: running attempts abort, waiting threads wake up.
    pub(crate) fn stop(&self) {
        let mut locked = self.shared.lock();
        for batch in locked.schedule().stop() {
            self.set_stale_flag(batch);
        }
        locked.notify(NextAction::Other);
    }
}

#[cfg(not(feature = "shuttle"))]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::batching::Effort;

    fn scheduler() -> Scheduler {
        Scheduler::new(TxIndex::new(0), &[Batch::single(Effort::Heavy); 2], 2)
    }

    fn is_stale(scheduler: &Scheduler, batch: BatchIndex) -> bool {
        scheduler.stale_flag(batch).load(Ordering::Relaxed)
    }

    #[test]
    fn a_running_attempt_is_marked_stale_and_the_next_one_is_not() {
        let scheduler = scheduler();
        let [first, second] = [(); 2].map(|()| scheduler.try_next().expect("it is ready"));
        assert_eq!(scheduler.ran(second), AttemptStatus::Current);
        scheduler.stale(&[TxIndex::new(0), TxIndex::new(1)]);
        assert!(is_stale(&scheduler, first.batch), "it runs");
        assert!(!is_stale(&scheduler, second.batch), "it has run");
        scheduler.aborted(first);
        let again = scheduler.try_next().expect("it is ready again");
        assert_eq!(again.batch, first.batch);
        assert!(!is_stale(&scheduler, again.batch));
    }

    #[test]
    fn a_record_that_validation_finds_stale_shrinks_the_window() {
        let scheduler = scheduler();
        let reach = || scheduler.shared.lock().schedule().window.reach();
        let widest = reach();
        assert!(matches!(scheduler.at_gate(None, &mut 0), GateTask::Commit(..)));
        scheduler.found_stale();
        assert!(reach() < widest);
        assert_eq!(scheduler.widest_window(), widest);
    }
}
