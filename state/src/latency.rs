//! Whether the base answers at once, or takes its time.
//!
//! What is at hand in a base need not be remembered anywhere else: entering it under a lock takes as
//! long as asking again. What comes from a disk, or from afar, is worth that many times over. Only a
//! clock can tell which it is, so some of the questions are timed: the one clock of this crate. If it is
//! mistaken, that costs time and nothing else.

use std::time::{Duration, Instant};

use alloy_primitives::Address;

use crate::Base;

/// The first so many questions are timed, and then one in so many.
const FIRST: u32 = 4;
const ONE_IN: u32 = 32;
/// Answers that take so long do not come out of memory.
const SLOW: Duration = Duration::from_micros(2);
/// So many of them are needed: the first finds everything cold, a thread may lose its core meanwhile, and where
/// memory is many times as large as the caches, one answer in a hundred out of it may take as long as that.
const FEWEST_SLOW: u32 = 4;
/// One of so many answers must be slow: a cache may give the others.
const ONE_SLOW_IN: u32 = 4;

/// Whether a base takes its time to answer, as far as a few questions for these accounts tell.
pub fn is_slow<B: Base>(base: &B, accounts: impl Iterator<Item = Address>) -> bool {
    let mut latency = Latency::default();
    accounts.take(FIRST as usize).any(|account| {
        // What fails here is met again by whoever needs it.
        let _ = latency.of(|| base.basic_ref(account));
        latency.is_high()
    })
}

/// How long the answers took so far.
#[derive(Debug, Default)]
pub(crate) struct Latency {
    asked: u32,
    timed: u32,
    slow: u32,
}

impl Latency {
    /// Asks, and now and then looks at how long that takes.
    #[inline]
    pub(crate) fn of<T>(&mut self, ask: impl FnOnce() -> T) -> T {
        self.asked = self.asked.wrapping_add(1);
        // The model checker runs the same schedule more than once: no clock may decide anything.
        let is_timed = self.asked <= FIRST || self.asked.is_multiple_of(ONE_IN);
        if !is_timed || cfg!(feature = "shuttle") {
            return ask();
        }
        let start = Instant::now();
        let answer = ask();
        self.note(start.elapsed());
        answer
    }

    fn note(&mut self, took: Duration) {
        self.timed += 1;
        self.slow += u32::from(took >= SLOW);
    }

    /// Whether enough of the answers took long.
    #[inline]
    pub(crate) fn is_high(&self) -> bool {
        let is_for_the_model = cfg!(feature = "shuttle") && self.asked.is_multiple_of(2);
        (self.slow >= FEWEST_SLOW && ONE_SLOW_IN * self.slow >= self.timed) || is_for_the_model
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_high_where_several_answers_took_long_and_not_too_few_of_all() {
        let mut latency = Latency::default();
        let mut notes = |count: usize, took| {
            (0..count).for_each(|_| latency.note(took));
            latency.is_high()
        };
        assert!(!notes(0, SLOW), "nobody knows");
        assert!(!notes(3, Duration::from_secs(1)), "that may be bad luck");
        assert!(notes(1, SLOW));
        assert!(notes(12, Duration::ZERO), "a cache may know some of them");
        assert!(!notes(1, Duration::ZERO));
    }
}
