//! Whether the machine is quiet: as many busy threads as a measurement uses take about as long as one.
//!
//! The work waits for its own results, so threads that share a core's units (SMT) hardly disturb each other. What
//! slows it down is another program on one of the cores, or a virtual machine whose host has too few.

use std::{
    hint::black_box,
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use crate::times::Times;

/// One piece of work takes about 2 ms.
const STEPS: u64 = 2_000_000;
/// The pieces of one calibration. The best time of one thread is what the machine can do; the median time of all
/// threads is what it does.
const PIECES: usize = 5;

/// A greater slowdown is no accident of measuring.
const QUIET: f64 = 1.15;

/// How much longer busy threads take than one thread alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Calibration {
    threads: usize,
    /// The time of all at once / the time of one alone.
    pub slowdown: f64,
}

impl Calibration {
    /// Calibrates with as many threads as a measurement uses, and the machine has cores for. Takes about 30 ms.
    pub fn of(threads: usize) -> Self {
        let threads = threads.min(thread::available_parallelism().map_or(1, usize::from)).max(1);
        let (alone, together): (Vec<_>, Vec<_>) = (0..PIECES).map(|_| (run(1), run(threads))).unzip();
        let [alone, together] = [alone, together].map(Times::from);
        let slowdown = together.median().as_secs_f64() / alone.best().as_secs_f64();
        Self { threads, slowdown }
    }

    /// The same calibration once more, of both the less quiet one.
    #[must_use]
    pub fn again(self) -> Self {
        let again = Self::of(self.threads);
        if again.slowdown > self.slowdown { again } else { self }
    }

    /// A warning, if the machine is not quiet.
    pub fn warning(&self) -> Option<String> {
        let Self { threads, slowdown } = self;
        (*slowdown > QUIET).then(|| {
            format!(
                "the machine is not quiet: {threads} busy threads take {slowdown:.1} times as long as one; \
                 ratios are too low"
            )
        })
    }
}

/// The time until the last of the threads has done its piece.
fn run(threads: usize) -> Duration {
    let start_together = Barrier::new(threads);
    let piece = || {
        start_together.wait();
        let start = Instant::now();
        black_box((0..black_box(STEPS)).fold(1, |sum: u64, step| (sum ^ step).wrapping_mul(0x9e37_79b9)));
        start.elapsed()
    };
    thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(piece)).collect();
        let own = piece();
        let join =
            |other: thread::ScopedJoinHandle<'_, Duration>| other.join().expect("nothing in it panics");
        others.into_iter().map(join).fold(own, Duration::max)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn a_busy_machine_is_warned_of() {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let stop = AtomicBool::new(false);
        let is_warned_of = thread::scope(|scope| {
            // Two other programs on each core.
            for _ in 0..2 * cores {
                scope.spawn(|| {
                    // ORDER: Relaxed: no other data depends on it.
                    while !stop.load(Ordering::Relaxed) {
                        black_box(0);
                    }
                });
            }
            let is_warned_of = (0..10).any(|_| Calibration::of(cores).warning().is_some());
            stop.store(true, Ordering::Relaxed);
            is_warned_of
        });
        assert!(is_warned_of);
    }

    #[test]
    fn a_quiet_machine_is_not_warned_of() {
        assert_eq!(Calibration { threads: 2, slowdown: 1.1 }.warning(), None);
        assert_eq!(Calibration::of(1).threads, 1);
    }
}
