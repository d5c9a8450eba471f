//! The lines of JSON that `--json` writes.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
};

use blockloom_bench::{comparison::Comparison, limit::Limits};
use serde::Serialize;

use crate::{ratios::micros, transaction_lines::TransactionLine};

/// One block of `replay`.
#[derive(Debug, Serialize)]
pub(crate) struct BlockLine<'a> {
    pub(crate) fixture: &'a str,
    pub(crate) case: &'a str,
    pub(crate) block: u64,
    pub(crate) fork: &'a str,
    pub(crate) txs: usize,
    pub(crate) gas: u64,
    pub(crate) burnt_gas: u64,
    pub(crate) threads: usize,
    pub(crate) rounds: usize,
    pub(crate) cold: bool,
    pub(crate) micros: f64,
    #[serde(flatten)]
    pub(crate) compared: ComparedLine,
    pub(crate) incarnations: u64,
    /// What is worth knowing about how the block was read.
    pub(crate) notes: Vec<String>,
    pub(crate) ok: bool,
    pub(crate) error: Option<&'a str>,
    /// Absent unless they are asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) transactions: Option<&'a [TransactionLine]>,
}

/// The comparison of one block; all null without a comparison.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct ComparedLine {
    sequential_micros: Option<f64>,
    parallel_micros: Option<f64>,
    sequential_deviation_micros: Option<f64>,
    parallel_deviation_micros: Option<f64>,
    ratio: Option<f64>,
    ratio_low: Option<f64>,
    ratio_high: Option<f64>,
    with_list_micros: Option<f64>,
    with_list_ratio: Option<f64>,
    with_list_ratio_low: Option<f64>,
    with_list_ratio_high: Option<f64>,
    with_list_incarnations: Option<u64>,
    limit: Option<f64>,
    limits: Option<BTreeMap<&'static str, f64>>,
}

impl ComparedLine {
    pub(crate) fn new(comparison: &Comparison, limits: Option<&Limits>) -> Self {
        let [sequential_deviation, parallel_deviation] = comparison.deviation;
        let interval = comparison.interval();
        let with_list = comparison.with_list.as_ref();
        let with_list_interval = with_list.and_then(|with_list| with_list.resampling.interval());
        Self {
            sequential_micros: Some(rounded(micros(comparison.sequential))),
            parallel_micros: Some(rounded(micros(comparison.parallel))),
            sequential_deviation_micros: Some(rounded(micros(sequential_deviation))),
            parallel_deviation_micros: Some(rounded(micros(parallel_deviation))),
            ratio: comparison.ratio().map(rounded),
            ratio_low: interval.map(|interval| rounded(interval.low)),
            ratio_high: interval.map(|interval| rounded(interval.high)),
            with_list_micros: with_list.map(|with_list| rounded(micros(with_list.time))),
            with_list_ratio: comparison.with_list_ratio().map(rounded),
            with_list_ratio_low: with_list_interval.map(|interval| rounded(interval.low)),
            with_list_ratio_high: with_list_interval.map(|interval| rounded(interval.high)),
            with_list_incarnations: with_list.map(|with_list| with_list.incarnations),
            limit: limits.map(|limits| rounded(limits.at_threads)),
            limits: limits.map(|limits| {
                limits.at_counts.iter().map(|(name, limit)| (*name, rounded(*limit))).collect()
            }),
        }
    }
}

/// The last line of `replay`.
#[derive(Debug, Serialize)]
pub(crate) struct SummaryLine {
    pub(crate) summary: Summary,
}

/// The sums over all blocks.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    pub(crate) fixtures: usize,
    pub(crate) cases: usize,
    pub(crate) blocks: usize,
    pub(crate) txs: usize,
    pub(crate) gas: u128,
    pub(crate) burnt_gas: u128,
    pub(crate) failed: usize,
    pub(crate) left_out: usize,
    pub(crate) micros: f64,
    pub(crate) sequential_micros: Option<f64>,
    pub(crate) parallel_micros: Option<f64>,
    pub(crate) ratio: Option<f64>,
    pub(crate) ratio_low: Option<f64>,
    pub(crate) ratio_high: Option<f64>,
    pub(crate) largest_share: Option<f64>,
    pub(crate) with_list_micros: Option<f64>,
    pub(crate) with_list_ratio: Option<f64>,
    pub(crate) limit: Option<f64>,
    pub(crate) busy_slowdown: Option<f64>,
}

/// The destination of the lines.
pub(crate) struct JsonLines {
    output: Option<Box<dyn Write>>,
}

impl JsonLines {
    /// Writes to the file at `path`, to standard output if it is `-`, or nowhere without a path.
    pub(crate) fn to(path: Option<&Path>) -> io::Result<Self> {
        let output: Option<Box<dyn Write>> = match path {
            None => None,
            Some(path) if path == Path::new("-") => Some(Box::new(io::stdout().lock())),
            Some(path) => Some(Box::new(BufWriter::new(File::create(path)?))),
        };
        Ok(Self { output })
    }

    pub(crate) fn write(&mut self, line: &impl Serialize) -> io::Result<()> {
        let Some(output) = &mut self.output else { return Ok(()) };
        serde_json::to_writer(&mut *output, line)?;
        output.write_all(b"\n")
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.output.as_mut().map_or(Ok(()), |output| output.flush())
    }
}

/// Rounds microseconds, or a ratio, to three decimals.
pub(crate) fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

/// The message for an error while writing the lines.
pub(crate) fn json_failure(path: Option<&Path>, error: &io::Error) -> String {
    format!("--json {}: {error}", path.unwrap_or(Path::new("-")).display())
}
