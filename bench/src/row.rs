//! One row of a benchmark: what was measured of one block with one number of threads.

use std::{num::NonZeroUsize, time::Duration};

use blockloom_bench::{
    limit::Limits,
    measure::{Comparison, Sides},
    slow::Slow,
};
use blockloom_engine::{Block, BlockError, Config, Engine, Outcome};
use blockloom_state::{Base, MemoryStore};
use serde::Serialize;

use crate::{
    allocator::with_peak,
    given::{with_own_list, without_list},
    interrupt::is_interrupted,
    report::{ComparedLine, micros, rounded},
};

/// How blocks are measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Method {
    pub(crate) threads: NonZeroUsize,
    pub(crate) rounds: usize,
    /// How long each read of the base takes.
    pub(crate) latency: Duration,
    pub(crate) lists: Hints,
}

/// Whether blocks are also executed with their access lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hints {
    Nothing,
    /// With the list that an execution before the first round yields.
    Lists,
}

/// What was measured of one block.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) comparison: Comparison,
    /// Nothing on a slow base: how long a transaction takes there depends on what others have read.
    pub(crate) limits: Option<Limits>,
    method: Method,
    txs: usize,
    gas: u64,
    /// The most memory that was in use beyond what was before: by an engine's first execution of the
    /// block, its threads and its outcome included.
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
        // A list that came with the block would make all sides the same.
        let bare = without_list(block);
        let listed = (self.lists == Hints::Lists).then(|| with_own_list(base, &bare)).transpose()?;
        let listed = listed.as_ref();
        if self.latency.is_zero() {
            self.measure_on(base, base, &bare, listed)
        } else {
            self.measure_on(&Slow::new(base, self.latency), base, &bare, listed)
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
    "Mgas/s alone",
    "together",
    "ratio",
    "with list",
    "limit",
    "reached",
    "runs/tx",
    "cpu",
    "memory",
];

impl Row {
    /// For a person.
    pub(crate) fn columns(&self, workload: &str, shape: &str) -> [String; HEADER.len()] {
        let Self { comparison, limits, .. } = self;
        let ratio = comparison.ratio();
        let decimal = |number: Option<f64>| number.map_or("-".to_owned(), |number| format!("{number:.2}"));
        // Gas in a microsecond is Mgas in a second.
        let speed = |time: Duration| format!("{:.0}", self.gas as f64 / micros(time));
        let limit = limits.as_ref().map(|limits| limits.here);
        let reached = ratio.zip(limit).map(|(ratio, limit)| format!("{:.0} %", 100.0 * ratio / limit));
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
            reached.unwrap_or("-".to_owned()),
            decimal(Some(comparison.incarnations as f64 / self.txs as f64)),
            decimal(Some(comparison.cpu_ratio)),
            decimal(Some(self.peak as f64 / self.sequential_peak.max(1) as f64)),
        ]
    }

    /// For a program.
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

/// One row, for a program.
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
