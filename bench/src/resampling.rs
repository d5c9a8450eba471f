//! The interval of a ratio of medians, by the bootstrap: as many rounds as there were are drawn from them at random,
//! again and again, and the ratio of each drawing is computed.
//!
//! The random numbers are a function of the times, so the same times always have the same interval.

use std::time::Duration;

use blockloom_fixtures::Random;

use crate::times::Times;

/// The number of drawings.
const DRAWINGS: usize = 1000;

/// The drawings below the interval, and as many above it: 95 % are in it.
const OUTSIDE: usize = DRAWINGS / 40;

/// Fewer rounds than this do not show how they scatter.
const LEAST_ROUNDS: usize = 3;

/// The 95 % interval of a ratio.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Interval {
    /// Half of its width.
    pub fn half_width(&self) -> f64 {
        (self.high - self.low) / 2.0
    }
}

/// The medians of both sides in each drawing, in seconds: sequential, parallel. Empty if there were too few rounds.
#[derive(Clone, Debug, Default)]
pub struct Resampling(Vec<[f64; 2]>);

impl Resampling {
    /// Draws from the rounds of both sides. A drawing has the same rounds of both, because neighbours share what
    /// disturbed them.
    pub fn of(sequential: &Times, parallel: &Times) -> Self {
        let sides = [sequential, parallel].map(Times::of_rounds);
        let rounds = sides[0].len().min(sides[1].len());
        if rounds < LEAST_ROUNDS {
            return Self::default();
        }
        let mut random = random(sides);
        let mut drawn: Vec<usize> = vec![0; rounds];
        let drawings = (0..DRAWINGS).map(|_| {
            drawn.fill_with(|| random.below(rounds as u64) as usize);
            sides.map(|times| {
                let times: Vec<_> = drawn.iter().map(|round| times[*round]).collect();
                Times::from(times).median().as_secs_f64()
            })
        });
        Self(drawings.collect())
    }

    /// Adds the medians of another block, for the ratio of the sums.
    pub fn add(&mut self, other: &Self) {
        self.0.truncate(other.0.len());
        for (sum, medians) in self.0.iter_mut().zip(&other.0) {
            sum[0] += medians[0];
            sum[1] += medians[1];
        }
    }

    /// The interval of sequential time / parallel time; `None` if there were too few rounds.
    pub fn interval(&self) -> Option<Interval> {
        let mut ratios: Vec<f64> =
            self.0.iter().map(|[sequential, parallel]| sequential / parallel).collect();
        ratios.sort_unstable_by(f64::total_cmp);
        let (low, high) = (*ratios.get(OUTSIDE)?, *ratios.get(DRAWINGS - 1 - OUTSIDE)?);
        (low.is_finite() && high.is_finite()).then_some(Interval { low, high })
    }
}

/// Random numbers that the times choose.
fn random(sides: [&[Duration]; 2]) -> Random {
    let times = sides.into_iter().flatten().map(|time| time.as_nanos() as u64);
    Random::new(times.fold(0, |seed, time| Random::new(seed ^ time).next_number()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(micros: impl IntoIterator<Item = u64>) -> Times {
        micros.into_iter().map(Duration::from_micros).collect::<Vec<_>>().into()
    }

    #[test]
    fn equal_rounds_have_an_interval_without_width() {
        let interval = Resampling::of(&times([200; 10]), &times([100; 10])).interval();
        assert_eq!(interval, Some(Interval { low: 2.0, high: 2.0 }));
    }

    #[test]
    fn two_rounds_have_no_interval() {
        assert_eq!(Resampling::of(&times([200; 2]), &times([100; 2])).interval(), None);
        let mut sum = Resampling::of(&times([200; 10]), &times([100; 10]));
        sum.add(&Resampling::default());
        assert_eq!(sum.interval(), None, "a sum with an unknown part is unknown");
    }

    #[test]
    fn the_true_ratio_is_in_about_as_many_intervals_as_promised() {
        // Rounds of both sides scatter uniformly by 20 %, around a ratio of 2.
        let mut random = Random::new(1);
        let inside = (0..400).filter(|_| {
            let mut rounds = |middle: u64| {
                times((0..15).map(|_| middle * 4 / 5 + random.next_number() % (middle * 2 / 5)))
            };
            let (sequential, parallel) = (rounds(20_000), rounds(10_000));
            let interval = Resampling::of(&sequential, &parallel).interval().unwrap();
            interval.low <= 2.0 && 2.0 <= interval.high
        });
        let inside = inside.count();
        assert!((360..400).contains(&inside), "{inside} of 400");
    }

    #[test]
    fn a_sum_is_more_certain_than_its_parts() {
        let mut random = Random::new(2);
        let mut rounds = || times((0..15).map(|_| 10_000 + random.next_number() % 2000));
        let parts: Vec<_> = (0..20).map(|_| Resampling::of(&rounds(), &rounds())).collect();
        let mut sum = parts[0].clone();
        parts[1..].iter().for_each(|part| sum.add(part));
        let widths = parts.iter().map(|part| part.interval().unwrap().half_width());
        let mean = widths.sum::<f64>() / parts.len() as f64;
        let of_sum = sum.interval().unwrap().half_width();
        // The square root of 20 is 4.5.
        assert!(of_sum < mean / 2.5, "{of_sum} of the sum, {mean} of a part");
    }
}
