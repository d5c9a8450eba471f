//! The limit: the speedup that the dependencies of a block's transactions allow.
//!
//! A list scheduler without overhead: a transaction starts as soon as a worker is free and every transaction
//! that it depends on has finished; the longest critical path goes first. One worker does what happens before
//! and after the transactions.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
    num::NonZeroUsize,
    time::Duration,
};

use blockloom_engine::{Block, BlockError, Dependencies, Dependency, Engine};
use blockloom_state::{Location, MemoryStore};

/// The number of workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerCount {
    /// This many.
    Exactly(NonZeroUsize),
    /// One for each transaction.
    Unlimited,
}

/// The speedup over one worker: sequential time / time of the schedule.
pub fn limit(graph: &Dependencies, workers: WorkerCount) -> f64 {
    let (sequential, parallel) = (sequential_time(graph), shortest_time(graph, workers));
    if parallel.is_zero() { 1.0 } else { sequential.as_secs_f64() / parallel.as_secs_f64() }
}

/// The time of the block on one worker.
pub fn sequential_time(graph: &Dependencies) -> Duration {
    graph.opening + graph.closing + graph.transactions.iter().map(|part| part.time).sum::<Duration>()
}

/// The time of the schedule.
pub fn shortest_time(graph: &Dependencies, workers: WorkerCount) -> Duration {
    let shortest = match workers {
        WorkerCount::Unlimited => critical_paths(graph).into_iter().max().unwrap_or_default(),
        WorkerCount::Exactly(count) => makespan(graph, count.get()),
    };
    graph.opening + graph.closing + shortest
}

/// The same block, as if each transaction had its own copy of some locations.
#[must_use]
pub fn with_private(graph: &Dependencies, is_private: impl Fn(&Location) -> bool) -> Dependencies {
    let mut graph = graph.clone();
    for part in &mut graph.transactions {
        part.depends_on.retain(|needed| !needed.location.as_ref().is_some_and(&is_private));
    }
    graph
}

/// A transaction of the longest path of transactions that wait for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathStep {
    /// The position of the transaction in the block.
    pub position: usize,
    /// What it waits for; `None` for the first one.
    pub waits_for: Option<Dependency>,
}

/// The longest path of transactions that wait for each other, in order: no number of workers is faster.
pub fn critical_path(graph: &Dependencies) -> Vec<PathStep> {
    let lengths = critical_paths(graph);
    let mut needed_by: Vec<Vec<(usize, Dependency)>> = vec![Vec::new(); lengths.len()];
    for (position, part) in graph.transactions.iter().enumerate() {
        part.depends_on.iter().for_each(|needed| needed_by[needed.on.get()].push((position, *needed)));
    }
    let first = (0..lengths.len()).max_by_key(|position| (lengths[*position], Reverse(*position)));
    let mut next = first.map(|position| PathStep { position, waits_for: None });
    let mut path = Vec::new();
    while let Some(step) = next {
        path.push(step);
        let rest = lengths[step.position] - graph.transactions[step.position].time;
        let waiting = needed_by[step.position].iter().find(|(position, _)| lengths[*position] == rest);
        next = waiting
            .filter(|_| !rest.is_zero())
            .map(|&(position, needed)| PathStep { position, waits_for: Some(needed) });
    }
    path
}

/// The worker counts that reports list beside the actual one.
const FURTHER_COUNTS: [(&str, WorkerCount); 5] = [
    ("4", WorkerCount::Exactly(NonZeroUsize::new(4).unwrap())),
    ("8", WorkerCount::Exactly(NonZeroUsize::new(8).unwrap())),
    ("16", WorkerCount::Exactly(NonZeroUsize::new(16).unwrap())),
    ("64", WorkerCount::Exactly(NonZeroUsize::new(64).unwrap())),
    ("any", WorkerCount::Unlimited),
];

/// The limits of one block.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// With as many workers as the engine has threads.
    pub at_threads: f64,
    /// With other numbers of workers, by number.
    pub at_counts: [(&'static str, f64); FURTHER_COUNTS.len()],
}

/// The most executions of a block to find its limit. More rounds do not improve the medians.
const MOST_ROUNDS: usize = 5;

impl Limits {
    /// Executes a block on `engine`, and computes its limits from times and dependencies.
    ///
    /// # Errors
    ///
    /// If the block is invalid.
    pub fn of(engine: &Engine, base: &MemoryStore, block: &Block, rounds: usize) -> Result<Self, BlockError> {
        let graph = engine.dependencies(base, block, rounds.min(MOST_ROUNDS))?;
        let threads = NonZeroUsize::new(engine.threads()).expect("the calling thread is one");
        Ok(Self {
            at_threads: limit(&graph, WorkerCount::Exactly(threads)),
            at_counts: FURTHER_COUNTS.map(|(name, workers)| (name, limit(&graph, workers))),
        })
    }
}

/// For each transaction, the length of its critical path: its own time and that of the longest chain of
/// transactions that depend on it.
fn critical_paths(graph: &Dependencies) -> Vec<Duration> {
    let mut paths: Vec<Duration> = vec![Duration::ZERO; graph.transactions.len()];
    for (position, part) in graph.transactions.iter().enumerate().rev() {
        paths[position] += part.time;
        let path = paths[position];
        for needed in &part.depends_on {
            let longest = &mut paths[needed.on.get()];
            *longest = path.max(*longest);
        }
    }
    paths
}

/// A transaction with all its dependencies finished.
#[derive(PartialEq, Eq)]
struct Ready {
    critical_path: Duration,
    position: usize,
}

impl Ord for Ready {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.critical_path, Reverse(self.position)).cmp(&(other.critical_path, Reverse(other.position)))
    }
}

impl PartialOrd for Ready {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The time at which the last transaction ends.
fn makespan(graph: &Dependencies, workers: usize) -> Duration {
    let parts = &graph.transactions;
    let paths = critical_paths(graph);
    let mut missing: Vec<usize> = parts.iter().map(|part| part.depends_on.len()).collect();
    let mut needed_by = vec![Vec::new(); parts.len()];
    for (position, part) in parts.iter().enumerate() {
        part.depends_on.iter().for_each(|needed| needed_by[needed.on.get()].push(position));
    }
    let is_free = |position: &usize| missing[*position] == 0;
    let ready =
        (0..parts.len()).filter(is_free).map(|position| Ready { critical_path: paths[position], position });
    let mut ready: BinaryHeap<Ready> = ready.collect();
    let mut running: BinaryHeap<Reverse<(Duration, usize)>> = BinaryHeap::new();
    let mut now = Duration::ZERO;
    loop {
        while running.len() < workers
            && let Some(Ready { position, .. }) = ready.pop()
        {
            running.push(Reverse((now + parts[position].time, position)));
        }
        let Some(Reverse((end, done))) = running.pop() else { return now };
        now = end;
        for &position in &needed_by[done] {
            missing[position] -= 1;
            if missing[position] == 0 {
                ready.push(Ready { critical_path: paths[position], position });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Address, U256};
    use blockloom_engine::TransactionDependencies;
    use blockloom_state::TxIndex;

    use super::*;

    /// A block from the microseconds and the dependencies of each transaction.
    fn graph<const N: usize>(around: u64, parts: [(u64, &[usize]); N]) -> Dependencies {
        let part = |(micros, depends_on): (u64, &[usize])| TransactionDependencies {
            time: Duration::from_micros(micros),
            depends_on: depends_on.iter().map(|on| dependency(*on, 0)).collect(),
            ..TransactionDependencies::default()
        };
        let opening = Duration::from_micros(around);
        Dependencies { opening, transactions: parts.map(part).into(), closing: Duration::ZERO }
    }

    /// A dependency through a slot.
    fn dependency(on: usize, slot: u64) -> Dependency {
        let location = Location::Slot(Address::ZERO, U256::from(slot));
        Dependency { on: TxIndex::new(on), location: Some(location) }
    }

    fn exactly(workers: usize) -> WorkerCount {
        WorkerCount::Exactly(NonZeroUsize::new(workers).expect("the tests use at least one"))
    }

    #[test]
    fn independent_transactions_run_in_parallel() {
        let block = graph(0, [(10, &[]), (10, &[]), (10, &[]), (10, &[])]);
        let limits = [exactly(1), exactly(2), exactly(3), exactly(4), exactly(8), WorkerCount::Unlimited]
            .map(|workers| limit(&block, workers));
        assert_eq!(limits, [1.0, 2.0, 2.0, 4.0, 4.0, 4.0]);
    }

    #[test]
    fn a_chain_gains_nothing() {
        let block = graph(0, [(10, &[]), (10, &[0]), (10, &[1])]);
        assert_eq!(
            [exactly(1), exactly(8), WorkerCount::Unlimited].map(|workers| limit(&block, workers)),
            [1.0; 3]
        );
    }

    #[test]
    fn the_longest_critical_path_starts_first() {
        // Four short ones and a long one at the end: started last, it would end at 60.
        let block = graph(0, [(10, &[]), (10, &[]), (10, &[]), (10, &[]), (40, &[])]);
        assert_eq!(limit(&block, exactly(2)), 2.0);
    }

    #[test]
    fn the_critical_path_is_the_longest_chain_and_says_what_each_waits_for() {
        let block = graph(0, [(10, &[]), (30, &[]), (10, &[0]), (10, &[2, 1]), (5, &[2]), (39, &[])]);
        let path = critical_path(&block);
        assert_eq!(path.iter().map(|step| step.position).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(
            path.iter().map(|step| step.waits_for).collect::<Vec<_>>(),
            [None, Some(dependency(1, 0))]
        );
        let length: Duration = path.iter().map(|step| block.transactions[step.position].time).sum();
        assert_eq!(length, shortest_time(&block, WorkerCount::Unlimited));
        assert_eq!(critical_path(&Dependencies::default()), []);
    }

    #[test]
    fn a_private_location_is_no_dependency() {
        let mut block = graph(0, [(10, &[]), (10, &[0]), (10, &[1])]);
        block.transactions[2].depends_on.push(dependency(0, 7));
        let slot = |wanted: u64| {
            move |location: &Location| *location == Location::Slot(Address::ZERO, U256::from(wanted))
        };
        let limit_with = |wanted| limit(&with_private(&block, slot(wanted)), WorkerCount::Unlimited);
        assert_eq!([limit_with(0), limit_with(7), limit_with(9)], [1.5, 1.0, 1.0]);
    }

    #[test]
    fn opening_and_closing_are_sequential() {
        let block = graph(20, [(10, &[]), (10, &[])]);
        assert!((limit(&block, exactly(2)) - 40.0 / 30.0).abs() < 1e-9);
    }

    #[test]
    fn an_empty_block_has_limit_one() {
        assert_eq!(limit(&Dependencies::default(), exactly(2)), 1.0);
    }
}
