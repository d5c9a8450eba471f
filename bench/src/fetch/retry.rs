//! Waits between the tries of a request.

use std::{
    hash::{BuildHasher, RandomState},
    thread,
    time::{Duration, Instant},
};

use crate::interrupt::is_interrupted;

/// The wait after the first failure. Each next one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(250);

/// The longest wait that is chosen here.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// The longest wait that a node may ask for.
const LONGEST_ASKED_WAIT: Duration = Duration::from_secs(60);

/// How long a wait goes on before an interrupt ends it.
const SLICE: Duration = Duration::from_millis(50);

/// The tries of one request.
#[derive(Debug)]
pub(super) struct Tries {
    done: u32,
    most: u32,
}

impl Tries {
    /// One try, and then `retries` more.
    pub(super) fn new(retries: u32) -> Self {
        Self { done: 1, most: retries + 1 }
    }

    /// How many there were.
    pub(super) fn done(&self) -> u32 {
        self.done
    }

    /// Waits for the next try, as long as the node asks for if it does. `false` if there is none, or after an interrupt.
    pub(super) fn wait(&mut self, asked: Option<Duration>) -> bool {
        if self.done >= self.most || is_interrupted() {
            return false;
        }
        let chosen = backoff(self.done, RandomState::new().hash_one(self.done));
        let wait = asked.map_or(chosen, |asked| asked.clamp(chosen, LONGEST_ASKED_WAIT));
        self.done += 1;
        let end = Instant::now() + wait;
        while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            if is_interrupted() {
                return false;
            }
            thread::sleep(left.min(SLICE));
        }
        true
    }
}

/// The wait after the try number `done`: between three quarters and five quarters of the doubled wait, so that many
/// requests that failed together do not come back together.
fn backoff(done: u32, random: u64) -> Duration {
    let doubled = FIRST_WAIT.saturating_mul(1 << (done - 1).min(16)).min(LONGEST_WAIT);
    let percent = u32::try_from(75 + random % 51).expect("it is at most 125");
    doubled * percent / 100
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_limit() {
        let exact = 25; // 100 per cent.
        assert_eq!(backoff(1, exact), Duration::from_millis(250));
        assert_eq!(backoff(3, exact), Duration::from_secs(1));
        assert_eq!(backoff(21, exact), LONGEST_WAIT);
        assert!(backoff(1, 0) < backoff(1, 50));
    }

    #[test]
    fn without_retries_there_is_one_try() {
        let mut tries = Tries::new(0);
        assert!(!tries.wait(None));
        assert_eq!(tries.done(), 1);
    }
}
