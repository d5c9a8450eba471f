//! Whether the base answers at once, or takes its time.
//!
//! What is at hand in a base need not be remembered anywhere else: entering it under a lock takes as
//! long as asking again. What comes from a disk, or from afar, is worth that many times over. So some
//! of the questions are timed. It costs time and nothing else if this is mistaken.

use std::time::{Duration, Instant};

/// One question in so many is timed.
const TIMED: u32 = 32;
/// An answer that takes so long does not come out of memory.
const SLOW: Duration = Duration::from_micros(2);

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
        if self.asked % TIMED != 1 || cfg!(feature = "shuttle") {
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

    /// Whether most answers took long. Nobody knows before the first.
    #[inline]
    pub(crate) fn is_high(&self) -> bool {
        let is_for_the_model = cfg!(feature = "shuttle") && self.asked.is_multiple_of(2);
        2 * self.slow > self.timed || is_for_the_model
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_high_where_most_answers_take_long() {
        let mut latency = Latency::default();
        assert!(!latency.is_high());
        latency.note(SLOW);
        assert!(latency.is_high(), "all that is known is slow");
        latency.note(Duration::ZERO);
        assert!(!latency.is_high(), "one of them may have been bad luck");
        (0..2).for_each(|_| latency.note(2 * SLOW));
        assert!(latency.is_high());
    }
}
