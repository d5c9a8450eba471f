//! The idle timeout: how long a thread waits for its next job before it goes to sleep.
//!
//! Waiting costs a core, and waking a sleeping thread costs time. The timeout is long while jobs arrive
//! within it. After some timeouts without a job it becomes short. It is long again after a job that
//! the long timeout would have caught, and the short one missed.

use std::time::Duration;

use crate::policy::tuning::{EXPIRATIONS_UNTIL_SHORT, LONG_BY_SHORT};

/// The timeout, and its recent expirations.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IdleTimeout {
    long: Duration,
    expirations: u32,
}

impl IdleTimeout {
    /// A timeout that is `long` at first, and never longer.
    pub(crate) const fn new(long: Duration) -> Self {
        Self { long, expirations: 0 }
    }

    /// The timeout of the next wait.
    pub(crate) fn current(&self) -> Duration {
        if self.expirations < EXPIRATIONS_UNTIL_SHORT { self.long } else { self.short() }
    }

    fn short(&self) -> Duration {
        self.long / LONG_BY_SHORT
    }

    /// Records a wait that ended without a job.
    pub(crate) fn record_expiration(&mut self) {
        self.expirations = self.expirations.saturating_add(1);
    }

    /// Records the time between a job and the job before it, whether a thread waited for it or not.
    pub(crate) fn record_gap(&mut self, gap: Duration) {
        // A gap below the short timeout gives no reason for the long one.
        if (self.short()..self.long).contains(&gap) {
            self.expirations = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_millis(16);

    fn expired(times: u32) -> IdleTimeout {
        let mut timeout = IdleTimeout::new(LONG);
        (0..times).for_each(|_| timeout.record_expiration());
        timeout
    }

    #[test]
    fn the_timeout_is_short_after_four_expirations() {
        assert_eq!(expired(3).current(), LONG);
        assert_eq!(expired(4).current(), LONG / 16);
        assert_eq!(expired(1000).current(), LONG / 16);
    }

    #[test]
    fn a_job_that_only_the_long_timeout_catches_makes_the_timeout_long_again() {
        for (millis, expected) in [(0, LONG / 16), (1, LONG), (15, LONG), (16, LONG / 16), (999, LONG / 16)] {
            let mut timeout = expired(9);
            timeout.record_gap(Duration::from_millis(millis));
            assert_eq!(timeout.current(), expected, "{millis} ms");
        }
    }

    #[test]
    fn a_timeout_of_zero_stays_zero() {
        let mut timeout = IdleTimeout::new(Duration::ZERO);
        timeout.record_gap(Duration::ZERO);
        timeout.record_expiration();
        assert_eq!(timeout.current(), Duration::ZERO);
    }
}
