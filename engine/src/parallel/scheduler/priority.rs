//! What is to be run ahead next, of all that is ready. Pure: no locks.
//!
//! Owns the order: what was stale below all that nobody touched; then what is huge, however far it is,
//! who asks for the most first; then the lowest. What was huge and stale comes when its turn has come:
//! who is far ahead is soon stale again. The others are left to the gate. Its own thread takes what is
//! huge last: nothing becomes final meanwhile. Knows nothing of runs and how they end.

use std::{cmp::Reverse, collections::BTreeSet};

use crate::policy::batching::{Cut, Effort};

/// Who is to run something ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claimant {
    /// A worker.
    Worker,
    /// The gate's own thread, while somebody else runs the frontier.
    Gate,
}

/// Where the next stretch comes from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Next {
    /// It is ready again.
    Again(usize),
    /// It is the hugest.
    Huge,
    /// Nobody touched it.
    Untouched(usize),
}

/// How far one may look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope {
    /// The gate soon comes to what is before this.
    pub(super) near: usize,
    /// The end of the window. What is huge may be beyond it.
    pub(super) end: usize,
    /// Whether nothing was for nothing for a long time.
    pub(super) is_calm: bool,
}

/// What there is to choose from.
#[derive(Debug)]
pub(super) struct Choice {
    /// No stretch from here on was ever claimed or left to the gate, but huge ones.
    untouched: usize,
    /// Stretches that are ready again.
    again: BTreeSet<usize>,
    /// Huge stretches that nobody touched: who asks for the most comes first.
    huge: BTreeSet<(Reverse<u64>, usize)>,
    efforts: Vec<Effort>,
    /// How many stretches in a row were claimed without one in between that is left to the gate.
    in_a_row: usize,
    /// How many may be: as many as there are threads beside the gate's.
    most_in_a_row: usize,
}

impl Choice {
    /// All stretches of a block that is cut so, for so many threads.
    pub(super) fn new(cuts: &[Cut], threads: usize) -> Self {
        let efforts: Vec<_> = cuts.iter().map(|cut| cut.effort).collect();
        Self {
            untouched: 0,
            again: BTreeSet::new(),
            huge: (0..efforts.len()).filter_map(|position| huge(&efforts, position)).collect(),
            efforts,
            in_a_row: 0,
            most_in_a_row: threads.saturating_sub(1).max(1),
        }
    }

    /// What comes next, if anything; `is_ready` says whether nobody runs a stretch, or ran it.
    pub(super) fn next(&self, who: Claimant, scope: Scope, is_ready: impl Fn(usize) -> bool) -> Option<Next> {
        let again = self.again.first().copied().filter(|again| *again < scope.end);
        if let Some(again) = again.filter(|again| *again < self.untouched) {
            return Some(Next::Again(again));
        }
        let huge = || (!self.huge.is_empty()).then_some(Next::Huge);
        let lowest = || match (again, self.next_untouched(who, scope, is_ready)) {
            (Some(again), Some(untouched)) if untouched < again => Some(Next::Untouched(untouched)),
            (Some(again), _) => Some(Next::Again(again)),
            (None, untouched) => untouched.map(Next::Untouched),
        };
        match who {
            Claimant::Worker => huge().or_else(lowest),
            Claimant::Gate => lowest().or_else(huge),
        }
    }

    /// The next stretch that nobody touched and that is worth it. The gate is left its share of what
    /// comes in bulk, and of all while nothing is for nothing: what it runs itself needs no record and
    /// no judging. Far ahead of it there is no need to.
    fn next_untouched(&self, who: Claimant, scope: Scope, is_ready: impl Fn(usize) -> bool) -> Option<usize> {
        let mut is_gates_turn = who == Claimant::Worker && self.in_a_row >= self.most_in_a_row;
        (self.untouched..scope.end).find(|position| {
            let is_left = match self.efforts[*position] {
                _ if !is_ready(*position) => true,
                Effort::Light => true,
                Effort::Bulk => is_gates_turn && *position < scope.near,
                // It is claimed as such.
                Effort::Huge { .. } => true,
                Effort::Heavy => is_gates_turn && *position < scope.near && scope.is_calm,
            };
            is_gates_turn &= !is_left;
            !is_left
        })
    }

    /// Takes what comes next away, and says where it is.
    pub(super) fn take(&mut self, next: Next) -> usize {
        match next {
            Next::Again(position) => {
                self.again.remove(&position);
                position
            }
            Next::Huge => self.huge.pop_first().expect("it was found there").1,
            Next::Untouched(position) => {
                self.in_a_row = if position == self.untouched { self.in_a_row + 1 } else { 1 };
                self.untouched = position + 1;
                position
            }
        }
    }

    /// A stretch that was claimed is ready again.
    pub(super) fn again(&mut self, position: usize) {
        self.again.insert(position);
    }

    /// The frontier is at the gate: nobody else is to have it.
    pub(super) fn withhold(&mut self, frontier: usize) {
        self.again.remove(&frontier);
        if let Some(huge) = huge(&self.efforts, frontier) {
            self.huge.remove(&huge);
        }
        if self.untouched <= frontier {
            self.untouched = frontier + 1;
            self.in_a_row = 0;
        }
    }
}

/// The place of a stretch among the huge ones, if it is one.
fn huge(efforts: &[Effort], position: usize) -> Option<(Reverse<u64>, usize)> {
    match efforts[position] {
        Effort::Huge { asks } => Some((Reverse(asks), position)),
        Effort::Light | Effort::Bulk | Effort::Heavy => None,
    }
}

#[cfg(all(test, not(feature = "shuttle")))]
mod tests {
    use super::*;

    fn claimed(who: Claimant, is_calm: bool) -> Vec<usize> {
        let mut choice = Choice::new(&[Cut::single(Effort::Heavy); 8], 2);
        let scope = Scope { near: 5, end: 8, is_calm };
        let next = |choice: &Choice| choice.next(who, scope, |_| true);
        let mut claimed = Vec::new();
        while let Some(next) = next(&choice) {
            claimed.push(choice.take(next));
        }
        claimed
    }

    #[test]
    fn while_nothing_is_for_nothing_a_worker_leaves_the_gate_its_share_of_what_is_near() {
        assert_eq!(claimed(Claimant::Worker, false), (0..8).collect::<Vec<_>>());
        assert_eq!(claimed(Claimant::Worker, true), [0, 2, 4, 5, 6, 7]);
        assert_eq!(claimed(Claimant::Gate, true), (0..8).collect::<Vec<_>>(), "it is its own share");
    }
}
