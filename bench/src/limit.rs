//! The limit: how much faster a block could be with so many workers, if nothing but the block stood
//! in the way.
//!
//! A perfect scheduler starts a transaction as soon as a worker is free and those that it needs are
//! through, the one with the longest way to the end first, and takes no time itself. What happens
//! before and after the transactions is done by one worker.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
    num::NonZeroUsize,
    time::Duration,
};

use blockloom_engine::{Anatomy, Block, BlockError, Engine};
use blockloom_state::MemoryStore;

/// How many workers there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crew {
    /// So many.
    Of(NonZeroUsize),
    /// As many as have something to do.
    Any,
}

/// How many times as fast as one worker a perfect crew executes a block.
pub fn limit(anatomy: &Anatomy, crew: Crew) -> f64 {
    let around = anatomy.opening + anatomy.closing;
    let transactions: Duration = anatomy.transactions.iter().map(|part| part.time).sum();
    let shortest = match crew {
        Crew::Any => ways_to_the_end(anatomy).into_iter().max().unwrap_or_default(),
        Crew::Of(workers) => makespan(anatomy, workers.get()),
    };
    let (alone, together) = (around + transactions, around + shortest);
    if together.is_zero() { 1.0 } else { alone.as_secs_f64() / together.as_secs_f64() }
}

/// How many workers are told of beside those that there are.
const MORE: [(&str, Crew); 5] = [
    ("4", Crew::Of(NonZeroUsize::new(4).unwrap())),
    ("8", Crew::Of(NonZeroUsize::new(8).unwrap())),
    ("16", Crew::Of(NonZeroUsize::new(16).unwrap())),
    ("64", Crew::Of(NonZeroUsize::new(64).unwrap())),
    ("any", Crew::Any),
];

/// The limits of one block.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// With as many workers as the engine has threads.
    pub here: f64,
    /// With more of them, by their number: what more cores would bring.
    pub with_more: [(&'static str, f64); MORE.len()],
}

/// How often a block is executed at most to find its limit: medians of more are hardly better.
const MOST_ROUNDS: usize = 5;

impl Limits {
    /// The limits of a block on `engine`, from its anatomy.
    ///
    /// # Errors
    ///
    /// If the block is invalid.
    pub fn of(engine: &Engine, base: &MemoryStore, block: &Block, rounds: usize) -> Result<Self, BlockError> {
        let anatomy = engine.dissect(base, block, rounds.min(MOST_ROUNDS))?;
        let threads = NonZeroUsize::new(engine.threads()).expect("the calling thread is one");
        Ok(Self {
            here: limit(&anatomy, Crew::Of(threads)),
            with_more: MORE.map(|(name, crew)| (name, limit(&anatomy, crew))),
        })
    }
}

/// For each transaction, the time from its start to the end of the last one that needs it, one after
/// the other.
fn ways_to_the_end(anatomy: &Anatomy) -> Vec<Duration> {
    let mut ways: Vec<Duration> = vec![Duration::ZERO; anatomy.transactions.len()];
    for (position, part) in anatomy.transactions.iter().enumerate().rev() {
        ways[position] += part.time;
        let way = ways[position];
        for needed in &part.needs {
            let longest = &mut ways[needed.get()];
            *longest = way.max(*longest);
        }
    }
    ways
}

/// A transaction that could start now.
#[derive(PartialEq, Eq)]
struct Ready {
    way: Duration,
    position: usize,
}

impl Ord for Ready {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.way, Reverse(self.position)).cmp(&(other.way, Reverse(other.position)))
    }
}

impl PartialOrd for Ready {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// When the last transaction ends.
fn makespan(anatomy: &Anatomy, workers: usize) -> Duration {
    let parts = &anatomy.transactions;
    let ways = ways_to_the_end(anatomy);
    let mut missing: Vec<usize> = parts.iter().map(|part| part.needs.len()).collect();
    let mut needed_by = vec![Vec::new(); parts.len()];
    for (position, part) in parts.iter().enumerate() {
        part.needs.iter().for_each(|needed| needed_by[needed.get()].push(position));
    }
    let is_free = |position: &usize| missing[*position] == 0;
    let ready = (0..parts.len()).filter(is_free).map(|position| Ready { way: ways[position], position });
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
                ready.push(Ready { way: ways[position], position });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use blockloom_engine::Part;
    use blockloom_state::TxIndex;

    use super::*;

    /// A block whose transactions take so many microseconds and need those.
    fn anatomy<const N: usize>(around: u64, parts: [(u64, &[usize]); N]) -> Anatomy {
        let part = |(micros, needs): (u64, &[usize])| Part {
            time: Duration::from_micros(micros),
            needs: needs.iter().copied().map(TxIndex::new).collect(),
        };
        let opening = Duration::from_micros(around);
        Anatomy { opening, transactions: parts.map(part).into(), closing: Duration::ZERO }
    }

    fn of(workers: usize) -> Crew {
        Crew::Of(NonZeroUsize::new(workers).expect("there are some"))
    }

    #[test]
    fn independent_transactions_are_shared_out() {
        let block = anatomy(0, [(10, &[]), (10, &[]), (10, &[]), (10, &[])]);
        let limits = [of(1), of(2), of(3), of(4), of(8), Crew::Any].map(|crew| limit(&block, crew));
        assert_eq!(limits, [1.0, 2.0, 2.0, 4.0, 4.0, 4.0]);
    }

    #[test]
    fn a_chain_takes_as_long_as_alone() {
        let block = anatomy(0, [(10, &[]), (10, &[0]), (10, &[1])]);
        assert_eq!([of(1), of(8), Crew::Any].map(|crew| limit(&block, crew)), [1.0; 3]);
    }

    #[test]
    fn the_longest_way_is_begun_first() {
        // Two short ones and a long one at the end: begun last it would end at 50.
        let block = anatomy(0, [(10, &[]), (10, &[]), (10, &[]), (10, &[]), (40, &[])]);
        assert_eq!(limit(&block, of(2)), 2.0);
    }

    #[test]
    fn what_happens_around_the_transactions_is_not_shared_out() {
        let block = anatomy(20, [(10, &[]), (10, &[])]);
        assert!((limit(&block, of(2)) - 40.0 / 30.0).abs() < 1e-9);
    }

    #[test]
    fn a_block_of_nothing_has_no_limit_to_speak_of() {
        assert_eq!(limit(&Anatomy::default(), of(2)), 1.0);
    }
}
