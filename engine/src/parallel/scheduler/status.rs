//! Where each stretch of the block is, and what may be done with it next. Pure: no locks.
//!
//! ```text
//!          claim            ran             at_gate
//!  Ready ─────────▶ Running ───▶ Ran ───────────────────▶ AtGate ─▶ Committed
//!   ▲ ▲               │ │ stale   │ stale                    ▲
//!   │ │               │ ▼         │                          │ at_gate
//!   │ │               │ Doomed    │          Ready, Waiting, Shelved, Doomed
//!   │ │               ▼   │       │
//!   │ └── Waiting ◀─ blocked, or ran ◀─
//!   └──── Shelved ◀─ gave_up
//! ```
//!
//! Only the frontier comes to the gate. Waiting ends when the awaited stretch ran or is committed;
//! who is shelved runs at the gate only. A turn whose stretch the gate took over (doomed, then at
//! the gate) reports to nobody: it is not the latest any more.

use blockloom_state::{Audience, Incarnation};

use crate::{
    parallel::scheduler::{
        batch::{Stretch, Turn},
        priority::{Choice, Claimant, Next, Scope},
        window::{Closure, Window},
    },
    policy::batching::Cut,
};

/// Where a stretch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    /// Nobody runs it.
    Ready,
    /// A worker runs it.
    Running,
    /// A worker runs it, for nothing.
    Doomed,
    /// It ran, and nobody knows that any of it is stale.
    Ran,
    /// It needs what this transaction is expected to write.
    Waiting(Stretch),
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
    awaited: Option<Stretch>,
}

/// What the gate is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AtGate {
    /// Take the frontier through: judge what is recorded of it, run the rest.
    Take(Turn),
    /// Somebody runs the frontier, as far as known on what is committed.
    Elsewhere,
}

/// Whether a turn that was reported still counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It does.
    Counts,
    /// It does not: what it observed has changed, or somebody else has the stretch.
    Void,
}

/// How a stretch was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passed {
    /// At least half of it with what speculative runs recorded.
    Recorded,
    /// By running most of it at the gate.
    RunAtGate,
}

/// The state machine of one block.
#[derive(Debug)]
pub(super) struct Plan {
    entries: Vec<Entry>,
    frontier: usize,
    choice: Choice,
    /// Who waits for whom.
    waiting: Vec<(Stretch, Stretch)>,
    pub(super) window: Window,
    /// Whether no worker has come yet.
    is_alone: bool,
    /// Whether the gate came to the frontier while somebody ran it.
    is_late: bool,
    is_stopped: bool,
}

impl Plan {
    /// A plan for a block that is cut so, and so many threads.
    pub(super) fn new(cuts: &[Cut], threads: usize) -> Self {
        let entry = Entry {
            status: Status::Ready,
            next: Incarnation::FIRST,
            latest: Incarnation::FIRST,
            awaited: None,
        };
        Self {
            entries: vec![entry; cuts.len()],
            frontier: 0,
            choice: Choice::new(cuts, threads),
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

    /// Nothing is done any more. Returns the stretches that are being run.
    pub(super) fn stop(&mut self) -> impl Iterator<Item = Stretch> {
        self.is_stopped = true;
        let running = |entry: &Entry| matches!(entry.status, Status::Running | Status::Doomed);
        let entries = self.entries.iter().enumerate().skip(self.frontier);
        entries.filter(move |(_, entry)| running(entry)).map(|(position, _)| Stretch::new(position))
    }

    /// A worker has come.
    pub(super) fn has_company(&mut self) {
        self.is_alone = false;
    }

    /// Whether a worker would find something to do.
    pub(super) fn has_work(&self) -> bool {
        self.next_ready(Claimant::Worker).is_some()
    }

    /// Gives somebody something to run ahead.
    pub(super) fn claim(&mut self, who: Claimant) -> Option<Turn> {
        let next = self.next_ready(who)?;
        let position = self.choice.take(next);
        Some(self.start(position, Status::Running))
    }

    fn next_ready(&self, who: Claimant) -> Option<Next> {
        let reach = self.window.reach();
        if self.is_stopped || reach == 0 {
            return None;
        }
        let scope = Scope {
            near: self.frontier + reach / 2,
            end: self.entries.len().min(self.frontier + 1 + reach),
            is_calm: self.window.is_calm(),
        };
        self.choice.next(who, scope, |position| self.entries[position].status == Status::Ready)
    }

    fn start(&mut self, position: usize, status: Status) -> Turn {
        let entry = &mut self.entries[position];
        entry.latest = entry.next;
        entry.next = entry.next.next();
        entry.status = status;
        Turn { stretch: Stretch::new(position), incarnation: entry.latest }
    }

    /// The entry of a turn, unless the gate took its stretch over.
    fn entry_of(&mut self, turn: Turn) -> Option<&mut Entry> {
        let entry = &mut self.entries[turn.stretch.get()];
        (entry.latest == turn.incarnation).then_some(entry)
    }

    fn make_ready(&mut self, stretch: Stretch) {
        self.entries[stretch.get()].status = Status::Ready;
        self.choice.again(stretch.get());
    }

    /// A turn was broken off: it was doomed, or the block was stopped.
    pub(super) fn broke_off(&mut self, turn: Turn) {
        let Some(entry) = self.entry_of(turn) else { return };
        match entry.status {
            Status::Doomed => {
                self.window.wasted();
                self.make_ready(turn.stretch);
            }
            Status::Running => assert!(self.is_stopped, "nobody breaks off a run that counts"),
            other => unreachable!("a turn that is {other:?} does not break off"),
        }
    }

    /// A turn came to its end, and all of it is published.
    pub(super) fn ran(&mut self, turn: Turn) -> Standing {
        let Some(entry) = self.entry_of(turn) else { return Standing::Void };
        match entry.status {
            Status::Running => {
                entry.status = Status::Ran;
                self.release(turn.stretch);
                Standing::Counts
            }
            Status::Doomed => {
                self.window.wasted();
                self.make_ready(turn.stretch);
                Standing::Void
            }
            other => unreachable!("a turn that is {other:?} does not end"),
        }
    }

    /// A turn met a prediction of a transaction in `on`.
    pub(super) fn blocked(&mut self, turn: Turn, on: Stretch) {
        self.window.wasted();
        let awaited = self.entries[on.get()].status;
        let Some(entry) = self.entry_of(turn) else { return };
        // What is predicted of one's own, and was not written, will not come either.
        let is_there = matches!(awaited, Status::Ran | Status::Committed) || on == turn.stretch;
        let before = entry.awaited.replace(on);
        match entry.status {
            Status::Running if !is_there => {
                entry.status = Status::Waiting(on);
                self.waiting.push((on, turn.stretch));
            }
            // Who ran and does not write what was predicted never will: asking again is in vain.
            Status::Running if before == Some(on) => entry.status = Status::Shelved,
            Status::Running | Status::Doomed => self.make_ready(turn.stretch),
            other => unreachable!("a run that is {other:?} is not blocked"),
        }
    }

    /// A run of a turn failed, or needs the frontier.
    pub(super) fn gave_up(&mut self, turn: Turn) {
        let Some(entry) = self.entry_of(turn) else { return };
        match entry.status {
            Status::Running => {
                entry.status = Status::Shelved;
                self.window.wasted();
            }
            Status::Doomed => self.make_ready(turn.stretch),
            other => unreachable!("a run that is {other:?} does not give up"),
        }
    }

    /// What a transaction of a stretch observed has changed.
    pub(super) fn stale(&mut self, stretch: Stretch) -> Stale {
        let entry = &mut self.entries[stretch.get()];
        match entry.status {
            Status::Running => {
                entry.status = Status::Doomed;
                Stale::BreakOff
            }
            Status::Ran => {
                self.window.wasted();
                self.make_ready(stretch);
                Stale::RunAgain
            }
            _ => Stale::Known,
        }
    }

    /// Brings the frontier to the gate; there must be one.
    pub(super) fn at_gate(&mut self) -> AtGate {
        match self.entries[self.frontier].status {
            Status::Ran | Status::Ready | Status::Waiting(_) | Status::Shelved | Status::Doomed => {
                self.choice.withhold(self.frontier);
                AtGate::Take(self.start(self.frontier, Status::AtGate))
            }
            Status::Running => {
                self.is_late = true;
                AtGate::Elsewhere
            }
            Status::AtGate | Status::Committed => unreachable!("the gate has one stretch at a time"),
        }
    }

    /// Whether anybody may run ahead before the frontier is committed, or as soon as it is.
    pub(super) fn audience(&self) -> Audience {
        match self.window.closure() {
            _ if self.is_alone => Audience::NobodyYet,
            Closure::None => Audience::Somebody,
            Closure::Short => Audience::NobodyYet,
            Closure::Long => Audience::Nobody,
        }
    }

    /// A record of the frontier is stale, and nobody had said so.
    pub(super) fn refused(&mut self) {
        assert_eq!(self.entries[self.frontier].status, Status::AtGate, "only the gate refuses");
        self.window.wasted();
    }

    /// The frontier is final.
    pub(super) fn committed(&mut self, how: Passed) {
        let entry = &mut self.entries[self.frontier];
        assert_eq!(entry.status, Status::AtGate, "only the gate commits");
        entry.status = Status::Committed;
        let stretch = Stretch::new(self.frontier);
        self.frontier += 1;
        // A run that the gate had to wait for has hardly run ahead of it.
        let was_late = std::mem::take(&mut self.is_late);
        if how == Passed::Recorded && !was_late {
            self.window.paid();
        }
        self.window.moved();
        self.release(stretch);
    }

    /// Whoever waited for this stretch is ready again.
    fn release(&mut self, on: Stretch) {
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
        let elsewhere = [Status::Running, Status::AtGate];
        self.entries.get(self.frontier).is_none_or(|entry| !elsewhere.contains(&entry.status))
    }
}

/// What follows from a stretch's being stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stale {
    /// The worker that runs it should break off.
    BreakOff,
    /// It will be run again.
    RunAgain,
    /// Nothing: nobody relied on it.
    Known,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::batching::Effort;

    fn plan(efforts: &[Effort]) -> Plan {
        with_threads(efforts, 9)
    }

    fn with_threads(efforts: &[Effort], threads: usize) -> Plan {
        Plan::new(&efforts.iter().copied().map(Cut::single).collect::<Vec<_>>(), threads)
    }

    fn heavy(count: usize) -> Plan {
        plan(&vec![Effort::Heavy; count])
    }

    fn turn(stretch: usize, turns: u32) -> Turn {
        let incarnation = (0..turns).fold(Incarnation::FIRST, |incarnation, _| incarnation.next());
        Turn { stretch: Stretch::new(stretch), incarnation }
    }

    fn run(plan: &mut Plan, turn: Turn) {
        assert_eq!(plan.ran(turn), Standing::Counts);
    }

    #[test]
    fn stretches_are_claimed_in_order_and_committed_in_order() {
        let mut plan = heavy(3);
        let claimed: Vec<_> = std::iter::from_fn(|| plan.claim(Claimant::Worker)).collect();
        assert_eq!(claimed, [turn(0, 0), turn(1, 0), turn(2, 0)]);
        run(&mut plan, claimed[1]);
        assert_eq!(plan.at_gate(), AtGate::Elsewhere);
        run(&mut plan, claimed[0]);
        for stretch in 0..2 {
            assert_eq!(plan.at_gate(), AtGate::Take(turn(stretch, 1)));
            plan.committed(Passed::Recorded);
        }
        assert_eq!(plan.at_gate(), AtGate::Elsewhere);
        assert!(!plan.is_over());
    }

    #[test]
    fn the_gate_takes_over_a_doomed_turn_which_reports_to_nobody() {
        let mut plan = heavy(2);
        let doomed = plan.claim(Claimant::Worker).unwrap();
        assert_eq!(plan.stale(doomed.stretch), Stale::BreakOff);
        assert_eq!(plan.at_gate(), AtGate::Take(turn(0, 1)));
        assert_eq!(plan.ran(doomed), Standing::Void);
        plan.blocked(doomed, doomed.stretch);
        plan.gave_up(doomed);
        plan.broke_off(doomed);
        plan.committed(Passed::RunAtGate);
        assert_eq!(plan.claim(Claimant::Worker), Some(turn(1, 0)));
    }

    #[test]
    fn who_waits_is_ready_once_the_awaited_ran() {
        let mut plan = heavy(3);
        let (first, second) = (plan.claim(Claimant::Worker).unwrap(), plan.claim(Claimant::Worker).unwrap());
        plan.blocked(second, first.stretch);
        assert_eq!(plan.claim(Claimant::Worker), Some(turn(2, 0)));
        assert_eq!(plan.claim(Claimant::Worker), None);
        run(&mut plan, first);
        assert_eq!(plan.claim(Claimant::Worker), Some(turn(1, 1)));
    }

    #[test]
    fn who_would_wait_for_what_is_there_is_ready_at_once() {
        let mut plan = heavy(2);
        let (first, second) = (plan.claim(Claimant::Worker).unwrap(), plan.claim(Claimant::Worker).unwrap());
        run(&mut plan, first);
        plan.blocked(second, first.stretch);
        assert_eq!(plan.claim(Claimant::Worker), Some(turn(1, 1)));
    }

    #[test]
    fn who_waits_in_vain_is_left_to_the_gate() {
        let mut plan = heavy(2);
        let (first, second) = (plan.claim(Claimant::Worker).unwrap(), plan.claim(Claimant::Worker).unwrap());
        run(&mut plan, first);
        plan.blocked(second, first.stretch);
        let again = plan.claim(Claimant::Worker).unwrap();
        plan.blocked(again, first.stretch);
        assert_eq!(plan.claim(Claimant::Worker), None);
    }

    #[test]
    fn who_waits_for_itself_is_left_to_the_gate_in_the_end() {
        let mut plan = heavy(1);
        for _ in 0..2 {
            let turn = plan.claim(Claimant::Worker).unwrap();
            plan.blocked(turn, turn.stretch);
        }
        assert_eq!(plan.claim(Claimant::Worker), None);
        assert_eq!(plan.at_gate(), AtGate::Take(turn(0, 2)));
    }

    #[test]
    fn what_is_stale_is_run_again_whether_it_ran_or_runs() {
        let mut plan = heavy(2);
        let (first, second) = (plan.claim(Claimant::Worker).unwrap(), plan.claim(Claimant::Worker).unwrap());
        run(&mut plan, second);
        assert_eq!(plan.stale(second.stretch), Stale::RunAgain);
        assert_eq!(plan.stale(second.stretch), Stale::Known);
        let again = plan.claim(Claimant::Worker).unwrap();
        assert_eq!(again, turn(1, 1));
        assert_eq!(plan.stale(again.stretch), Stale::BreakOff);
        assert_eq!(plan.stale(again.stretch), Stale::Known);
        assert_eq!(plan.ran(again), Standing::Void);
        assert_eq!(plan.claim(Claimant::Worker), Some(turn(1, 2)));
        run(&mut plan, first);
    }

    #[test]
    fn a_stopped_plan_gives_nothing_out() {
        let mut plan = heavy(3);
        plan.claim(Claimant::Worker);
        assert_eq!(plan.stop().collect::<Vec<_>>(), [Stretch::new(0)]);
        assert!(plan.is_over() && !plan.has_work() && plan.claim(Claimant::Worker).is_none());
    }

    #[test]
    fn what_is_huge_is_begun_first_however_far_it_is() {
        let mut efforts = vec![Effort::Heavy; 300];
        for (position, asks) in [(0, 9), (200, 1), (250, 2), (270, 2)] {
            efforts[position] = Effort::Huge { asks };
        }
        let mut plan = plan(&efforts);
        assert_eq!(plan.at_gate(), AtGate::Take(turn(0, 0)));
        for next in [250, 270, 200, 1] {
            assert_eq!(plan.claim(Claimant::Worker), Some(turn(next, 0)));
        }
    }

    #[test]
    fn what_was_huge_and_stale_is_run_again_when_its_turn_has_come() {
        let mut plan = plan(&[Effort::Heavy, Effort::Heavy, Effort::Huge { asks: 1 }, Effort::Heavy]);
        let huge = plan.claim(Claimant::Worker).unwrap();
        run(&mut plan, huge);
        plan.stale(huge.stretch);
        for next in [turn(0, 0), turn(1, 0), turn(2, 1), turn(3, 0)] {
            assert_eq!(plan.claim(Claimant::Worker), Some(next));
        }
    }

    #[test]
    fn the_gates_thread_begins_something_huge_only_if_there_is_nothing_else() {
        let mut plan = plan(&[Effort::Heavy, Effort::Huge { asks: 1 }, Effort::Heavy]);
        plan.claim(Claimant::Gate);
        assert_eq!(plan.at_gate(), AtGate::Elsewhere);
        assert_eq!(plan.claim(Claimant::Gate), Some(turn(2, 0)));
        assert_eq!(plan.claim(Claimant::Gate), Some(turn(1, 0)));
        assert_eq!(plan.claim(Claimant::Gate), None);
    }

    #[test]
    fn the_gate_is_left_its_share_as_long_as_it_comes_to_it_soon() {
        let mut plan = with_threads(&[Effort::Bulk; 60], 2);
        let claimed: Vec<_> =
            std::iter::from_fn(|| plan.claim(Claimant::Worker)).map(|turn| turn.stretch.get()).collect();
        let reach = plan.window.reach();
        let (near, far) = claimed.iter().partition::<Vec<usize>, _>(|position| **position < reach / 2);
        assert_eq!(near, (0..reach / 2).step_by(2).collect::<Vec<_>>(), "every other one");
        assert_eq!(far, (reach / 2..=reach).collect::<Vec<_>>(), "all of them");
    }

    #[test]
    fn what_takes_little_is_left_to_the_gate() {
        let mut plan = plan(&[Effort::Heavy, Effort::Light, Effort::Heavy, Effort::Light]);
        let (first, third) = (plan.claim(Claimant::Worker).unwrap(), plan.claim(Claimant::Worker).unwrap());
        assert_eq!((first, third), (turn(0, 0), turn(2, 0)));
        assert_eq!(plan.claim(Claimant::Worker), None);
        run(&mut plan, first);
        assert_eq!(plan.at_gate(), AtGate::Take(turn(0, 1)));
        plan.committed(Passed::Recorded);
        assert_eq!(plan.at_gate(), AtGate::Take(turn(1, 0)));
    }
}
