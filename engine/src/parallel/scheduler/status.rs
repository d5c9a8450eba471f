//! The status of each batch, and its transitions. Pure: no locks.
//!
//! ```text
//!          claim            ran             at_gate
//!  Ready ─────────▶ Running ───▶ Ran ───────────────────▶ AtGate ─▶ Committed
//!   ▲ ▲               │ │ stale   │ stale                    ▲
//!   │ │               │ ▼         │                          │ at_gate
//!   │ │               │ Stale     │          Ready, Waiting, GateOnly, Stale
//!   │ │               ▼   │       │
//!   │ └── Waiting ◀─ blocked, or ran ◀─
//!   └──── GateOnly ◀─ gave_up
//! ```
//!
//! Only the frontier comes to the gate. Waiting ends when the awaited batch has run or is committed. A batch that is
//! `GateOnly` runs at the gate. The report of an attempt whose batch the gate took over (`Stale`, then `AtGate`) is
//! ignored, because it is not the latest attempt any more. While the window is closed, the gate takes several `Ready`
//! batches at once.

use std::ops::Range;

use blockloom_state::{Incarnation, Publication};

use crate::{
    parallel::scheduler::{
        batch::{Attempt, BatchIndex},
        priority::{Candidate, Claimant, Horizon, ReadyQueue},
        window::Window,
    },
    policy::batching::Batch,
};

/// The status of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    /// It may run ahead.
    Ready,
    /// A worker runs it.
    Running,
    /// A worker runs it, and the run is stale.
    Stale,
    /// It has run, and is not known to be stale.
    Ran,
    /// It needs a write that this batch is expected to make.
    Waiting(BatchIndex),
    /// It can only run on committed state.
    GateOnly,
    /// The gate has it.
    AtGate,
    /// It is final.
    Committed,
}

#[derive(Clone, Copy, Debug)]
struct BatchState {
    status: Status,
    /// The incarnation of its next attempt.
    next: Incarnation,
    /// The incarnation of its latest attempt.
    latest: Incarnation,
    /// The batch that an attempt at it awaited last.
    awaited: Option<BatchIndex>,
}

/// What the gate does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum GateStep {
    /// Commit the frontier: validate its records, run the rest.
    Commit(Attempt),
    /// Run these batches from the frontier on: the window stays closed until they are committed.
    Run(Range<usize>),
    /// A worker runs the frontier, as far as known on what is committed.
    RunsElsewhere,
}

/// Whether an attempt that was reported still counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AttemptStatus {
    /// It does.
    Current,
    /// It does not: its reads no longer hold, or the gate took the batch over.
    Stale,
}

/// What a batch was committed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CommittedBy {
    /// At least half of its transactions with their records.
    Records,
    /// Most of them with runs at the gate.
    RunsAtGate,
    /// With runs at the gate, as were this number of batches after it.
    RunsOfSeveral(usize),
}

/// What follows when a batch becomes stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StaleBatch {
    /// The worker that runs it should abort.
    Abort,
    /// It will run again.
    RunAgain,
    /// Nothing: it has no run that counts.
    NoRun,
}

/// The state machine of one window.
#[derive(Debug)]
pub(super) struct Schedule {
    batches: Vec<BatchState>,
    frontier: usize,
    queue: ReadyQueue,
    /// Pairs of an awaited batch and the batch that waits for it.
    waiting: Vec<(BatchIndex, BatchIndex)>,
    pub(super) window: Window,
    /// The longest distance between the frontier and a batch that was handed out.
    pub(super) farthest: usize,
    /// Whether a worker has asked for work.
    has_workers: bool,
    /// Whether the gate came to the frontier while a worker ran it.
    is_gate_early: bool,
    is_stopped: bool,
}

impl Schedule {
    /// A schedule for the batches of a block and a number of threads.
    pub(super) fn new(batches: &[Batch], threads: usize) -> Self {
        let ready = BatchState {
            status: Status::Ready,
            next: Incarnation::FIRST,
            latest: Incarnation::FIRST,
            awaited: None,
        };
        Self {
            batches: vec![ready; batches.len()],
            frontier: 0,
            queue: ReadyQueue::new(batches, threads),
            waiting: Vec::new(),
            window: Window::new(threads),
            farthest: 0,
            has_workers: false,
            is_gate_early: false,
            is_stopped: false,
        }
    }

    /// Whether everything is committed.
    pub(super) fn is_done(&self) -> bool {
        self.frontier == self.batches.len()
    }

    /// Whether there is nothing left to do.
    pub(super) fn is_over(&self) -> bool {
        self.is_stopped || self.is_done()
    }

    /// Ends the block. Returns the batches that are running.
    pub(super) fn stop(&mut self) -> impl Iterator<Item = BatchIndex> {
        self.is_stopped = true;
        let is_running = |batch: &BatchState| matches!(batch.status, Status::Running | Status::Stale);
        let rest = self.batches.iter().enumerate().skip(self.frontier);
        rest.filter(move |(_, batch)| is_running(batch)).map(|(position, _)| BatchIndex::new(position))
    }

    /// Records that a worker has asked for work.
    pub(super) fn note_worker(&mut self) {
        self.has_workers = true;
    }

    /// Whether a worker would find work.
    pub(super) fn has_work(&self) -> bool {
        self.next_ready(Claimant::Worker).is_some()
    }

    /// Hands out the next batch that runs ahead.
    pub(super) fn claim(&mut self, claimant: Claimant) -> Option<Attempt> {
        let candidate = self.next_ready(claimant)?;
        let position = self.queue.take(candidate);
        self.farthest = self.farthest.max(position.saturating_sub(self.frontier));
        Some(self.start(position, Status::Running))
    }

    fn next_ready(&self, claimant: Claimant) -> Option<Candidate> {
        let reach = self.window.reach();
        if self.is_stopped || reach == 0 {
            return None;
        }
        let horizon = Horizon {
            near: self.frontier + reach / 2,
            end: self.batches.len().min(self.frontier + 1 + reach),
            shares_heavy: self.window.is_at_maximum(),
        };
        self.queue.next(claimant, horizon, |position| self.batches[position].status == Status::Ready)
    }

    fn start(&mut self, position: usize, status: Status) -> Attempt {
        let batch = &mut self.batches[position];
        batch.latest = batch.next;
        batch.next = batch.next.next();
        batch.status = status;
        Attempt { batch: BatchIndex::new(position), incarnation: batch.latest }
    }

    /// The state of the batch of an attempt, unless the gate took the batch over.
    fn state_of(&mut self, attempt: Attempt) -> Option<&mut BatchState> {
        let state = &mut self.batches[attempt.batch.get()];
        (state.latest == attempt.incarnation).then_some(state)
    }

    fn make_ready(&mut self, batch: BatchIndex) {
        self.batches[batch.get()].status = Status::Ready;
        self.queue.put_back(batch.get());
    }

    /// An attempt was aborted, because it was stale or the block was stopped.
    pub(super) fn aborted(&mut self, attempt: Attempt) {
        let Some(state) = self.state_of(attempt) else { return };
        match state.status {
            Status::Stale => {
                self.window.shrink();
                self.make_ready(attempt.batch);
            }
            Status::Running => assert!(self.is_stopped, "only a stale attempt is aborted"),
            other => unreachable!("an attempt that is {other:?} is not aborted"),
        }
    }

    /// An attempt has completed, and is published.
    pub(super) fn ran(&mut self, attempt: Attempt) -> AttemptStatus {
        let Some(state) = self.state_of(attempt) else { return AttemptStatus::Stale };
        match state.status {
            Status::Running => {
                state.status = Status::Ran;
                self.release(attempt.batch);
                AttemptStatus::Current
            }
            Status::Stale => {
                self.window.shrink();
                self.make_ready(attempt.batch);
                AttemptStatus::Stale
            }
            other => unreachable!("an attempt that is {other:?} does not complete"),
        }
    }

    /// An attempt met a prediction of a transaction in the batch `on`.
    pub(super) fn blocked(&mut self, attempt: Attempt, on: BatchIndex) {
        self.window.shrink();
        let awaited = self.batches[on.get()].status;
        let Some(state) = self.state_of(attempt) else { return };
        // A prediction of the batch itself that was not written will not be written later either.
        let has_run = matches!(awaited, Status::Ran | Status::Committed) || on == attempt.batch;
        let before = state.awaited.replace(on);
        match state.status {
            Status::Running if !has_run => {
                state.status = Status::Waiting(on);
                self.waiting.push((on, attempt.batch));
            }
            // The awaited batch has run without the predicted write: running again would not help.
            Status::Running if before == Some(on) => state.status = Status::GateOnly,
            Status::Running | Status::Stale => self.make_ready(attempt.batch),
            other => unreachable!("an attempt that is {other:?} is not blocked"),
        }
    }

    /// A run of an attempt failed, or needs the committed state.
    pub(super) fn gave_up(&mut self, attempt: Attempt) {
        let Some(state) = self.state_of(attempt) else { return };
        match state.status {
            Status::Running => {
                state.status = Status::GateOnly;
                self.window.shrink();
            }
            Status::Stale => self.make_ready(attempt.batch),
            other => unreachable!("an attempt that is {other:?} does not give up"),
        }
    }

    /// A read of a transaction of this batch no longer holds.
    pub(super) fn stale(&mut self, batch: BatchIndex) -> StaleBatch {
        let state = &mut self.batches[batch.get()];
        match state.status {
            Status::Running => {
                state.status = Status::Stale;
                StaleBatch::Abort
            }
            Status::Ran => {
                self.window.shrink();
                self.make_ready(batch);
                StaleBatch::RunAgain
            }
            _ => StaleBatch::NoRun,
        }
    }

    /// Brings the frontier to the gate. There must be one.
    pub(super) fn at_gate(&mut self) -> GateStep {
        let untouched = self.untouched(self.window.pause_left());
        if untouched.len() > 1 {
            for position in untouched.clone() {
                self.queue.withhold(position);
                self.start(position, Status::AtGate);
            }
            return GateStep::Run(untouched);
        }
        match self.batches[self.frontier].status {
            Status::Ran | Status::Ready | Status::Waiting(_) | Status::GateOnly | Status::Stale => {
                self.queue.withhold(self.frontier);
                GateStep::Commit(self.start(self.frontier, Status::AtGate))
            }
            Status::Running => {
                self.is_gate_early = true;
                GateStep::RunsElsewhere
            }
            Status::AtGate | Status::Committed => unreachable!("the gate has one batch at a time"),
        }
    }

    /// The batches from the frontier on that have no attempt, at most `max`.
    fn untouched(&self, max: usize) -> Range<usize> {
        let has_no_attempt =
            |batch: &&BatchState| batch.status == Status::Ready && batch.next == Incarnation::FIRST;
        let rest = self.batches[self.frontier..].iter();
        self.frontier..self.frontier + rest.take(max).take_while(has_no_attempt).count()
    }

    /// When speculative runs will read what the gate commits next.
    pub(super) fn publication(&self) -> Publication {
        if self.has_workers { self.window.publication() } else { Publication::Deferred }
    }

    /// Validation found a record of the frontier stale that was not marked stale.
    pub(super) fn found_stale(&mut self) {
        assert_eq!(self.batches[self.frontier].status, Status::AtGate, "only the gate validates");
        self.window.shrink();
    }

    /// The frontier is committed.
    pub(super) fn committed(&mut self, by: CommittedBy) {
        if let CommittedBy::RunsOfSeveral(after) = by {
            (0..after).for_each(|_| self.committed(CommittedBy::RunsAtGate));
        }
        let state = &mut self.batches[self.frontier];
        assert_eq!(state.status, Status::AtGate, "only the gate commits");
        state.status = Status::Committed;
        let batch = BatchIndex::new(self.frontier);
        self.frontier += 1;
        // A run that the gate had to wait for has saved little time.
        let was_gate_early = std::mem::take(&mut self.is_gate_early);
        if by == CommittedBy::Records && !was_gate_early {
            self.window.grow();
        }
        self.window.advance();
        self.release(batch);
    }

    /// Makes the batches ready that wait for this one.
    fn release(&mut self, on: BatchIndex) {
        let mut position = 0;
        while position < self.waiting.len() {
            let (awaited, waiting) = self.waiting[position];
            if awaited != on {
                position += 1;
                continue;
            }
            self.waiting.swap_remove(position);
            if self.batches[waiting.get()].status == Status::Waiting(on) {
                self.make_ready(waiting);
            }
        }
    }

    /// Whether the gate would find work.
    pub(super) fn is_gate_needed(&self) -> bool {
        let elsewhere = [Status::Running, Status::AtGate];
        self.batches.get(self.frontier).is_none_or(|batch| !elsewhere.contains(&batch.status))
    }
}

#[cfg(test)]
mod tests;
