//! Where each transaction of the block is, and what may be done with it next. Pure: no locks.
//!
//! ```text
//!          claim          finish             ran               at_gate
//!  Ready ─────────▶ Running ─────▶ Publishing ─────▶ Ran ───────────────▶ AtGate ─▶ Committed
//!   ▲ ▲               │ │ stale        │ stale        │ stale                ▲
//!   │ │               │ ▼              ▼              │                      │ at_gate
//!   │ │               │ Doomed     Spoiled            │      Ready, Waiting, Shelved, Doomed
//!   │ │               ▼   │            │              │
//!   │ └── Waiting ◀─ blocked, or finish, or ran ◀─────┘
//!   └──── Shelved ◀─ gave_up
//! ```
//!
//! Only the frontier comes to the gate. Waiting ends when the awaited transaction ran or is
//! committed; who is shelved runs at the gate only. A run whose transaction the gate took over
//! (doomed, then at the gate) reports to nobody: its incarnation is not the latest any more.

use std::collections::BTreeSet;

use blockloom_state::{Audience, Incarnation, TxIndex, Version};

use super::window::Window;

/// Where a transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    /// Nobody runs it.
    Ready,
    /// A worker runs it.
    Running,
    /// A worker runs it, for nothing.
    Doomed,
    /// Its run ended well and is being published.
    Publishing,
    /// It is being published and is already stale.
    Spoiled,
    /// It ran, and nobody knows that it is stale.
    Ran,
    /// It needs what this transaction is expected to write.
    Waiting(TxIndex),
    /// It can only be run on committed state.
    Shelved,
    /// The gate has it.
    AtGate,
    /// It is final.
    Committed,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    status: Status,
    /// What its next run is called.
    next: Incarnation,
    /// Its latest run.
    latest: Incarnation,
    /// Whom a run of it awaited last.
    awaited: Option<TxIndex>,
}

/// What a transaction is expected to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// Hardly more than speculation costs: it is left to the gate.
    Light,
    /// More.
    Heavy,
    /// So much that it should be begun early: it may be what the block's end waits for.
    Huge,
}

/// Where the next transaction for a worker comes from.
enum Next {
    /// It is ready again.
    Again(usize),
    /// It is the first of the huge ones.
    Huge,
    /// Nobody touched it.
    Untouched(usize),
}

/// What the gate is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AtGate {
    /// Run the frontier on committed state.
    Run(Version),
    /// Judge what the frontier's latest run recorded.
    Judge(Version),
    /// Somebody runs the frontier, as far as known on what is committed.
    Elsewhere,
}

/// Whether a run that was reported still counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It does.
    Counts,
    /// It does not: what it observed has changed, or somebody else has the transaction.
    Void,
}

/// How a transaction was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passed {
    /// With what a speculative run recorded.
    Recorded,
    /// By running it at the gate.
    RunAtGate,
}

/// The state machine of one block.
#[derive(Debug)]
pub(super) struct Plan {
    entries: Vec<Entry>,
    frontier: usize,
    /// No transaction from here on was ever claimed or left to the gate.
    untouched: usize,
    /// Transactions before `untouched` that are ready again.
    again: BTreeSet<usize>,
    /// Huge transactions that nobody touched, the last one first.
    huge: Vec<usize>,
    efforts: Vec<Effort>,
    /// Who waits for whom.
    waiting: Vec<(TxIndex, TxIndex)>,
    pub(super) window: Window,
    /// Whether no worker has come yet.
    is_alone: bool,
    /// Whether the gate came to the frontier while somebody ran it.
    is_late: bool,
    is_stopped: bool,
}

impl Plan {
    /// A plan for transactions that take such efforts, and so many threads.
    pub(super) fn new(efforts: Vec<Effort>, threads: usize) -> Self {
        let transactions = efforts.len();
        let entry = Entry {
            status: Status::Ready,
            next: Incarnation::FIRST,
            latest: Incarnation::FIRST,
            awaited: None,
        };
        Self {
            entries: vec![entry; transactions],
            frontier: 0,
            untouched: 0,
            again: BTreeSet::new(),
            huge: (0..transactions).rev().filter(|position| efforts[*position] == Effort::Huge).collect(),
            efforts,
            waiting: Vec::new(),
            window: Window::new(threads),
            is_alone: true,
            is_late: false,
            is_stopped: false,
        }
    }

    /// Whether everything is committed.
    pub(super) fn is_done(&self) -> bool {
        self.frontier == self.entries.len()
    }

    /// Whether there is nothing to do any more.
    pub(super) fn is_over(&self) -> bool {
        self.is_stopped || self.is_done()
    }

    /// Nothing is done any more. Returns the transactions that are being run.
    pub(super) fn stop(&mut self) -> impl Iterator<Item = TxIndex> {
        self.is_stopped = true;
        let running = |entry: &Entry| matches!(entry.status, Status::Running | Status::Doomed);
        let entries = self.entries.iter().enumerate().skip(self.frontier);
        entries.filter(move |(_, entry)| running(entry)).map(|(position, _)| TxIndex::new(position))
    }

    /// A worker has come.
    pub(super) fn has_company(&mut self) {
        self.is_alone = false;
    }

    /// Whether a worker would find something to do.
    pub(super) fn has_work(&self) -> bool {
        self.next_ready().is_some()
    }

    /// Gives the lowest ready transaction in the window to a worker.
    pub(super) fn claim(&mut self) -> Option<Version> {
        let position = match self.next_ready()? {
            Next::Again(position) => {
                self.again.remove(&position);
                position
            }
            Next::Huge => self.huge.pop().expect("it was found there"),
            Next::Untouched(position) => {
                self.untouched = position + 1;
                position
            }
        };
        Some(self.start(position, Status::Running))
    }

    /// What is ready and may be run ahead: what was stale first, being lower than the rest; then
    /// what is huge, however far it is; then what nobody touched and is worth it. The others are
    /// left to the gate.
    fn next_ready(&self) -> Option<Next> {
        if self.is_stopped || self.window.reach() == 0 {
            return None;
        }
        let end = self.entries.len().min(self.frontier + 1 + self.window.reach());
        let is_worth_it = |position: &usize| {
            self.efforts[*position] == Effort::Heavy && self.entries[*position].status == Status::Ready
        };
        match self.again.first() {
            Some(again) if *again < end => Some(Next::Again(*again)),
            _ if !self.huge.is_empty() => Some(Next::Huge),
            _ => (self.untouched..end).find(is_worth_it).map(Next::Untouched),
        }
    }

    /// The frontier is at the gate: nobody else is to have it.
    fn withhold_frontier(&mut self) {
        self.again.remove(&self.frontier);
        if self.huge.last() == Some(&self.frontier) {
            self.huge.pop();
        }
        self.untouched = self.untouched.max(self.frontier + 1);
    }

    fn start(&mut self, position: usize, status: Status) -> Version {
        let entry = &mut self.entries[position];
        entry.latest = entry.next;
        entry.next = entry.next.next();
        entry.status = status;
        Version { index: TxIndex::new(position), incarnation: entry.latest }
    }

    /// The entry of a run, unless the gate took its transaction over.
    fn entry_of(&mut self, version: Version) -> Option<&mut Entry> {
        let entry = &mut self.entries[version.index.get()];
        (entry.latest == version.incarnation).then_some(entry)
    }

    fn make_ready(&mut self, index: TxIndex) {
        self.entries[index.get()].status = Status::Ready;
        self.again.insert(index.get());
    }

    /// A run ended well: may it be published?
    pub(super) fn finish(&mut self, version: Version) -> Standing {
        let Some(entry) = self.entry_of(version) else { return Standing::Void };
        match entry.status {
            Status::Running => {
                entry.status = Status::Publishing;
                Standing::Counts
            }
            Status::Doomed => {
                self.window.wasted();
                self.make_ready(version.index);
                Standing::Void
            }
            other => unreachable!("a run that is {other:?} does not end"),
        }
    }

    /// A run broke off: it was doomed, or the block was stopped.
    pub(super) fn broke_off(&mut self, version: Version) {
        let Some(entry) = self.entry_of(version) else { return };
        match entry.status {
            Status::Doomed => {
                self.window.wasted();
                self.make_ready(version.index);
            }
            Status::Running => assert!(self.is_stopped, "nobody breaks off a run that counts"),
            other => unreachable!("a run that is {other:?} does not break off"),
        }
    }

    /// A run is published.
    pub(super) fn ran(&mut self, version: Version) -> Standing {
        let entry = self.entry_of(version).expect("nobody takes over while a run is published");
        match entry.status {
            Status::Publishing => {
                entry.status = Status::Ran;
                self.release(version.index);
                Standing::Counts
            }
            Status::Spoiled => {
                self.window.wasted();
                self.make_ready(version.index);
                Standing::Void
            }
            other => unreachable!("a run that is {other:?} is not published"),
        }
    }

    /// A run met a prediction of transaction `on`.
    pub(super) fn blocked(&mut self, version: Version, on: TxIndex) {
        self.window.wasted();
        let awaited = self.entries[on.get()].status;
        let Some(entry) = self.entry_of(version) else { return };
        let is_there = matches!(awaited, Status::Ran | Status::Committed);
        let before = entry.awaited.replace(on);
        match entry.status {
            Status::Running if !is_there => {
                entry.status = Status::Waiting(on);
                self.waiting.push((on, version.index));
            }
            // Who ran and does not write what was predicted never will: asking again is in vain.
            Status::Running if before == Some(on) => entry.status = Status::Shelved,
            Status::Running | Status::Doomed => self.make_ready(version.index),
            other => unreachable!("a run that is {other:?} is not blocked"),
        }
    }

    /// A run failed, or needs the frontier.
    pub(super) fn gave_up(&mut self, version: Version) {
        let Some(entry) = self.entry_of(version) else { return };
        match entry.status {
            Status::Running => entry.status = Status::Shelved,
            Status::Doomed => self.make_ready(version.index),
            other => unreachable!("a run that is {other:?} does not give up"),
        }
    }

    /// What a transaction observed has changed. Returns the run whose effects are predictions now,
    /// if it was published, and whether a worker should be told to break off.
    pub(super) fn stale(&mut self, index: TxIndex) -> Stale {
        let entry = &mut self.entries[index.get()];
        match entry.status {
            Status::Running => {
                entry.status = Status::Doomed;
                Stale::BreakOff
            }
            Status::Publishing => {
                entry.status = Status::Spoiled;
                Stale::Known
            }
            Status::Ran => {
                let version = Version { index, incarnation: entry.latest };
                self.window.wasted();
                self.make_ready(index);
                Stale::Predict(version)
            }
            _ => Stale::Known,
        }
    }

    /// Brings the frontier to the gate; there must be one.
    pub(super) fn at_gate(&mut self) -> AtGate {
        let entry = &mut self.entries[self.frontier];
        match entry.status {
            Status::Ran => {
                entry.status = Status::AtGate;
                AtGate::Judge(Version { index: TxIndex::new(self.frontier), incarnation: entry.latest })
            }
            Status::Ready | Status::Waiting(_) | Status::Shelved | Status::Doomed => {
                self.withhold_frontier();
                AtGate::Run(self.start(self.frontier, Status::AtGate))
            }
            Status::Running | Status::Publishing | Status::Spoiled => {
                self.is_late = true;
                AtGate::Elsewhere
            }
            Status::AtGate | Status::Committed => unreachable!("the gate has one transaction at a time"),
        }
    }

    /// Whether anybody may run ahead before the frontier is committed, or as soon as it is.
    pub(super) fn audience(&self) -> Audience {
        if self.is_alone || self.window.stays_closed() { Audience::Nobody } else { Audience::Somebody }
    }

    /// The record of the frontier is stale: the gate runs it instead.
    pub(super) fn refused(&mut self) -> Version {
        assert_eq!(self.entries[self.frontier].status, Status::AtGate, "only the gate refuses");
        self.window.wasted();
        self.start(self.frontier, Status::AtGate)
    }

    /// The frontier is final.
    pub(super) fn committed(&mut self, how: Passed) {
        let entry = &mut self.entries[self.frontier];
        assert_eq!(entry.status, Status::AtGate, "only the gate commits");
        entry.status = Status::Committed;
        let index = TxIndex::new(self.frontier);
        self.frontier += 1;
        // A run that the gate had to wait for has hardly run ahead of it.
        let was_late = std::mem::take(&mut self.is_late);
        if how == Passed::Recorded && !was_late {
            self.window.paid();
        }
        self.window.moved();
        self.release(index);
    }

    /// Whoever waited for this transaction is ready again.
    fn release(&mut self, on: TxIndex) {
        let mut position = 0;
        while position < self.waiting.len() {
            let (awaited, who) = self.waiting[position];
            if awaited != on {
                position += 1;
                continue;
            }
            self.waiting.swap_remove(position);
            if self.entries[who.get()].status == Status::Waiting(on) {
                self.make_ready(who);
            }
        }
    }

    /// Whether the gate would find something to do.
    pub(super) fn is_gate_needed(&self) -> bool {
        let elsewhere = [Status::Running, Status::Publishing, Status::Spoiled, Status::AtGate];
        self.entries.get(self.frontier).is_none_or(|entry| !elsewhere.contains(&entry.status))
    }
}

/// What follows from a transaction's being stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stale {
    /// The worker that runs it should break off.
    BreakOff,
    /// The effects of this run are predictions now.
    Predict(Version),
    /// Nothing: nobody relied on it.
    Known,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(index: usize, runs: u32) -> Version {
        let incarnation = (0..runs).fold(Incarnation::FIRST, |incarnation, _| incarnation.next());
        Version { index: TxIndex::new(index), incarnation }
    }

    fn run(plan: &mut Plan, version: Version) {
        assert_eq!(plan.finish(version), Standing::Counts);
        assert_eq!(plan.ran(version), Standing::Counts);
    }

    #[test]
    fn transactions_are_claimed_in_order_and_committed_in_order() {
        let mut plan = Plan::new(vec![Effort::Heavy; 3], 2);
        let claimed: Vec<_> = std::iter::from_fn(|| plan.claim()).collect();
        assert_eq!(claimed, [version(0, 0), version(1, 0), version(2, 0)]);
        run(&mut plan, claimed[1]);
        assert_eq!(plan.at_gate(), AtGate::Elsewhere);
        run(&mut plan, claimed[0]);
        for index in 0..2 {
            assert_eq!(plan.at_gate(), AtGate::Judge(version(index, 0)));
            plan.committed(Passed::Recorded);
        }
        assert_eq!(plan.at_gate(), AtGate::Elsewhere);
        assert!(!plan.is_over());
    }

    #[test]
    fn the_gate_takes_over_a_doomed_run_and_the_run_reports_to_nobody() {
        let mut plan = Plan::new(vec![Effort::Heavy; 2], 2);
        let doomed = plan.claim().unwrap();
        assert_eq!(plan.stale(doomed.index), Stale::BreakOff);
        assert_eq!(plan.at_gate(), AtGate::Run(version(0, 1)));
        assert_eq!(plan.finish(doomed), Standing::Void);
        plan.blocked(doomed, TxIndex::new(0));
        plan.gave_up(doomed);
        plan.committed(Passed::RunAtGate);
        assert_eq!(plan.claim(), Some(version(1, 0)));
    }

    #[test]
    fn who_waits_is_ready_once_the_awaited_ran() {
        let mut plan = Plan::new(vec![Effort::Heavy; 3], 2);
        let (first, second) = (plan.claim().unwrap(), plan.claim().unwrap());
        plan.blocked(second, first.index);
        assert_eq!(plan.claim(), Some(version(2, 0)));
        assert_eq!(plan.claim(), None);
        run(&mut plan, first);
        assert_eq!(plan.claim(), Some(version(1, 1)));
    }

    #[test]
    fn who_would_wait_for_what_is_there_is_ready_at_once() {
        let mut plan = Plan::new(vec![Effort::Heavy; 2], 2);
        let (first, second) = (plan.claim().unwrap(), plan.claim().unwrap());
        run(&mut plan, first);
        plan.blocked(second, first.index);
        assert_eq!(plan.claim(), Some(version(1, 1)));
    }

    #[test]
    fn who_waits_in_vain_is_left_to_the_gate() {
        let mut plan = Plan::new(vec![Effort::Heavy; 2], 2);
        let (first, second) = (plan.claim().unwrap(), plan.claim().unwrap());
        run(&mut plan, first);
        plan.blocked(second, first.index);
        let again = plan.claim().unwrap();
        plan.blocked(again, first.index);
        assert_eq!(plan.claim(), None);
    }

    #[test]
    fn a_stale_record_is_run_again_and_a_spoiled_one_too() {
        let mut plan = Plan::new(vec![Effort::Heavy; 2], 2);
        let (first, second) = (plan.claim().unwrap(), plan.claim().unwrap());
        run(&mut plan, second);
        assert_eq!(plan.stale(second.index), Stale::Predict(second));
        assert_eq!(plan.stale(second.index), Stale::Known);
        let again = plan.claim().unwrap();
        assert_eq!(again, version(1, 1));
        assert_eq!(plan.finish(again), Standing::Counts);
        assert_eq!(plan.stale(again.index), Stale::Known);
        assert_eq!(plan.ran(again), Standing::Void);
        assert_eq!(plan.claim(), Some(version(1, 2)));
        run(&mut plan, first);
    }

    #[test]
    fn a_stopped_plan_gives_nothing_out() {
        let mut plan = Plan::new(vec![Effort::Heavy; 3], 2);
        plan.claim();
        assert_eq!(plan.stop().collect::<Vec<_>>(), [TxIndex::new(0)]);
        assert!(plan.is_over() && !plan.has_work() && plan.claim().is_none());
    }

    #[test]
    fn what_is_huge_is_begun_first_however_far_it_is() {
        let mut efforts = vec![Effort::Heavy; 300];
        (efforts[0], efforts[250]) = (Effort::Huge, Effort::Huge);
        let mut plan = Plan::new(efforts, 2);
        assert_eq!(plan.at_gate(), AtGate::Run(version(0, 0)));
        assert_eq!(plan.claim(), Some(version(250, 0)));
        assert_eq!(plan.claim(), Some(version(1, 0)));
    }

    #[test]
    fn what_takes_little_is_left_to_the_gate() {
        let mut plan = Plan::new(vec![Effort::Heavy, Effort::Light, Effort::Heavy, Effort::Light], 2);
        let (first, third) = (plan.claim().unwrap(), plan.claim().unwrap());
        assert_eq!((first, third), (version(0, 0), version(2, 0)));
        assert_eq!(plan.claim(), None);
        run(&mut plan, first);
        assert_eq!(plan.at_gate(), AtGate::Judge(first));
        plan.committed(Passed::Recorded);
        assert_eq!(plan.at_gate(), AtGate::Run(version(1, 0)));
    }
}
