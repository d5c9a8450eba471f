//! The times of repeated executions.

use std::time::{Duration, Instant};

/// The time of each round.
#[derive(Clone, Debug, Default)]
pub struct Times(Vec<Duration>);

impl Times {
    /// Runs `work` and records its time.
    pub fn take<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        self.0.push(start.elapsed());
        result
    }

    /// The shortest time; zero without any rounds.
    pub fn best(&self) -> Duration {
        self.0.iter().min().copied().unwrap_or_default()
    }

    /// The median time; zero without any rounds.
    pub fn median(&self) -> Duration {
        let mut times = self.0.clone();
        times.sort_unstable();
        times.get(times.len() / 2).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_time() {
        let times = Times([9, 1, 5].map(Duration::from_millis).into());
        assert_eq!(times.median(), Duration::from_millis(5));
        assert_eq!(times.best(), Duration::from_millis(1));
        assert_eq!(Times::default().median(), Duration::ZERO);
    }
}
