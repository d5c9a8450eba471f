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
    exports::{
        self,
        field::{Field, Value},
    },
    interrupt::is_interrupted,
    json::{ComparedLine, rounded},
    list_source::{with_own_list, without_list},
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

/// The shape of a block that comes from a fixture.
const FIXTURE: &str = "fixture";

/// What the columns of the table are.
pub(crate) const LEGEND: &str = "\
seq, par: Mgas/s sequentially and in parallel; ±: half of the ratio's interval;
runs: executions per transaction; cpu, mem: parallel / sequential";

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

    /// The line of JSON, of which the table, Markdown and CSV have the fields. A block of a fixture has no shape.
    pub(crate) fn line<'l>(&self, workload: &'l str, shape: Option<&'l str>) -> BenchLine<'l> {
        BenchLine {
            workload,
            shape: shape.unwrap_or(FIXTURE),
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
            lists: self.method.lists,
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
    #[serde(skip)]
    lists: ListUse,
}

impl BenchLine<'_> {
    /// Millions of gas per second, without burnt gas.
    fn speed(&self, micros: Option<f64>) -> Value {
        let executed = u128::from(self.gas.saturating_sub(self.burnt_gas));
        Value::number(micros.and_then(|micros| speed(executed, micros)), 0)
    }
}

impl exports::Row for BenchLine<'_> {
    fn fields(&self) -> Vec<Field> {
        let Self { workload, shape, ref compared, .. } = *self;
        let name = if shape == FIXTURE { workload.to_owned() } else { format!("{workload} {shape}") };
        let runs = self.incarnations as f64 / self.txs as f64;
        let memory = self.peak_bytes as f64 / self.sequential_peak_bytes.max(1) as f64;
        let last = match self.lists {
            ListUse::Lists => Field::table("list", Value::number(compared.with_list_ratio, 2)),
            ListUse::Nothing => Field::table("mem", Value::Number(memory, 1)),
        };
        let mut fields = vec![
            Field::table("workload", name.as_str()),
            Field::csv("workload", workload),
            Field::csv("shape", shape),
            Field::both("gas", "gas", Value::Large(self.gas.into())),
            Field::csv("burnt_gas", self.burnt_gas),
            Field::both("txs", "txs", self.txs),
            Field::both("threads", "thr", self.threads),
            Field::csv("rounds", self.rounds),
            Field::table("seq", self.speed(compared.sequential_micros)),
            Field::table("par", self.speed(compared.parallel_micros)),
        ];
        fields.extend(compared.fields());
        fields.extend([
            Field::csv("sequential_best_micros", self.sequential_best_micros),
            Field::csv("parallel_best_micros", self.parallel_best_micros),
            Field::csv("incarnations", self.incarnations),
            Field::table("runs", Value::Number(runs, 2)),
            Field::both("cpu_ratio", "cpu", Value::Number(self.cpu_ratio, 1)),
            Field::csv("peak_bytes", self.peak_bytes),
            Field::csv("sequential_peak_bytes", self.sequential_peak_bytes),
            last,
        ]);
        fields
    }
}
