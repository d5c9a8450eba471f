//! The only clock of the engine: how long things take, for the statistics and the forecast.

use std::time::{Duration, Instant};

/// Measures one stretch after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    /// Begins the first stretch.
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// How long the stretch has taken so far.
    pub(crate) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    /// Ends a stretch and begins the next.
    pub(crate) fn lap(&mut self) -> Duration {
        let now = Instant::now();
        now - std::mem::replace(&mut self.0, now)
    }
}
