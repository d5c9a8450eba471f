//! Whether the base answers at once, or takes its time.
//!
//! What is at hand in a base need not be remembered anywhere else: entering it under a lock takes as
//! long as asking again. What comes from a disk, or from afar, is worth that many times over. Only a
//! clock can tell which it is, so some of the questions are timed: the one clock of this crate. If it is
//! mistaken, that costs time and nothing else.

use std::time::{Duration, Instant};

use alloy_primitives::Address;

use crate::model::base::Base;

/// The first of all finds everything cold. So many after it are timed, and then one in so many.
const FIRST: u32 = 8;
const ONE_IN: u32 = 32;
/// Answers that take so long do not come out of memory: where that is many times as large as the caches, one
/// takes 1 to 2 us, and one in a hundred any time.
const SLOW: Duration = Duration::from_micros(4);
/// So many of them are needed, for a thread may have lost its core meanwhile.
const FEWEST_SLOW: u32 = 3;
/// One of so many answers must be slow: a cache may give the others.
const ONE_SLOW_IN: u32 = 4;

/// Whether a base takes its time to answer, as far as a few questions for these accounts tell; the first of
/// them tells nothing.
pub fn has_high_latency<B: Base>(base: &B, accounts: impl Iterator<Item = Address>) -> bool {
    let mut latency = Latency::default();
    accounts.take(1 + FIRST as usize).any(|account| {
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
        let is_timed = (2..=1 + FIRST).contains(&self.asked) || self.asked.is_multiple_of(ONE_IN);
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
    use std::sync::atomic::{AtomicU32, Ordering};

    use alloy_primitives::{B256, U256};
    use revm_database_interface::DatabaseRef;
    use revm_state::{AccountInfo, Bytecode};

    use super::*;
    use crate::stores::memory::MissingCode;

    /// Knows nobody, and takes its time where `takes_long` says so of the number of the question.
    struct Pondering<F> {
        takes_long: F,
        asked: AtomicU32,
    }

    impl<F: Fn(u32) -> bool + Sync> DatabaseRef for Pondering<F> {
        type Error = MissingCode;

        fn basic_ref(&self, _: Address) -> Result<Option<AccountInfo>, MissingCode> {
            // ORDER: Relaxed: one thread asks.
            let question = self.asked.fetch_add(1, Ordering::Relaxed);
            let start = Instant::now();
            while (self.takes_long)(question) && start.elapsed() < 2 * SLOW {}
            Ok(None)
        }

        fn code_by_hash_ref(&self, _: B256) -> Result<Bytecode, MissingCode> {
            unreachable!("nobody asks for codes")
        }

        fn storage_ref(&self, _: Address, _: U256) -> Result<U256, MissingCode> {
            unreachable!("nobody asks for slots")
        }

        fn block_hash_ref(&self, _: u64) -> Result<B256, MissingCode> {
            unreachable!("nobody asks for blocks")
        }
    }

    fn seems_slow(accounts: usize, takes_long: impl Fn(u32) -> bool + Sync) -> bool {
        let base = Pondering { takes_long, asked: AtomicU32::new(0) };
        has_high_latency(&base, std::iter::repeat_n(Address::ZERO, accounts))
    }

    #[test]
    fn a_few_questions_tell_whether_a_base_takes_its_time() {
        assert!(seems_slow(4, |_| true));
        assert!(seems_slow(9, |question| question % 2 == 0), "what is called is in its cache");
        assert!(!seems_slow(9, |question| question < 2), "it was cold, and then a thread lost its core");
        assert!(!seems_slow(9, |_| false));
        assert!(!seems_slow(3, |_| true), "too few tell nothing");
    }

    #[test]
    fn it_is_high_where_several_answers_took_long_and_not_too_few_of_all() {
        let mut latency = Latency::default();
        let mut notes = |count: usize, took| {
            (0..count).for_each(|_| latency.note(took));
            latency.is_high()
        };
        assert!(!notes(0, SLOW), "nobody knows");
        assert!(!notes(2, Duration::from_secs(1)), "that may be bad luck");
        assert!(notes(1, SLOW));
        assert!(notes(9, Duration::ZERO), "a cache may know some of them");
        assert!(!notes(1, Duration::ZERO));
    }
}
