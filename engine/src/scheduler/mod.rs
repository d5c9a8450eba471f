//! Hands out work: which transaction is to be run by whom, and who waits for what.
//!
//! Owns the [`Plan`] under one lock, and the places where threads wait. Knows indices and
//! incarnations only: no EVM, no values. Promises that each transaction is run by one at a time,
//! that the gate gets the frontier and nothing else, and that nobody waits for what will not come:
//! whoever changes the plan so that others find work wakes them.

mod plan;
mod window;

use blockloom_state::{
    Audience, TxIndex, Version,
    sync::{AtomicBool, Condvar, Mutex, MutexGuard, Ordering},
};

use crate::news::News;
use plan::{AtGate, Plan, Stale};
pub(crate) use plan::{Effort, Passed, Standing};

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
    /// For each transaction, whether its run should break off.
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
    /// Run the frontier on committed state, for whoever runs ahead.
    Run(Version, Audience),
    /// Judge the frontier's record, before whoever runs ahead.
    Judge(Version, Audience),
    /// Somebody else runs the frontier: run this one meanwhile.
    Speculate(Version),
    /// Everything is committed.
    Done,
    /// Somebody stopped the block.
    Stopped,
}

impl Scheduler {
    /// A scheduler for transactions that take such efforts, and so many threads.
    pub(crate) fn new(efforts: Vec<Effort>, threads: usize) -> Self {
        Self {
            unwanted: efforts.iter().map(|_| AtomicBool::new(false)).collect(),
            state: Mutex::new(State { plan: Plan::new(efforts, threads), sleepers: 0 }),
            changed: Condvar::default(),
            news: News::default(),
        }
    }

    /// Whether the run of a transaction should break off.
    pub(crate) fn unwanted(&self, index: TxIndex) -> &AtomicBool {
        &self.unwanted[index.get()]
    }

    /// The furthest reach of the window so far.
    pub(crate) fn widest_window(&self) -> usize {
        self.state.lock().plan.window.widest()
    }

    /// Work for a worker; waits until there is some. Nothing once the block is over.
    pub(crate) fn next(&self, waits: &mut u64) -> Option<Version> {
        self.wait_for(waits, |plan| {
            plan.has_company();
            let claimed = plan.claim();
            claimed.inspect(|version| self.want(*version));
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
            AtGate::Run(version) => Some(GateTask::Run(version, plan.audience())),
            AtGate::Judge(version) => Some(GateTask::Judge(version, plan.audience())),
            AtGate::Elsewhere => plan.claim().inspect(|version| self.want(*version)).map(GateTask::Speculate),
        }
    }

    fn want(&self, version: Version) {
        // ORDER: Relaxed: only set and cleared under the lock; the run looks at it without.
        self.unwanted[version.index.get()].store(false, Ordering::Relaxed);
    }

    /// A run ended well: may it be published?
    pub(crate) fn finish(&self, version: Version) -> Standing {
        let mut state = self.state.lock();
        let standing = state.plan.finish(version);
        if standing == Standing::Void {
            self.tell(state);
        }
        standing
    }

    /// A run is published.
    pub(crate) fn ran(&self, version: Version) -> Standing {
        let mut state = self.state.lock();
        let standing = state.plan.ran(version);
        self.tell(state);
        standing
    }

    /// A run met a prediction of transaction `on`.
    pub(crate) fn blocked(&self, version: Version, on: TxIndex) {
        let mut state = self.state.lock();
        state.plan.blocked(version, on);
        self.tell(state);
    }

    /// A run was broken off because it was not wanted.
    pub(crate) fn broke_off(&self, version: Version) {
        let mut state = self.state.lock();
        state.plan.broke_off(version);
        self.tell(state);
    }

    /// A run failed, or needs the frontier.
    pub(crate) fn gave_up(&self, version: Version) {
        let mut state = self.state.lock();
        state.plan.gave_up(version);
        self.tell(state);
    }

    /// What these transactions observed has changed; empties the list. The effects of the runs that
    /// it gives to `predict` are predictions now.
    pub(crate) fn stale(&self, indices: &mut Vec<TxIndex>, mut predict: impl FnMut(Version)) {
        for index in indices.drain(..) {
            let mut state = self.state.lock();
            let follows = state.plan.stale(index);
            if follows == Stale::BreakOff {
                // ORDER: Relaxed: a run that learns of it later only takes longer.
                self.unwanted[index.get()].store(true, Ordering::Relaxed);
            }
            self.tell(state);
            if let Stale::Predict(version) = follows {
                predict(version);
            }
        }
    }

    /// The record of the frontier is stale: the gate runs it instead.
    pub(crate) fn refused(&self) -> Version {
        self.state.lock().plan.refused()
    }

    /// Nothing is done any more: who runs something breaks off, who waits is woken.
    pub(crate) fn stop(&self) {
        let mut state = self.state.lock();
        for index in state.plan.stop() {
            // ORDER: Relaxed: a run that learns of it later only takes longer.
            self.unwanted[index.get()].store(true, Ordering::Relaxed);
        }
        self.tell(state);
    }

    /// Tells others that the plan has changed.
    fn tell(&self, state: MutexGuard<'_, State>) {
        self.news.add();
        let is_worth_waking = state.sleepers > 0
            && (state.plan.is_over() || state.plan.has_work() || state.plan.is_gate_needed());
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
