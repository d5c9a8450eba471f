//! Hands out work: which stretch of transactions is to be run by whom, and who waits for what.
//!
//! Owns the [`Plan`] behind one lock. Knows indices and incarnations only: no EVM, no values.
//! Promises that each stretch is run by one at a time, that the gate gets the frontier and nothing
//! else, and that nobody waits for what will not come: whoever changes the plan so that others find
//! work tells them.

pub(crate) mod batch;
pub(crate) mod priority;
pub(crate) mod status;
pub(crate) mod wakeup;
pub(crate) mod window;

use blockloom_state::{
    Audience, TxIndex,
    sync::{AtomicBool, Ordering},
};

use crate::policy::batching::Cut;

use batch::{Stretch, Stretches, Turn};
use priority::Claimant;
use status::{AtGate, Passed, Plan, Stale, Standing};
use wakeup::{Shared, Then};

/// The scheduler of one block.
#[derive(Debug)]
pub(crate) struct Scheduler {
    shared: Shared,
    stretches: Stretches,
    /// For each stretch, whether its turn should break off.
    unwanted: Vec<AtomicBool>,
}

/// What the gate is to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GateTask {
    /// Take the frontier through, before whoever runs ahead: judge what is recorded, run the rest.
    Take(Turn, Audience),
    /// Somebody else runs the frontier: run this one meanwhile.
    Speculate(Turn),
    /// Everything is committed.
    Done,
    /// Somebody stopped the block.
    Stopped,
}

impl Scheduler {
    /// A scheduler for a block that is cut so, and so many threads.
    pub(crate) fn new(cuts: &[Cut], threads: usize) -> Self {
        Self {
            stretches: Stretches::new(cuts),
            unwanted: cuts.iter().map(|_| AtomicBool::new(false)).collect(),
            shared: Shared::new(Plan::new(cuts, threads)),
        }
    }

    /// How many transactions there are.
    pub(crate) fn transactions(&self) -> usize {
        self.stretches.transactions()
    }

    /// The transactions of a stretch, in order.
    pub(crate) fn within(&self, stretch: Stretch) -> impl Iterator<Item = TxIndex> + use<> {
        self.stretches.within(stretch)
    }

    /// Whether the turn of a stretch should break off.
    pub(crate) fn unwanted(&self, stretch: Stretch) -> &AtomicBool {
        &self.unwanted[stretch.get()]
    }

    /// The furthest reach of the window so far.
    pub(crate) fn widest_window(&self) -> usize {
        self.shared.lock().plan().window.widest()
    }

    /// Work for a worker; waits until there is some. Nothing once the block is over.
    pub(crate) fn next(&self, waits: &mut u64) -> Option<Turn> {
        self.shared.find(Claimant::Worker, waits, |plan| {
            plan.has_company();
            let claimed = plan.claim(Claimant::Worker);
            claimed.inspect(|turn| self.want(*turn));
            (claimed.is_some() || plan.is_over()).then_some(claimed)
        })
    }

    /// Work for a worker, if there is some now.
    #[cfg(all(test, not(feature = "shuttle")))]
    pub(crate) fn try_next(&self) -> Option<Turn> {
        let mut locked = self.shared.lock();
        locked.plan().has_company();
        let claimed = locked.plan().claim(Claimant::Worker);
        claimed.inspect(|turn| self.want(*turn))
    }

    /// Work for the gate, after the frontier has `passed`; waits until there is some.
    pub(crate) fn at_gate(&self, passed: Option<Passed>, waits: &mut u64) -> GateTask {
        if let Some(how) = passed {
            let mut locked = self.shared.lock();
            locked.plan().committed(how);
            let task = self.gate_task(locked.plan());
            locked.tell(Then::GoesOn);
            if let Some(task) = task {
                return task;
            }
        }
        self.shared.find(Claimant::Gate, waits, |plan| self.gate_task(plan))
    }

    fn gate_task(&self, plan: &mut Plan) -> Option<GateTask> {
        if plan.is_done() {
            return Some(GateTask::Done);
        }
        if plan.is_over() {
            return Some(GateTask::Stopped);
        }
        match plan.at_gate() {
            AtGate::Take(turn) => Some(GateTask::Take(turn, plan.audience())),
            AtGate::Elsewhere => {
                let claimed = plan.claim(Claimant::Gate);
                claimed.inspect(|turn| self.want(*turn)).map(GateTask::Speculate)
            }
        }
    }

    fn want(&self, turn: Turn) {
        // ORDER: Relaxed: only set and cleared under the lock; the run looks at it without.
        self.unwanted[turn.stretch.get()].store(false, Ordering::Relaxed);
    }

    /// A turn came to its end, and all of it is published.
    pub(crate) fn ran(&self, turn: Turn) -> Standing {
        let mut locked = self.shared.lock();
        let standing = locked.plan().ran(turn);
        locked.tell(Then::Looks);
        standing
    }

    /// A turn met a prediction of transaction `on`.
    pub(crate) fn blocked(&self, turn: Turn, on: TxIndex) {
        self.report(|plan| plan.blocked(turn, self.stretches.of(on)));
    }

    /// A turn was broken off because it was not wanted.
    pub(crate) fn broke_off(&self, turn: Turn) {
        self.report(|plan| plan.broke_off(turn));
    }

    /// A run of a turn failed, or needs the frontier.
    pub(crate) fn gave_up(&self, turn: Turn) {
        self.report(|plan| plan.gave_up(turn));
    }

    /// How a turn ended without having come to its end.
    fn report(&self, how: impl FnOnce(&mut Plan)) {
        let mut locked = self.shared.lock();
        how(locked.plan());
        locked.tell(Then::Looks);
    }

    /// What these transactions observed has changed.
    pub(crate) fn stale(&self, indices: &[TxIndex]) {
        let mut locked = self.shared.lock();
        let mut before = None;
        for stretch in indices.iter().map(|index| self.stretches.of(*index)) {
            // Several of one stretch are mostly reported one after the other.
            if before.replace(stretch) != Some(stretch) && locked.plan().stale(stretch) == Stale::BreakOff {
                // ORDER: Relaxed: a run that learns of it later only takes longer.
                self.unwanted[stretch.get()].store(true, Ordering::Relaxed);
            }
        }
        locked.tell(Then::GoesOn);
    }

    /// A record of the frontier is stale, and nobody had said so: the gate runs it instead.
    pub(crate) fn refused(&self) {
        self.shared.lock().plan().refused();
    }

    /// Nothing is done any more: who runs something breaks off, who waits is woken.
    pub(crate) fn stop(&self) {
        let mut locked = self.shared.lock();
        for stretch in locked.plan().stop() {
            // ORDER: Relaxed: a run that learns of it later only takes longer.
            self.unwanted[stretch.get()].store(true, Ordering::Relaxed);
        }
        locked.tell(Then::GoesOn);
    }
}
