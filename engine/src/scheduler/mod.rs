//! Hands out work: which stretch of transactions is to be run by whom, and who waits for what.
//!
//! Owns the [`Plan`] under one lock, and the places where threads wait. Knows indices and
//! incarnations only: no EVM, no values. Promises that each stretch is run by one at a time, that
//! the gate gets the frontier and nothing else, and that nobody waits for what will not come:
//! whoever changes the plan so that others find work wakes them.

mod choice;
mod plan;
mod stretches;
mod window;

use blockloom_state::{
    Audience, TxIndex,
    sync::{AtomicBool, Condvar, Mutex, MutexGuard, Ordering},
};

use crate::news::News;
use choice::Claimant;
use plan::{AtGate, Plan, Stale};
pub(crate) use plan::{Passed, Standing};
use stretches::Stretches;
pub(crate) use stretches::{Cut, Effort, Stretch, Turn};

/// How often a thread looks for news before it goes to sleep. Waking somebody up costs some
/// microseconds, as much as this takes.
const LOOKS_BEFORE_SLEEP: u32 = if cfg!(feature = "shuttle") { 1 } else { 150 };

/// The scheduler of one block.
#[derive(Debug)]
pub(crate) struct Scheduler {
    state: Mutex<State>,
    changed: Condvar,
    /// Of changes after which somebody may find work.
    news: News,
    stretches: Stretches,
    /// For each stretch, whether its turn should break off.
    unwanted: Vec<AtomicBool>,
}

#[derive(Debug)]
struct State {
    plan: Plan,
    sleepers: usize,
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
            state: Mutex::new(State { plan: Plan::new(cuts, threads), sleepers: 0 }),
            changed: Condvar::default(),
            news: News::default(),
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
        self.state.lock().plan.window.widest()
    }

    /// Work for a worker; waits until there is some. Nothing once the block is over.
    pub(crate) fn next(&self, waits: &mut u64) -> Option<Turn> {
        self.wait_for(waits, |plan| {
            plan.has_company();
            let claimed = plan.claim(Claimant::Worker);
            claimed.inspect(|turn| self.want(*turn));
            (claimed.is_some() || plan.is_over()).then_some(claimed)
        })
    }

    /// Work for the gate, after the frontier has `passed`; waits until there is some.
    pub(crate) fn at_gate(&self, passed: Option<Passed>, waits: &mut u64) -> GateTask {
        if let Some(how) = passed {
            let mut state = self.state.lock();
            state.plan.committed(how);
            let task = self.gate_task(&mut state.plan);
            self.tell(state);
            if let Some(task) = task {
                return task;
            }
        }
        self.wait_for(waits, |plan| self.gate_task(plan))
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
        let mut state = self.state.lock();
        let standing = state.plan.ran(turn);
        self.tell(state);
        standing
    }

    /// A turn met a prediction of transaction `on`.
    pub(crate) fn blocked(&self, turn: Turn, on: TxIndex) {
        let mut state = self.state.lock();
        state.plan.blocked(turn, self.stretches.of(on));
        self.tell(state);
    }

    /// A turn was broken off because it was not wanted.
    pub(crate) fn broke_off(&self, turn: Turn) {
        let mut state = self.state.lock();
        state.plan.broke_off(turn);
        self.tell(state);
    }

    /// A run of a turn failed, or needs the frontier.
    pub(crate) fn gave_up(&self, turn: Turn) {
        let mut state = self.state.lock();
        state.plan.gave_up(turn);
        self.tell(state);
    }

    /// What these transactions observed has changed.
    pub(crate) fn stale(&self, indices: &[TxIndex]) {
        let mut state = self.state.lock();
        let mut before = None;
        for stretch in indices.iter().map(|index| self.stretches.of(*index)) {
            // Several of one stretch are mostly reported one after the other.
            if before.replace(stretch) != Some(stretch) && state.plan.stale(stretch) == Stale::BreakOff {
                // ORDER: Relaxed: a run that learns of it later only takes longer.
                self.unwanted[stretch.get()].store(true, Ordering::Relaxed);
            }
        }
        self.tell(state);
    }

    /// A record of the frontier is stale, and nobody had said so: the gate runs it instead.
    pub(crate) fn refused(&self) {
        self.state.lock().plan.refused();
    }

    /// Nothing is done any more: who runs something breaks off, who waits is woken.
    pub(crate) fn stop(&self) {
        let mut state = self.state.lock();
        for stretch in state.plan.stop() {
            // ORDER: Relaxed: a run that learns of it later only takes longer.
            self.unwanted[stretch.get()].store(true, Ordering::Relaxed);
        }
        self.tell(state);
    }

    /// Tells others that the plan has changed, if any of them finds something to do now. Otherwise
    /// nobody is to come and look: that would only take the lock, and the lines under it, away from
    /// who works.
    fn tell(&self, state: MutexGuard<'_, State>) {
        let State { plan, sleepers } = &*state;
        let is_news = plan.is_over() || plan.has_work() || plan.is_gate_needed();
        let is_worth_waking = is_news && *sleepers > 0;
        if is_news {
            self.news.add();
        }
        drop(state);
        if is_worth_waking {
            self.changed.notify_all();
        }
    }

    /// Looks at the plan until there is something in it.
    fn wait_for<T>(&self, waits: &mut u64, mut look: impl FnMut(&mut Plan) -> Option<T>) -> T {
        loop {
            let mut state = self.state.lock();
            if let Some(found) = look(&mut state.plan) {
                return found;
            }
            *waits += 1;
            let seen = self.news.seen();
            drop(state);
            if self.news.is_more_soon(seen, LOOKS_BEFORE_SLEEP) {
                continue;
            }
            let mut state = self.state.lock();
            if self.news.seen() == seen {
                state.sleepers += 1;
                let mut state = self.changed.wait(state);
                state.sleepers -= 1;
            }
        }
    }
}
