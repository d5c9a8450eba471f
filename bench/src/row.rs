//! One row of `bench`: the measurements of one block with one number of threads.

use std::{num::NonZeroUsize, time::Duration};

use blockloom_bench::{
    comparison::{Comparison, Sides},
    delayed_base::DelayedBase,
    limit::Limits,
};
use blockloom_engine::{Block, BlockError, Config, Engine, Outcome};
use blockloom_state::{Base, MemoryStore};
use serde::Serialize;

use crate::{
    allocator::with_peak,
    interrupt::is_interrupted,
    json::{ComparedLine, rounded},
    list_source::{with_own_list, without_list},
    ratios::micros,
};

/// How blocks are measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Method {
    pub(crate) threads: NonZeroUsize,
    pub(crate) rounds: usize,
    /// The latency of each read of the base.
    pub(crate) latency: Duration,
    pub(crate) lists: ListUse,
}

/// Whether blocks are also executed with their access lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListUse {
    Nothing,
    /// With the list that an execution before the first round produces.
    Lists,
}

/// The measurements of one block.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) comparison: Comparison,
    /// `None` on a slow base: there, the time of a transaction depends on what others have read.
    pub(crate) limits: Option<Limits>,
    method: Method,
    txs: usize,
    gas: u64,
    /// The peak of memory during the first execution by an engine, its threads and the outcome included, in
    /// bytes above the use before.
    sequential_peak: usize,
    peak: usize,
}

impl Method {
    /// Measures a block.
    ///
    /// # Errors
    ///
    /// If the block is invalid.
    pub(crate) fn measure(self, base: &MemoryStore, block: &Block) -> Result<(Outcome, Row), BlockError> {
        // With the list of the block, all sides would be the same.
        let bare = without_list(block);
        let listed = (self.lists == ListUse::Lists).then(|| with_own_list(base, &bare)).transpose()?;
        let listed = listed.as_ref();
        if self.latency.is_zero() {
            self.measure_on(base, base, &bare, listed)
        } else {
            self.measure_on(&DelayedBase::new(base, self.latency), base, &bare, listed)
        }
    }

    fn measure_on<B: Base>(
        self,
        base: &B,
        store: &MemoryStore,
        block: &Block,
        listed: Option<&Block>,
    ) -> Result<(Outcome, Row), BlockError> {
        let Self { threads, rounds, latency, lists: _ } = self;
        let parallel = || Engine::new(Config::with_threads(threads.get()));
        let sequential = || Engine::new(Config::sequential());
        let (_, sequential_peak) = with_peak(|| sequential().execute(base, block));
        let (_, peak) = with_peak(|| parallel().execute(base, block));
        let (sequential, parallel) = (sequential(), parallel());
        let sides = Sides { sequential: &sequential, parallel: &parallel, listed };
        let (outcome, comparison) = sides.compare(base, block, rounds, || !is_interrupted());
        let outcome = outcome?;
        let limits = latency.is_zero().then(|| Limits::of(&parallel, store, block, rounds)).transpose()?;
        let (txs, gas) = (block.transactions.len(), outcome.gas_used);
        Ok((outcome, Row { comparison, limits, method: self, txs, gas, sequential_peak, peak }))
    }
}

/// The names of the columns.
pub(crate) const HEADER: [&str; 14] = [
    "workload",
    "shape",
    "gas",
    "txs",
    "threads",
    "Mgas/s sequential",
    "parallel",
    "ratio",
    "with list",
    "limit",
    "of limit",
    "runs/tx",
    "cpu",
    "memory",
];

impl Row {
    /// The cells of the table.
    pub(crate) fn columns(&self, workload: &str, shape: &str) -> [String; HEADER.len()] {
        let Self { comparison, limits, .. } = self;
        let ratio = comparison.ratio();
        let decimal = |number: Option<f64>| number.map_or("-".to_owned(), |number| format!("{number:.2}"));
        // Gas per microsecond is Mgas per second.
        let speed = |time: Duration| format!("{:.0}", self.gas as f64 / micros(time));
        let limit = limits.as_ref().map(|limits| limits.at_threads);
        let of_limit = ratio.zip(limit).map(|(ratio, limit)| format!("{:.0} %", 100.0 * ratio / limit));
        [
            workload.to_owned(),
            shape.to_owned(),
            self.gas.to_string(),
            self.txs.to_string(),
            self.method.threads.to_string(),
            speed(comparison.sequential),
            speed(comparison.parallel),
            decimal(ratio),
            decimal(comparison.with_list_ratio()),
            decimal(limit),
            of_limit.unwrap_or("-".to_owned()),
            decimal(Some(comparison.incarnations as f64 / self.txs as f64)),
            decimal(Some(comparison.cpu_ratio)),
            decimal(Some(self.peak as f64 / self.sequential_peak.max(1) as f64)),
        ]
    }

    /// The line of JSON.
    pub(crate) fn line<'l>(&self, workload: &'l str, shape: &'l str) -> BenchLine<'l> {
        BenchLine {
            workload,
            shape,
            gas: self.gas,
            txs: self.txs,
            threads: self.method.threads.get(),
            compared: ComparedLine::new(&self.comparison, self.limits.as_ref()),
            sequential_best_micros: rounded(micros(self.comparison.best[0])),
            parallel_best_micros: rounded(micros(self.comparison.best[1])),
            incarnations: self.comparison.incarnations,
            cpu_ratio: rounded(self.comparison.cpu_ratio),
            peak_bytes: self.peak,
            sequential_peak_bytes: self.sequential_peak,
        }
    }
}

/// The line of JSON for one row.
#[derive(Debug, Serialize)]
pub(crate) struct BenchLine<'a> {
    workload: &'a str,
    shape: &'a str,
    gas: u64,
    txs: usize,
    threads: usize,
    #[serde(flatten)]
    compared: ComparedLine,
    sequential_best_micros: f64,
    parallel_best_micros: f64,
    incarnations: u64,
    cpu_ratio: f64,
    peak_bytes: usize,
    sequential_peak_bytes: usize,
}
