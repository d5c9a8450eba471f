//! How often a block is executed: a few times to warm up, and then until its times are reliable or took long.

use std::{num::NonZeroUsize, time::Duration};

/// The number of measured rounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rounds {
    /// Ten; more of a short block, and fewer of a long one.
    #[default]
    Automatic,
    /// This many.
    Exactly(NonZeroUsize),
}

/// The usual number of measured rounds.
const USUAL: usize = 10;
/// Short blocks are measured so often, or for so long.
const MOST: usize = 30;
const SHORT: Duration = Duration::from_millis(60);
/// After so long, a block is measured no more than so often.
const LEAST: usize = 3;
const LONG: Duration = Duration::from_secs(5);

/// Warming up ends after so many rounds, or after the round in which so much time has passed.
const MOST_WARM_UPS: usize = 3;
const WARM_UP_TIME: Duration = Duration::from_millis(50);

impl Rounds {
    /// Whether so many measured rounds, which took so long, are enough.
    pub fn are_enough(self, rounds: usize, time: Duration) -> bool {
        match self {
            Self::Exactly(number) => rounds >= number.get(),
            Self::Automatic => {
                rounds >= MOST || (rounds >= USUAL && time >= SHORT) || (rounds >= LEAST && time >= LONG)
            }
        }
    }

    /// Whether so many rounds, which took so long, have warmed up the caches. One is always needed.
    pub fn are_warm(rounds: usize, time: Duration) -> bool {
        rounds >= MOST_WARM_UPS || (rounds > 0 && time >= WARM_UP_TIME)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The measured rounds of a block whose rounds take so long.
    fn number(rounds: Rounds, time: Duration) -> usize {
        (0..).find(|number| rounds.are_enough(*number, time * u32::try_from(*number).unwrap())).unwrap()
    }

    #[test]
    fn long_blocks_have_few_rounds_and_short_ones_many() {
        let automatic = |time| number(Rounds::Automatic, time);
        assert_eq!(automatic(Duration::from_micros(100)), 30);
        assert_eq!(automatic(Duration::from_millis(4)), 15);
        assert_eq!(automatic(Duration::from_millis(100)), 10);
        assert_eq!(automatic(Duration::from_secs(1)), 5);
        assert_eq!(automatic(Duration::from_secs(100)), 3);
    }

    #[test]
    fn a_given_number_of_rounds_is_kept() {
        let two = Rounds::Exactly(NonZeroUsize::new(2).unwrap());
        assert_eq!(number(two, Duration::from_secs(100)), 2);
        assert_eq!(number(two, Duration::ZERO), 2);
    }

    #[test]
    fn one_round_always_warms_up() {
        assert!(!Rounds::are_warm(0, Duration::from_secs(1)));
        assert!(Rounds::are_warm(1, Duration::from_secs(1)));
        assert!(!Rounds::are_warm(2, Duration::from_millis(1)));
        assert!(Rounds::are_warm(3, Duration::ZERO));
    }
}
