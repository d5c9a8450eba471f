//! One row of `bench`: the measurements of one block with one number of threads.

use std::{num::NonZeroUsize, time::Duration};

use blockloom_bench::{
    comparison::{Comparison, Sides},
    delayed_base::DelayedBase,
    limit::Limits,
    rounds::Rounds,
    split::split,
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
    pictures::charts::ChartRow,
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
    /// Into how many parts each block is split, if their stream is measured.
    pub(crate) split: Option<NonZeroUsize>,
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
    /// The number of parts into which the block was split.
    parts: Option<usize>,
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
        let Self { threads, rounds, latency, lists: _, split: most } = self;
        let parts = most.map(|most| split(block, most));
        let parallel = || Engine::new(Config::with_threads(threads.get()));
        let sequential = || Engine::new(Config::sequential());
        let (_, sequential_peak) = with_peak(|| sequential().execute(base, block));
        let (_, peak) = with_peak(|| parallel().execute(base, block));
        let (sequential, parallel) = (sequential(), parallel());
        let sides = Sides { sequential: &sequential, parallel: &parallel, listed, parts: parts.as_deref() };
        let (outcome, comparison) = sides.compare(base, block, rounds, || !is_interrupted());
        let outcome = outcome?;
        // After an interrupt there is no time for the limit. Dependencies are only found on a state that is known
        // account by account.
        let state = state.known().filter(|_| latency.is_zero() && !is_interrupted());
        let limits = state.map(|state| Limits::of(&parallel, state, block, comparison.rounds)).transpose()?;
        let (txs, gas, burnt_gas) = (block.transactions.len(), outcome.gas_used, burnt_gas(block, &outcome));
        let (method, parts) = (self, parts.map(|parts| parts.len()));
        Ok((outcome, Row { comparison, limits, method, txs, parts, gas, burnt_gas, sequential_peak, peak }))
    }
}

/// The shape of a block that comes from a fixture.
const FIXTURE: &str = "fixture";

/// What the first columns of the table are.
const LEGEND: &str = "seq, par: Mgas/s sequentially and in parallel; ±: half of the ratio's interval;";

/// What the columns of the table are.
pub(crate) fn legend(split: Option<NonZeroUsize>) -> String {
    let last = match split {
        None => "runs: executions per transaction; cpu, mem: parallel / sequential",
        Some(_) => "stream, /par: sequential and parallel time / time of the parts as a stream",
    };
    format!("{LEGEND}\n{last}")
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

    /// The gas of the block.
    pub(crate) fn gas(&self) -> u64 {
        self.gas
    }

    /// What charts show of the row.
    pub(crate) fn chart_row(&self, name: String, gas: u64) -> Option<ChartRow> {
        let interval = self.comparison.interval().map(|interval| (interval.low, interval.high));
        Some(ChartRow {
            name,
            gas,
            threads: self.method.threads.get(),
            ratio: self.comparison.ratio()?,
            interval,
            limit: self.limits.as_ref().map(|limits| limits.at_threads),
            memory: self.peak as f64 / self.sequential_peak.max(1) as f64,
        })
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
            stream: StreamLine::new(&self.comparison, self.parts),
        }
    }
}

/// The stream of a block's parts; all null without one.
#[derive(Debug, Default, Serialize)]
struct StreamLine {
    parts: Option<usize>,
    stream_micros: Option<f64>,
    stream_ratio: Option<f64>,
    stream_ratio_low: Option<f64>,
    stream_ratio_high: Option<f64>,
    stream_incarnations: Option<u64>,
    parallel_to_stream: Option<f64>,
}

impl StreamLine {
    fn new(comparison: &Comparison, parts: Option<usize>) -> Self {
        let Some(stream) = &comparison.stream else { return Self::default() };
        let interval = stream.resampling.interval();
        let to_stream = micros(comparison.parallel) / micros(stream.time);
        Self {
            parts,
            stream_micros: Some(rounded(micros(stream.time))),
            stream_ratio: comparison.stream_ratio().map(rounded),
            stream_ratio_low: interval.map(|interval| rounded(interval.low)),
            stream_ratio_high: interval.map(|interval| rounded(interval.high)),
            stream_incarnations: Some(stream.incarnations),
            parallel_to_stream: to_stream.is_finite().then(|| rounded(to_stream)),
        }
    }

    /// The fields of the files.
    fn exported(&self) -> [Field; 7] {
        [
            Field::csv("parts", self.parts),
            Field::csv("stream_micros", self.stream_micros),
            Field::csv("stream_ratio", self.stream_ratio),
            Field::csv("stream_ratio_low", self.stream_ratio_low),
            Field::csv("stream_ratio_high", self.stream_ratio_high),
            Field::csv("stream_incarnations", self.stream_incarnations),
            Field::csv("parallel_to_stream", self.parallel_to_stream),
        ]
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
    #[serde(flatten)]
    stream: StreamLine,
    #[serde(skip)]
    lists: ListUse,
}

impl BenchLine<'_> {
    /// The last columns of the table: the stream if there is one, or else what parallel execution costs.
    fn last_columns(&self) -> [Field; 3] {
        if let Some(parts) = self.stream.parts {
            return [
                Field::table("parts", parts),
                Field::table("stream", Value::number(self.stream.stream_ratio, 2)),
                Field::table("/par", Value::number(self.stream.parallel_to_stream, 2)),
            ];
        }
        let runs = self.incarnations as f64 / self.txs as f64;
        let memory = self.peak_bytes as f64 / self.sequential_peak_bytes.max(1) as f64;
        let last = match self.lists {
            ListUse::Lists => Field::table("list", Value::number(self.compared.with_list_ratio, 2)),
            ListUse::Nothing => Field::table("mem", Value::Number(memory, 1)),
        };
        [
            Field::table("runs", Value::Number(runs, 2)),
            Field::table("cpu", Value::Number(self.cpu_ratio, 1)),
            last,
        ]
    }

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
            Field::csv("cpu_ratio", self.cpu_ratio),
            Field::csv("peak_bytes", self.peak_bytes),
            Field::csv("sequential_peak_bytes", self.sequential_peak_bytes),
        ]);
        fields.extend(self.stream.exported());
        fields.extend(self.last_columns());
        fields
    }
}
