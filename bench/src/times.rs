//! The times of repeated executions.

use std::time::{Duration, Instant};

/// The time of each round.
#[derive(Clone, Debug, Default)]
pub struct Times(Vec<Duration>);

impl From<Vec<Duration>> for Times {
    fn from(times: Vec<Duration>) -> Self {
        Self(times)
    }
}

impl Times {
    /// Runs `work` and records its time.
    pub fn take<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        self.0.push(start.elapsed());
        result
    }

    /// The times, in order of the rounds.
    pub fn of_rounds(&self) -> &[Duration] {
        &self.0
    }

    /// The shortest time; zero without any rounds.
    pub fn best(&self) -> Duration {
        self.0.iter().min().copied().unwrap_or_default()
    }

    /// The median time: of an even number of rounds the mean of the two in the middle; zero without any rounds.
    pub fn median(&self) -> Duration {
        median(self.0.clone())
    }

    /// The median of the distances from the median (median absolute deviation): half of the rounds are nearer.
    pub fn deviation(&self) -> Duration {
        let median_time = self.median();
        median(self.0.iter().map(|time| time.abs_diff(median_time)).collect())
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    let middle = times.len() / 2;
    match times.get(middle) {
        None => Duration::ZERO,
        Some(upper) if times.len().is_multiple_of(2) => (*upper + times[middle - 1]) / 2,
        Some(upper) => *upper,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times<const N: usize>(millis: [u64; N]) -> Times {
        Times(millis.map(Duration::from_millis).into())
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(times([9, 1, 5]).median(), Duration::from_millis(5));
        assert_eq!(times([9, 1, 5, 7]).median(), Duration::from_millis(6));
        assert_eq!(times([9, 1, 5]).best(), Duration::from_millis(1));
        assert_eq!(Times::default().median(), Duration::ZERO);
    }

    #[test]
    fn one_disturbed_round_does_not_change_the_deviation() {
        assert_eq!(times([10, 11, 9, 10, 500]).deviation(), Duration::from_millis(1));
        assert_eq!(times([10]).deviation(), Duration::ZERO);
        assert_eq!(Times::default().deviation(), Duration::ZERO);
    }
}
