//! How long a thread waits for its next job before it goes to sleep.
//!
//! Waiting costs a core, sleeping costs being woken up. So it waits as long as it may while that brings
//! something now and then; after some waits that brought nothing it waits briefly, until a job comes for
//! which the long wait would have been enough, and the brief one not.

use std::time::Duration;

/// After so many waits in vain the next ones are brief.
const ENOUGH: u32 = 4;

/// The share of the longest wait that a brief one is.
const BRIEF: u32 = 16;

/// How long to wait, going by the waits before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IdleTimeout {
    longest: Duration,
    in_vain: u32,
}

impl IdleTimeout {
    /// At most so long, and so long at first.
    pub(crate) const fn of(longest: Duration) -> Self {
        Self { longest, in_vain: 0 }
    }

    /// How long to wait now.
    pub(crate) fn now(&self) -> Duration {
        if self.in_vain < ENOUGH { self.longest } else { self.brief() }
    }

    fn brief(&self) -> Duration {
        self.longest / BRIEF
    }

    /// Somebody waited, and nothing came.
    pub(crate) fn wait_was_in_vain(&mut self) {
        self.in_vain = self.in_vain.saturating_add(1);
    }

    /// A job came so long after the one before, whether somebody was there for it or not.
    pub(crate) fn job_came_after(&mut self, time: Duration) {
        // Within a brief wait it tells nothing about longer ones.
        if (self.brief()..self.longest).contains(&time) {
            self.in_vain = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_millis(16);

    fn disappointed(times: u32) -> IdleTimeout {
        let mut patience = IdleTimeout::of(LONGEST);
        (0..times).for_each(|_| patience.wait_was_in_vain());
        patience
    }

    #[test]
    fn waits_are_brief_after_some_in_vain() {
        assert_eq!(disappointed(3).now(), LONGEST);
        assert_eq!(disappointed(4).now(), LONGEST / 16);
        assert_eq!(disappointed(1000).now(), LONGEST / 16);
    }

    #[test]
    fn a_job_for_which_waiting_was_or_would_have_been_enough_makes_them_long_again() {
        for (millis, now) in
            [(0, LONGEST / 16), (1, LONGEST), (15, LONGEST), (16, LONGEST / 16), (999, LONGEST / 16)]
        {
            let mut patience = disappointed(9);
            patience.job_came_after(Duration::from_millis(millis));
            assert_eq!(patience.now(), now, "{millis} ms");
        }
    }

    #[test]
    fn who_is_not_to_wait_does_not() {
        let mut patience = IdleTimeout::of(Duration::ZERO);
        patience.job_came_after(Duration::ZERO);
        patience.wait_was_in_vain();
        assert_eq!(patience.now(), Duration::ZERO);
    }
}
