//! Sums of measured blocks: sequential time / parallel time in total, on average, and of the worst block.
//!
//! One long block can decide a total alone, so the report says how much of the time the longest block is. A ratio
//! above its limit is an error of measurement, and the report says so.

use std::{collections::BTreeMap, fmt, time::Duration};

use blockloom_bench::{
    comparison::{Comparison, FurtherSide},
    resampling::{Interval, Resampling},
};

use crate::quantity::counted;

/// The ratio of a block is uncertain if its interval reaches further than this share of it to either side.
const UNCERTAIN: f64 = 0.1;

/// Sequential times / parallel times of blocks that were executed on both sides.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ratios {
    pub(crate) blocks: usize,
    /// Sums in microseconds.
    pub(crate) sequential: f64,
    pub(crate) parallel: f64,
    /// The least parallel time that the limits of the blocks allow; NaN if a limit is unknown.
    at_limit: f64,
    /// The sum of the ratios' logarithms.
    logarithms: f64,
    resampling: Resampling,
    worst: Option<Extreme>,
    /// The block with the longest sequential time.
    longest: Option<Extreme>,
    /// Blocks whose ratios are uncertain.
    uncertain: usize,
    /// Blocks above their limits, with how far.
    above: BTreeMap<Excess, usize>,
}

/// The sums of the sides of `bench`.
#[derive(Debug, Default)]
pub(crate) struct BenchSums {
    parallel: Ratios,
    /// With access lists.
    listed: Ratios,
    /// In parts as streams.
    streams: Ratios,
}

impl BenchSums {
    /// Adds a block. Its dependencies limit its ratio to `limit`.
    pub(crate) fn add_block(&mut self, comparison: &Comparison, limit: f64, name: impl Fn() -> String) {
        self.parallel.add_block(comparison, limit, &name);
        self.listed.add_listed(comparison, &name);
        self.streams.add_stream(comparison, &name);
    }

    /// The report of the sums; `title` begins it.
    pub(crate) fn lines(&self, title: &str) -> Vec<String> {
        let Self { parallel, listed, streams } = self;
        let mut lines = Vec::new();
        if parallel.blocks > 0 {
            lines.push(format!("{title}, {parallel}"));
        }
        if listed.blocks > 0 {
            lines.push(format!("with access lists, {listed}"));
        }
        if streams.blocks > 0 {
            let total = parallel.parallel / streams.parallel;
            lines.push(format!("in parts as streams, {streams}"));
            lines.push(format!("parallel time / time as streams:\n  total {total:.3}"));
        }
        lines
    }
}

/// A block that is extreme in something.
#[derive(Clone, Debug)]
struct Extreme {
    value: f64,
    interval: Option<Interval>,
    name: String,
}

/// How far a ratio is above its limit. A scheduler cannot exceed the limit, so each is an error of measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Excess {
    /// The interval of the ratio reaches down to the limit.
    WithinInterval,
    /// It does not.
    BeyondInterval,
    /// The interval is not known.
    Unknown,
}

impl Excess {
    /// `None` if the ratio is not above the limit, or the limit is not known.
    pub(crate) fn of(ratio: f64, interval: Option<Interval>, limit: f64) -> Option<Self> {
        let is_above = ratio > limit;
        is_above.then_some(match interval {
            None => Self::Unknown,
            Some(Interval { low, .. }) if low > limit => Self::BeyondInterval,
            Some(_) => Self::WithinInterval,
        })
    }

    /// The end of a sentence that says that a ratio is above its limit.
    fn extent(self) -> &'static str {
        match self {
            Self::WithinInterval => ", within the interval",
            Self::BeyondInterval => " beyond the interval: the limit, measured apart, is too low",
            Self::Unknown => ": too few rounds for an interval",
        }
    }
}

/// Whether an interval is too wide to rely on its ratio.
pub(crate) fn is_uncertain(ratio: f64, interval: Option<Interval>) -> bool {
    interval.is_some_and(|Interval { low, high }| (high - ratio).max(ratio - low) > UNCERTAIN * ratio)
}

/// The remarks on a number of `things` (block, row): how many are above their limits, and how many are uncertain.
pub(crate) fn remarks(above: &BTreeMap<Excess, usize>, uncertain: usize, thing: &str) -> Vec<String> {
    let of_excess = |(excess, number): (&Excess, &usize)| {
        format!("{} above the limit{}", counted(*number, thing), excess.extent())
    };
    let is_uncertain = "with an uncertain ratio: the interval reaches further than 10 %";
    let uncertain = (uncertain > 0).then(|| format!("{} {is_uncertain}", counted(uncertain, thing)));
    above.iter().map(of_excess).chain(uncertain).collect()
}

impl Ratios {
    /// Adds a block. Its dependencies limit its ratio to `limit`.
    pub(crate) fn add_block(&mut self, comparison: &Comparison, limit: f64, name: impl Fn() -> String) {
        let Some(ratio) = comparison.ratio() else { return };
        let Comparison { sequential, parallel, resampling, .. } = comparison;
        self.at_limit += micros(*sequential) / limit;
        if let Some(excess) = Excess::of(ratio, comparison.interval(), limit) {
            *self.above.entry(excess).or_default() += 1;
        }
        self.add_times([*sequential, *parallel], ratio, resampling, name);
    }

    /// Adds a block with its access list, if it was executed with one. It has no limit: with a list no
    /// transaction waits for an earlier one.
    pub(crate) fn add_listed(&mut self, comparison: &Comparison, name: impl Fn() -> String) {
        self.add_further(comparison, comparison.with_list.as_ref().zip(comparison.with_list_ratio()), name);
    }

    /// Adds the stream of a block's parts, if it was executed. It has no limit: that of the whole block is another.
    pub(crate) fn add_stream(&mut self, comparison: &Comparison, name: impl Fn() -> String) {
        self.add_further(comparison, comparison.stream.as_ref().zip(comparison.stream_ratio()), name);
    }

    fn add_further(
        &mut self,
        comparison: &Comparison,
        further: Option<(&FurtherSide, f64)>,
        name: impl Fn() -> String,
    ) {
        if let Some((side, ratio)) = further {
            self.at_limit = f64::NAN;
            self.add_times([comparison.sequential, side.time], ratio, &side.resampling, name);
        }
    }

    fn add_times(
        &mut self,
        [sequential, parallel]: [Duration; 2],
        ratio: f64,
        resampling: &Resampling,
        name: impl Fn() -> String,
    ) {
        self.add_resampling(resampling);
        self.blocks += 1;
        let (sequential, interval) = (micros(sequential), resampling.interval());
        self.sequential += sequential;
        self.parallel += micros(parallel);
        self.logarithms += ratio.ln();
        self.uncertain += usize::from(is_uncertain(ratio, interval));
        if self.worst.as_ref().is_none_or(|worst| ratio < worst.value) {
            self.worst = Some(Extreme { value: ratio, interval, name: name() });
        }
        if self.longest.as_ref().is_none_or(|longest| sequential > longest.value) {
            self.longest = Some(Extreme { value: sequential, interval, name: name() });
        }
    }

    fn add_resampling(&mut self, resampling: &Resampling) {
        if self.blocks == 0 {
            self.resampling = resampling.clone();
        } else {
            self.resampling.add(resampling);
        }
    }

    /// Adds the blocks of another sum.
    pub(crate) fn add(&mut self, other: &Self) {
        if other.blocks == 0 {
            return;
        }
        self.add_resampling(&other.resampling);
        self.blocks += other.blocks;
        self.sequential += other.sequential;
        self.parallel += other.parallel;
        self.at_limit += other.at_limit;
        self.logarithms += other.logarithms;
        self.uncertain += other.uncertain;
        for (excess, number) in &other.above {
            *self.above.entry(*excess).or_default() += number;
        }
        let extremes = [(&mut self.worst, &other.worst, -1.0), (&mut self.longest, &other.longest, 1.0)];
        for (own, other, sign) in extremes {
            let is_greater = |own: &Extreme, other: &Extreme| sign * other.value > sign * own.value;
            if let Some(other) = other
                && own.as_ref().is_none_or(|own| is_greater(own, other))
            {
                *own = Some(other.clone());
            }
        }
    }

    /// Total sequential time / total parallel time.
    pub(crate) fn total(&self) -> f64 {
        self.sequential / self.parallel
    }

    /// The interval of the total; `None` if a block had too few rounds.
    pub(crate) fn interval(&self) -> Option<Interval> {
        self.resampling.interval()
    }

    /// The total that the limits of the blocks allow.
    pub(crate) fn limit(&self) -> f64 {
        self.sequential / self.at_limit
    }

    /// The share of the longest block in the sequential time.
    pub(crate) fn largest_share(&self) -> f64 {
        self.longest.as_ref().map_or(0.0, |longest| longest.value / self.sequential)
    }
}

impl fmt::Display for Ratios {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(worst) = &self.worst else { return f.write_str("nothing was compared") };
        let (total, limit, interval) = (self.total(), self.limit(), self.interval());
        write!(f, "sequential time / parallel time of {}:", counted(self.blocks, "block"))?;
        write!(f, "\n  total {total:.2}{}", Range(interval))?;
        if limit.is_finite() {
            write!(f, ", {:.0} % of the limit {limit:.2}", 100.0 * total / limit)?;
            if let Some(excess) = Excess::of(total, interval, limit) {
                write!(f, "; more than 100 %{}", excess.extent())?;
            }
        }
        if self.blocks > 1 {
            let mean = (self.logarithms / self.blocks as f64).exp();
            write!(f, "\n  geometric mean {mean:.2}")?;
            write!(f, "\n  worst {:.2}{}: {}", worst.value, Range(worst.interval), worst.name)?;
        }
        if let Some(longest) = self.longest.as_ref().filter(|_| self.blocks > 1) {
            let share = 100.0 * self.largest_share();
            write!(f, "\n  one block is {share:.0} % of the time: {}", longest.name)?;
        }
        // The line of the total says it of a single block.
        let nothing = BTreeMap::new();
        let above = if self.blocks > 1 { &self.above } else { &nothing };
        remarks(above, self.uncertain, "block").iter().try_for_each(|remark| write!(f, "\n  {remark}"))
    }
}

/// An interval behind its ratio, if it is known.
struct Range(Option<Interval>);

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |Interval { low, high }| write!(f, " ({low:.2} to {high:.2})"))
    }
}

/// A time in microseconds.
pub(crate) fn micros(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use blockloom_bench::times::Times;

    use super::*;

    /// A comparison from the milliseconds of each round on both sides.
    fn comparison(sequential: [u64; 4], parallel: [u64; 4]) -> Comparison {
        let times = |millis: [u64; 4]| Times::from(millis.map(Duration::from_millis).to_vec());
        let (sequential, parallel) = (times(sequential), times(parallel));
        Comparison {
            sequential: sequential.median(),
            parallel: parallel.median(),
            resampling: Resampling::of(&sequential, &parallel),
            ..Comparison::default()
        }
    }

    fn name(name: &str) -> impl Fn() -> String {
        let name = name.to_owned();
        move || name.clone()
    }

    #[test]
    fn the_longest_block_is_named_with_its_share() {
        let mut ratios = Ratios::default();
        ratios.add_block(&comparison([30; 4], [20; 4]), 2.0, name("long"));
        ratios.add_block(&comparison([10; 4], [10; 4]), 2.0, name("short"));
        let text = ratios.to_string();
        assert!(text.contains("one block is 75 % of the time: long"), "{text}");
        assert!(text.contains("worst 1.00 (1.00 to 1.00): short"), "{text}");
        assert!(text.contains("total 1.33 (1.33 to 1.33), 67 % of the limit 2.00"), "{text}");
        assert!(!text.contains("above"), "{text}");
    }

    #[test]
    fn a_share_above_the_limit_is_explained() {
        let mut ratios = Ratios::default();
        ratios.add_block(&comparison([10, 11, 12, 10], [10; 4]), 1.0, name("scatters"));
        let text = ratios.to_string();
        assert!(text.contains("of the limit 1.00; more than 100 %, within the interval"), "{text}");
        ratios.add_block(&comparison([15; 4], [10; 4]), 1.2, name("impossible"));
        let text = ratios.to_string();
        assert!(text.contains("1 block above the limit, within the interval"), "{text}");
        assert!(text.contains("1 block above the limit beyond the interval"), "{text}");
    }

    #[test]
    fn without_an_interval_nothing_is_said_to_be_within_it() {
        let mut ratios = Ratios::default();
        let alone = Comparison { resampling: Resampling::default(), ..comparison([15; 4], [10; 4]) };
        ratios.add_block(&alone, 1.2, name("two rounds"));
        let text = ratios.to_string();
        assert!(text.contains("more than 100 %: too few rounds"), "{text}");
    }

    #[test]
    fn an_interval_that_reaches_far_to_one_side_is_uncertain() {
        assert!(is_uncertain(1.0, Some(Interval { low: 1.0, high: 1.15 })));
        assert!(is_uncertain(1.0, Some(Interval { low: 0.85, high: 1.0 })));
        assert!(!is_uncertain(1.0, Some(Interval { low: 0.95, high: 1.05 })));
        assert!(!is_uncertain(1.0, None));
    }

    #[test]
    fn blocks_whose_rounds_scatter_are_counted() {
        let mut ratios = Ratios::default();
        ratios.add_block(&comparison([10, 40, 10, 40], [10; 4]), 4.0, name("scatters"));
        ratios.add_block(&comparison([10; 4], [10; 4]), 4.0, name("steady"));
        assert!(ratios.to_string().contains("1 block with an uncertain ratio"), "{ratios}");
    }

    #[test]
    fn a_sum_of_sums_is_the_sum_of_all_blocks() {
        let blocks = [comparison([30, 31, 30, 32], [20; 4]), comparison([10; 4], [20, 21, 22, 20])];
        let mut parts = [Ratios::default(), Ratios::default()];
        let mut whole = Ratios::default();
        for (part, block) in parts.iter_mut().zip(&blocks) {
            part.add_block(block, 1.2, name("some"));
            whole.add_block(block, 1.2, name("some"));
        }
        let mut sum = Ratios::default();
        parts.iter().for_each(|part| sum.add(part));
        sum.add(&Ratios::default());
        assert_eq!(sum.to_string(), whole.to_string());
    }
}
