//! Sums of measured blocks: sequential time / parallel time in total, on average, and of the worst block.

use std::{fmt, time::Duration};

use blockloom_bench::comparison::Comparison;

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
    /// The lowest ratio, and the name of its block.
    worst: Option<(f64, String)>,
}

impl Ratios {
    /// Adds a block. Its dependencies limit its ratio to `limit`.
    pub(crate) fn add_block(&mut self, comparison: &Comparison, limit: f64, name: impl FnOnce() -> String) {
        let Some(ratio) = comparison.ratio() else { return };
        self.at_limit += micros(comparison.sequential) / limit;
        self.add_times(comparison.sequential, comparison.parallel, ratio, name);
    }

    /// Adds a block with its access list, if it was executed with one. It has no limit: with a list no
    /// transaction waits for an earlier one.
    pub(crate) fn add_listed(&mut self, comparison: &Comparison, name: impl FnOnce() -> String) {
        if let (Some(with_list), Some(ratio)) = (comparison.with_list, comparison.with_list_ratio()) {
            self.add_times(comparison.sequential, with_list.time, ratio, name);
        }
    }

    fn add_times(
        &mut self,
        sequential: Duration,
        parallel: Duration,
        ratio: f64,
        name: impl FnOnce() -> String,
    ) {
        self.blocks += 1;
        self.sequential += micros(sequential);
        self.parallel += micros(parallel);
        self.logarithms += ratio.ln();
        if self.worst.as_ref().is_none_or(|(worst, _)| ratio < *worst) {
            self.worst = Some((ratio, name()));
        }
    }

    /// Adds the blocks of another sum.
    pub(crate) fn add(&mut self, other: &Self) {
        self.blocks += other.blocks;
        self.sequential += other.sequential;
        self.parallel += other.parallel;
        self.at_limit += other.at_limit;
        self.logarithms += other.logarithms;
        if let Some((ratio, name)) = &other.worst
            && self.worst.as_ref().is_none_or(|(worst, _)| ratio < worst)
        {
            self.worst = Some((*ratio, name.clone()));
        }
    }

    /// Total sequential time / total parallel time.
    pub(crate) fn total(&self) -> f64 {
        self.sequential / self.parallel
    }

    /// The total that the limits of the blocks allow.
    pub(crate) fn limit(&self) -> f64 {
        self.sequential / self.at_limit
    }
}

impl fmt::Display for Ratios {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((worst, name)) = &self.worst else { return f.write_str("nothing was compared") };
        let mean = (self.logarithms / self.blocks as f64).exp();
        let (total, limit) = (self.total(), self.limit());
        write!(
            f,
            "sequential time / parallel time of {} blocks: {total:.2} in total, geometric mean {mean:.2}, worst \
             {worst:.2} ({name})",
            self.blocks,
        )?;
        if !limit.is_finite() {
            return Ok(());
        }
        write!(f, "; {:.0} % of the limit {limit:.2}", 100.0 * total / limit)
    }
}

/// A time in microseconds.
pub(crate) fn micros(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1000.0
}
