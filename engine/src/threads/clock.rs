//! The only clock of the engine: it measures durations for the statistics and the cost model.

use std::time::{Duration, Instant};

/// A moment of the clock.
pub(crate) type Moment = Instant;

/// Measures consecutive intervals.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    /// Begins the first interval.
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// When the current interval began.
    pub(crate) fn started(&self) -> Moment {
        self.0
    }

    /// The length of the current interval so far.
    pub(crate) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    /// Ends the current interval, begins the next one, and returns the length of the ended one.
    pub(crate) fn lap(&mut self) -> Duration {
        let now = Instant::now();
        now - std::mem::replace(&mut self.0, now)
    }
}
