//! Which ready batch runs ahead next. Pure: no locks.
//!
//! The order is: stale batches below all untouched ones; then huge batches, wherever they are, the largest first; then
//! the lowest batch. A huge batch that was stale waits for its place in the order, because it would soon be stale again.
//! Light batches and borders are left to the gate. The gate's own thread takes huge batches last, because nothing is committed
//! meanwhile. Knows nothing of runs and how they end.

use std::{cmp::Reverse, collections::BTreeSet};

use crate::policy::batching::{Batch, Effort};

/// The thread that asks for a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claimant {
    /// A worker.
    Worker,
    /// The gate's own thread, while a worker runs the frontier.
    Gate,
}

/// Where the next batch comes from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Candidate {
    /// It is ready again.
    Again(usize),
    /// It is the largest huge one.
    Huge,
    /// It was never claimed.
    Untouched(usize),
}

/// How far ahead batches are claimed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Horizon {
    /// The gate soon comes to the batches before this one.
    pub(super) near: usize,
    /// The end of the window. Huge batches may lie beyond it.
    pub(super) end: usize,
    /// Whether the gate gets a share of heavy batches: no recent run was stale.
    pub(super) shares_heavy: bool,
}

/// The batches that may run ahead.
#[derive(Debug)]
pub(super) struct ReadyQueue {
    /// No batch from here on was ever claimed or left to the gate, except huge ones.
    untouched: usize,
    /// Batches that are ready again.
    again: BTreeSet<usize>,
    /// Huge batches that were never claimed, the largest first.
    huge: BTreeSet<(Reverse<u64>, usize)>,
    efforts: Vec<Effort>,
    /// How many batches in a row were claimed without one that is left to the gate.
    in_a_row: usize,
    /// How many may be: as many as there are threads beside the gate's.
    max_in_a_row: usize,
}

impl ReadyQueue {
    /// All batches of a block, for a number of threads.
    pub(super) fn new(batches: &[Batch], threads: usize) -> Self {
        let efforts: Vec<_> = batches.iter().map(|batch| batch.effort).collect();
        Self {
            untouched: 0,
            again: BTreeSet::new(),
            huge: (0..efforts.len()).filter_map(|position| huge(&efforts, position)).collect(),
            efforts,
            in_a_row: 0,
            max_in_a_row: threads.saturating_sub(1).max(1),
        }
    }

    /// The next batch, if there is one. `is_ready` tells whether a batch is neither running nor has run.
    pub(super) fn next(
        &self,
        claimant: Claimant,
        horizon: Horizon,
        is_ready: impl Fn(usize) -> bool,
    ) -> Option<Candidate> {
        let again = self.again.first().copied().filter(|again| *again < horizon.end);
        if let Some(again) = again.filter(|again| *again < self.untouched) {
            return Some(Candidate::Again(again));
        }
        let huge = || (!self.huge.is_empty()).then_some(Candidate::Huge);
        let lowest = || match (again, self.next_untouched(claimant, horizon, is_ready)) {
            (Some(again), Some(untouched)) if untouched < again => Some(Candidate::Untouched(untouched)),
            (Some(again), _) => Some(Candidate::Again(again)),
            (None, untouched) => untouched.map(Candidate::Untouched),
        };
        match claimant {
            Claimant::Worker => huge().or_else(lowest),
            Claimant::Gate => lowest().or_else(huge),
        }
    }

    /// The next untouched batch that is worth running ahead. Near the frontier the gate gets a share of bulk batches,
    /// and of heavy ones while no run is stale: a run at the gate needs no record and no validation.
    fn next_untouched(
        &self,
        claimant: Claimant,
        horizon: Horizon,
        is_ready: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let mut is_for_gate = claimant == Claimant::Worker && self.in_a_row >= self.max_in_a_row;
        (self.untouched..horizon.end).find(|position| {
            let is_left = match self.efforts[*position] {
                _ if !is_ready(*position) => true,
                // Only the gate crosses a border. Huge batches are claimed from a set of their own.
                Effort::Light | Effort::Border | Effort::Huge { .. } => true,
                Effort::Bulk => is_for_gate && *position < horizon.near,
                Effort::Heavy => is_for_gate && *position < horizon.near && horizon.shares_heavy,
            };
            is_for_gate &= !is_left;
            !is_left
        })
    }

    /// Removes a candidate, and returns its position.
    pub(super) fn take(&mut self, candidate: Candidate) -> usize {
        match candidate {
            Candidate::Again(position) => {
                self.again.remove(&position);
                position
            }
            Candidate::Huge => self.huge.pop_first().expect("the candidate was found there").1,
            Candidate::Untouched(position) => {
                self.in_a_row = if position == self.untouched { self.in_a_row + 1 } else { 1 };
                self.untouched = position + 1;
                position
            }
        }
    }

    /// A batch that was claimed is ready again.
    pub(super) fn put_back(&mut self, position: usize) {
        self.again.insert(position);
    }

    /// The gate has the frontier: no other thread may claim it.
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

/// The key of a batch among the huge ones, if it is one.
fn huge(efforts: &[Effort], position: usize) -> Option<(Reverse<u64>, usize)> {
    match efforts[position] {
        Effort::Huge { gas_limit } => Some((Reverse(gas_limit), position)),
        Effort::Light | Effort::Bulk | Effort::Heavy | Effort::Border => None,
    }
}

#[cfg(not(feature = "shuttle"))]
#[cfg(test)]
mod tests {
    use super::*;

    const HORIZON: Horizon = Horizon { near: 5, end: 8, shares_heavy: true };

    fn queue(efforts: &[Effort], threads: usize) -> ReadyQueue {
        ReadyQueue::new(&efforts.iter().copied().map(Batch::single).collect::<Vec<_>>(), threads)
    }

    fn claimed(claimant: Claimant, effort: Effort, threads: usize, shares_heavy: bool) -> Vec<usize> {
        let mut queue = queue(&[effort; 8], threads);
        let horizon = Horizon { shares_heavy, ..HORIZON };
        let mut claimed = Vec::new();
        while let Some(candidate) = queue.next(claimant, horizon, |_| true) {
            claimed.push(queue.take(candidate));
        }
        claimed
    }

    #[test]
    fn while_no_run_is_stale_a_worker_leaves_every_other_near_batch_to_the_gate() {
        let all: Vec<_> = (0..8).collect();
        assert_eq!(claimed(Claimant::Worker, Effort::Heavy, 2, false), all);
        assert_eq!(claimed(Claimant::Worker, Effort::Heavy, 2, true), [0, 2, 4, 5, 6, 7]);
        assert_eq!(claimed(Claimant::Worker, Effort::Bulk, 2, false), [0, 2, 4, 5, 6, 7]);
        assert_eq!(
            claimed(Claimant::Worker, Effort::Heavy, 4, true),
            [0, 1, 2, 4, 5, 6, 7],
            "three in a row"
        );
        assert_eq!(claimed(Claimant::Gate, Effort::Heavy, 2, true), all, "the gate claims its own share");
    }

    fn next(queue: &mut ReadyQueue) -> Option<usize> {
        let next = queue.next(Claimant::Worker, HORIZON, |_| true);
        next.map(|candidate| queue.take(candidate))
    }

    #[test]
    fn a_batch_that_is_ready_again_comes_before_huge_ones_and_only_inside_the_window() {
        let mut queue = queue(&[Effort::Heavy, Effort::Heavy, Effort::Huge { gas_limit: 1 }], 2);
        let first = queue.next(Claimant::Gate, HORIZON, |_| true).map(|candidate| queue.take(candidate));
        queue.put_back(first.expect("it is the lowest"));
        assert_eq!(next(&mut queue), Some(0));
        queue.put_back(0);
        let closed = Horizon { end: 0, ..HORIZON };
        assert!(matches!(queue.next(Claimant::Worker, closed, |_| true), Some(Candidate::Huge)));
    }

    #[test]
    fn a_huge_batch_that_is_ready_again_comes_after_the_other_huge_ones() {
        let mut queue =
            queue(&[Effort::Huge { gas_limit: 2 }, Effort::Heavy, Effort::Huge { gas_limit: 1 }], 2);
        assert_eq!(next(&mut queue), Some(0));
        queue.put_back(0);
        assert_eq!([(); 3].map(|()| next(&mut queue)), [Some(2), Some(0), Some(1)]);
    }

    #[test]
    fn light_batches_and_borders_are_left_to_the_gate() {
        for effort in [Effort::Light, Effort::Border] {
            let heavy = Effort::Heavy;
            let mut queue = queue(&[heavy, effort, effort, heavy, effort, effort, effort, effort], 9);
            assert_eq!([(); 3].map(|()| next(&mut queue)), [Some(0), Some(3), None], "{effort:?}");
        }
    }

    #[test]
    fn the_frontier_and_batches_that_are_not_ready_are_not_claimed() {
        let mut queue = queue(&[Effort::Heavy; 8], 9);
        queue.withhold(0);
        let skipping = queue.next(Claimant::Worker, HORIZON, |position| position != 1);
        assert_eq!(skipping.map(|candidate| queue.take(candidate)), Some(2));
        queue.withhold(1);
        assert_eq!(next(&mut queue), Some(3), "the frontier lies behind what was claimed");
    }
}
