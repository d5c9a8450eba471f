//! One row of `bench`: the measurements of one block with one number of threads.

use std::{num::NonZeroUsize, time::Duration};

use blockloom_bench::{
    comparison::{Comparison, Sides},
    delayed_base::DelayedBase,
    limit::Limits,
    rounds::Rounds,
};
use blockloom_engine::{Block, BlockError, Config, Engine, Outcome};
use blockloom_fixtures::CaseBase;
use blockloom_state::Base;
use serde::Serialize;

use crate::{
    allocator::with_peak,
    burnt_gas::{burnt_gas, speed},
    interrupt::is_interrupted,
    json::{ComparedLine, rounded},
    list_source::{with_own_list, without_list},
    quantity::short,
    ratios::{Excess, is_uncertain, micros},
};

/// How blocks are measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Method {
    pub(crate) threads: NonZeroUsize,
    pub(crate) rounds: Rounds,
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
    burnt_gas: u64,
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
    pub(crate) fn measure(self, base: CaseBase<'_>, block: &Block) -> Result<(Outcome, Row), BlockError> {
        // With the list of the block, all sides would be the same.
        let bare = without_list(block);
        let listed = (self.lists == ListUse::Lists).then(|| with_own_list(&base, &bare)).transpose()?;
        let listed = listed.as_ref();
        if self.latency.is_zero() {
            self.measure_on(&base, base, &bare, listed)
        } else {
            self.measure_on(&DelayedBase::new(&base, self.latency), base, &bare, listed)
        }
    }

    fn measure_on<B: Base>(
        self,
        base: &B,
        state: CaseBase<'_>,
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
        // After an interrupt there is no time for the limit. Dependencies are only found on a state that is known
        // account by account.
        let state = state.known().filter(|_| latency.is_zero() && !is_interrupted());
        let limits = state.map(|state| Limits::of(&parallel, state, block, comparison.rounds)).transpose()?;
        let (txs, gas, burnt_gas) = (block.transactions.len(), outcome.gas_used, burnt_gas(block, &outcome));
        let method = self;
        Ok((outcome, Row { comparison, limits, method, txs, gas, burnt_gas, sequential_peak, peak }))
    }
}

/// What the columns of the table are.
pub(crate) const LEGEND: &str = "\
seq, par: Mgas/s sequentially and in parallel; ±: half of the ratio's interval;
runs: executions per transaction; cpu, mem: parallel / sequential";

/// The names of the columns. The last one depends on the use of lists.
const COLUMNS: [&str; 11] =
    ["workload", "gas", "txs", "thr", "seq", "par", "ratio", "±", "limit", "runs", "cpu"];

/// The first row of the table.
pub(crate) fn header(lists: ListUse) -> Vec<String> {
    let last = if lists == ListUse::Lists { "list" } else { "mem" };
    COLUMNS.into_iter().chain([last]).map(str::to_owned).collect()
}

/// A row with the widths that usual cells have.
pub(crate) fn usual_widths() -> Vec<String> {
    ["transfers independent", "30.1M", "47619", "16", "16000", "30000", "10.00", "0.01", "16.00", "1.00"]
        .map(str::to_owned)
        .into()
}

impl Row {
    /// How far the ratio is above the limit, if it is.
    pub(crate) fn excess(&self) -> Option<Excess> {
        let limit = self.limits.as_ref()?.at_threads;
        Excess::of(self.comparison.ratio()?, self.comparison.interval(), limit)
    }

    /// Whether the interval is too wide to rely on the ratio.
    pub(crate) fn is_uncertain(&self) -> bool {
        self.comparison.ratio().is_some_and(|ratio| is_uncertain(ratio, self.comparison.interval()))
    }

    /// The cells of the table.
    pub(crate) fn columns(&self, workload: &str, shape: Option<&str>) -> Vec<String> {
        let Self { comparison, limits, method, .. } = self;
        let decimal = |number: Option<f64>| number.map_or("-".to_owned(), |number| format!("{number:.2}"));
        let speed = |time: Duration| {
            let executed = u128::from(self.gas.saturating_sub(self.burnt_gas));
            speed(executed, micros(time)).map_or("-".to_owned(), |speed| format!("{speed:.0}"))
        };
        let last = match method.lists {
            ListUse::Lists => decimal(comparison.with_list_ratio()),
            ListUse::Nothing => format!("{:.1}", self.peak as f64 / self.sequential_peak.max(1) as f64),
        };
        vec![
            shape.map_or(workload.to_owned(), |shape| format!("{workload} {shape}")),
            short(u128::from(self.gas)),
            self.txs.to_string(),
            method.threads.to_string(),
            speed(comparison.sequential),
            speed(comparison.parallel),
            decimal(comparison.ratio()),
            decimal(comparison.interval().map(|interval| interval.half_width())),
            decimal(limits.as_ref().map(|limits| limits.at_threads)),
            decimal(Some(comparison.incarnations as f64 / self.txs as f64)),
            format!("{:.1}", comparison.cpu_ratio),
            last,
        ]
    }

    /// The line of JSON.
    pub(crate) fn line<'l>(&self, workload: &'l str, shape: &'l str) -> BenchLine<'l> {
        BenchLine {
            workload,
            shape,
            gas: self.gas,
            burnt_gas: self.burnt_gas,
            txs: self.txs,
            threads: self.method.threads.get(),
            rounds: self.comparison.rounds,
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
    burnt_gas: u64,
    txs: usize,
    threads: usize,
    rounds: usize,
    #[serde(flatten)]
    compared: ComparedLine,
    sequential_best_micros: f64,
    parallel_best_micros: f64,
    incarnations: u64,
    cpu_ratio: f64,
    peak_bytes: usize,
    sequential_peak_bytes: usize,
}
