//! Which kinds of blocks were worth a second thread, as far as that was measured.
//!
//! Guessing is good enough for most blocks. Of those in between, what running ahead costs on this
//! machine decides, and that no guess knows; and of those whose runs ahead were for nothing many times in a
//! row, whether anything is left of what a second thread brings. So blocks of one kind are executed both ways
//! at first, and then the way that took less; now and then the other way again, ever more seldom while
//! nothing speaks for it. That is two blocks in a row, for the first of them may have to wake somebody up,
//! unless they take so long that this is nothing. A kind is how much a block takes, and how much each of its
//! transactions does.

use std::{collections::BTreeMap, time::Duration};

use crate::policy::cost_model::Known;

/// How many of the last blocks count.
const RECENT: usize = 6;
/// How many blocks in a row go the other way when it is tried. Twice so many go each way before any way is
/// preferred.
const IN_A_ROW: usize = 2;
/// The same of blocks that take long: waking somebody up, and what is cold, is nothing beside that, and
/// one that goes the wrong way is a great loss.
const IN_A_ROW_IF_LONG: usize = 1;
/// Blocks that take so much gas, as a power of two, take long: 10 ms and more.
const LONG: i32 = 27;
/// After so many blocks the other way is tried again: at first, and at most.
const FIRST_INTERVAL: u32 = 8;
const LONGEST_INTERVAL: u32 = 128;
/// The same at most until a second thread is tried where runs ahead were for nothing: of a large block it may
/// take half, and where it does not, little is lost by trying.
const LONGEST_FOR_NOTHING: u32 = 16;
/// After so many blocks in a row for which runs ahead brought nothing, it is in doubt whether they ever do.
const ENOUGH_FOR_NOTHING: u32 = 8;

/// How a block is executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// On one thread.
    Alone,
    /// On several.
    Together,
}

/// What came of runs ahead of the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Yielded {
    /// Hardly any transaction was committed with what one recorded.
    Nothing,
    /// More.
    Something,
}

/// What blocks have in common that take about as much in about as large pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Kind {
    size: i32,
    weight: i32,
    known: Known,
}

/// What was measured of each kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trials {
    trials: BTreeMap<Kind, Trial>,
    /// For how many blocks in a row runs ahead were for nothing, where it is so.
    for_nothing: BTreeMap<Kind, u32>,
}

#[derive(Clone, Debug)]
struct Trial {
    /// How many blocks in a row go the other way.
    in_a_row: usize,
    alone: Times,
    together: Times,
    /// How many blocks went the better way since the other one was tried.
    since: u32,
    interval: u32,
    /// How many blocks went the other way since it is being tried, and whether one of them took less.
    tried: usize,
    is_in_doubt: bool,
}

/// How long the last blocks took for their gas.
#[derive(Clone, Debug, Default)]
struct Times {
    nanos_per_gas: Vec<f64>,
    next: usize,
}

impl Way {
    fn other(self) -> Self {
        match self {
            Self::Alone => Self::Together,
            Self::Together => Self::Alone,
        }
    }
}

impl Kind {
    /// How many blocks in a row go the other way when it is tried.
    fn in_a_row(self) -> usize {
        if self.size < LONG { IN_A_ROW } else { IN_A_ROW_IF_LONG }
    }

    /// The kind of blocks that are expected to take so much gas, in so many pieces.
    pub(crate) fn of(gas: f64, pieces: f64, known: Known) -> Self {
        // Twice the size, or 1.4 times the weight, is another kind.
        let weight = gas / pieces.max(1.0);
        Self { size: gas.max(1.0).log2() as i32, weight: (2.0 * weight.max(1.0).log2()) as i32, known }
    }
}

impl Trials {
    /// Which way a block of a kind should go. While nobody knows, `guess` goes first.
    pub(crate) fn way(&self, kind: Kind, guess: Way) -> Way {
        self.trials.get(&kind).map_or(guess, |trial| trial.way(guess))
    }

    /// Runs ahead brought this to a block of a kind of which a guess would be good enough otherwise.
    pub(crate) fn note(&mut self, kind: Kind, yielded: Yielded) {
        let was_suspect = self.is_suspect(kind);
        match yielded {
            Yielded::Something => _ = self.for_nothing.remove(&kind),
            Yielded::Nothing => *self.for_nothing.entry(kind).or_default() += 1,
        }
        // What was measured the time before is long ago.
        if was_suspect != self.is_suspect(kind) {
            self.trials.remove(&kind);
        }
    }

    /// Whether runs ahead brought nothing to many blocks of a kind in a row.
    pub(crate) fn is_suspect(&self, kind: Kind) -> bool {
        self.for_nothing.get(&kind).is_some_and(|blocks| *blocks >= ENOUGH_FOR_NOTHING)
    }

    /// How long blocks of a kind take on one thread, once that was measured.
    pub(crate) fn nanos_per_gas_alone(&self, kind: Kind) -> Option<f64> {
        self.trials.get(&kind)?.usual(Way::Alone)
    }

    /// A block of a kind went this way, and took so long for its gas.
    pub(crate) fn learn(&mut self, kind: Kind, way: Way, time: Duration, gas: f64) {
        let is_hopeful = way == Way::Together && self.is_suspect(kind);
        let longest = if is_hopeful { LONGEST_FOR_NOTHING } else { LONGEST_INTERVAL };
        let trial = self.trials.entry(kind).or_insert_with(|| Trial::new(kind.in_a_row()));
        trial.learn(way, time.as_secs_f64() * 1e9 / gas.max(1.0), longest);
    }
}

impl Trial {
    fn new(in_a_row: usize) -> Self {
        let (alone, together) = Default::default();
        Self { in_a_row, alone, together, since: 0, interval: FIRST_INTERVAL, tried: 0, is_in_doubt: false }
    }

    fn way(&self, guess: Way) -> Way {
        match self.better() {
            Some(better) if self.since >= self.interval => better.other(),
            Some(better) => better,
            None => self.missing(guess),
        }
    }

    /// The way of which too little is known, `guess` first.
    fn missing(&self, guess: Way) -> Way {
        let known = |way| self.times(way).nanos_per_gas.len();
        let lacks = |least: usize| [guess, guess.other()].into_iter().find(|way| known(*way) < least);
        lacks(self.in_a_row).or_else(|| lacks(self.least())).unwrap_or(guess)
    }

    /// The way that took less, if both are known.
    fn better(&self) -> Option<Way> {
        let [alone, together] = [self.usual(Way::Alone)?, self.usual(Way::Together)?];
        Some(if together < alone { Way::Together } else { Way::Alone })
    }

    /// How long blocks take that go this way, once enough of them did.
    fn usual(&self, way: Way) -> Option<f64> {
        let times = self.times(way);
        (times.nanos_per_gas.len() >= self.least()).then(|| times.middle())
    }

    /// Of how many blocks the times must be known.
    fn least(&self) -> usize {
        2 * self.in_a_row
    }

    fn times(&self, way: Way) -> &Times {
        match way {
            Way::Alone => &self.alone,
            Way::Together => &self.together,
        }
    }

    fn learn(&mut self, way: Way, nanos_per_gas: f64, longest: u32) {
        let before = self.better();
        let usual = before.and_then(|better| self.usual(better));
        match way {
            Way::Alone => self.alone.add(nanos_per_gas),
            Way::Together => self.together.add(nanos_per_gas),
        }
        if before != self.better() {
            self.begin_again(FIRST_INTERVAL);
        } else if before == Some(way) {
            self.since += 1;
        } else if let Some(usual) = usual {
            self.tried += 1;
            self.is_in_doubt |= nanos_per_gas < usual;
            if self.tried >= self.in_a_row {
                let longer = (2 * self.interval).min(longest);
                self.begin_again(if self.is_in_doubt { FIRST_INTERVAL } else { longer });
            }
        }
    }

    /// The other way is tried after so many blocks.
    fn begin_again(&mut self, interval: u32) {
        (self.since, self.interval, self.tried, self.is_in_doubt) = (0, interval, 0, false);
    }
}

impl Times {
    fn add(&mut self, nanos_per_gas: f64) {
        match self.nanos_per_gas.get_mut(self.next) {
            Some(oldest) => *oldest = nanos_per_gas,
            None => self.nanos_per_gas.push(nanos_per_gas),
        }
        self.next = (self.next + 1) % RECENT;
    }

    /// The time in the middle, of two the lesser: what else the machine does only adds to it.
    fn middle(&self) -> f64 {
        let mut times = self.nanos_per_gas.clone();
        times.sort_unstable_by(f64::total_cmp);
        times[(times.len() - 1) / 2]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which ways so many blocks of one kind go that take so long.
    fn ways(guess: Way, alone: u64, together: u64, blocks: usize) -> Vec<Way> {
        ways_of(Kind::of(1e6, 10.0, Known::AsTold), guess, [alone, together], blocks)
    }

    fn ways_of(kind: Kind, guess: Way, [alone, together]: [u64; 2], blocks: usize) -> Vec<Way> {
        let mut trials = Trials::default();
        let mut go = || {
            let way = trials.way(kind, guess);
            let micros = if way == Way::Alone { alone } else { together };
            trials.learn(kind, way, Duration::from_micros(micros), 1e6);
            way
        };
        (0..blocks).map(|_| go()).collect()
    }

    fn count(ways: &[Way], way: Way) -> usize {
        ways.iter().filter(|other| **other == way).count()
    }

    #[test]
    fn blocks_go_both_ways_at_first_and_then_the_one_that_takes_less() {
        for guess in [Way::Alone, Way::Together] {
            let other = guess.other();
            assert_eq!(ways(guess, 300, 200, 8), [guess, guess, other, other, guess, guess, other, other]);
            assert_eq!(count(&ways(guess, 300, 200, 30)[8..], Way::Alone), 2);
            assert_eq!(count(&ways(guess, 200, 300, 30)[8..], Way::Together), 2);
        }
    }

    #[test]
    fn of_long_blocks_half_as_many_go_the_worse_way() {
        let long = Kind::of(1e9, 1e4, Known::AsTold);
        for guess in [Way::Alone, Way::Together] {
            let ways = ways_of(long, guess, [300_000, 200_000], 41);
            assert_eq!(ways[..4], [guess, guess.other(), guess, guess.other()]);
            assert_eq!(count(&ways[4..], Way::Alone), 2);
        }
    }

    #[test]
    fn the_worse_way_is_tried_ever_more_seldom() {
        let ways = ways(Way::Alone, 200, 300, 1000);
        assert_eq!(count(&ways[8..60], Way::Together), 4);
        assert!(count(&ways[500..], Way::Together) <= 8, "{ways:?}");
    }

    #[test]
    fn a_way_that_once_took_less_is_tried_again_soon() {
        let (mut trials, kind) = (Trials::default(), Kind::of(1e6, 10.0, Known::AsTold));
        let mut tried = Vec::new();
        for block in 0..400 {
            let way = trials.way(kind, Way::Alone);
            // The first of those that go together in a row wake somebody up.
            let is_first = way == Way::Together && tried.last() != Some(&(block - 1));
            let micros = match way {
                Way::Alone => 200,
                Way::Together if is_first || block < 100 => 400,
                Way::Together => 150,
            };
            trials.learn(kind, way, Duration::from_micros(micros), 1e6);
            if way == Way::Together {
                tried.push(block);
            }
        }
        let begun = tried.iter().find(|block| **block >= 100).expect("it is tried again");
        assert!(tried.iter().filter(|block| *block > begun).count() > 300 - (begun - 100) - 50, "{tried:?}");
    }

    #[test]
    fn a_machine_that_changes_is_noticed() {
        let (mut trials, kind) = (Trials::default(), Kind::of(1e6, 10.0, Known::AsTold));
        let mut last = Way::Alone;
        for block in 0..300 {
            last = trials.way(kind, Way::Alone);
            let micros = if (last == Way::Alone) == (block < 50) { 200 } else { 300 };
            trials.learn(kind, last, Duration::from_micros(micros), 1e6);
        }
        assert_eq!(last, Way::Together);
    }

    #[test]
    fn each_kind_is_known_for_itself() {
        let kind = |gas, pieces| Kind::of(gas, pieces, Known::AsTold);
        let mut trials = Trials::default();
        let (known, others) = (kind(1.2e6, 12.0), [kind(1.2e6, 120.0), kind(1.2e8, 1200.0)]);
        for way in [Way::Alone, Way::Together].into_iter().cycle().take(8) {
            let micros = if way == Way::Alone { 200 } else { 300 };
            trials.learn(known, way, Duration::from_micros(micros), 1e6);
        }
        assert_eq!(trials.way(known, Way::Together), Way::Alone);
        assert!(others.iter().all(|other| trials.way(*other, Way::Together) == Way::Together));
        assert_eq!(kind(1.3e6, 13.0), known);
        assert_ne!(Kind::of(1.2e6, 12.0, Known::Beforehand), known);
    }
}
