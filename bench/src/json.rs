//! The lines of JSON that `--json` writes, and their fields, which `--csv` writes.

use std::collections::BTreeMap;

use blockloom_bench::{comparison::Comparison, limit::Limits};
use serde::Serialize;

use crate::{
    exports::{
        Row,
        field::{Field, Value},
    },
    ratios::micros,
    transaction_lines::TransactionLine,
};

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
    /// Whether nothing failed, but the fixture wants another reason than this version knows.
    pub(crate) unknown_reason: bool,
    pub(crate) error: Option<&'a str>,
    /// Absent unless they are asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) transactions: Option<&'a [TransactionLine]>,
}

impl Row for BlockLine<'_> {
    fn fields(&self) -> Vec<Field> {
        let mut fields = vec![
            Field::csv("fixture", self.fixture),
            Field::csv("case", self.case),
            Field::csv("block", self.block),
            Field::csv("fork", self.fork),
            Field::csv("txs", self.txs),
            Field::csv("gas", self.gas),
            Field::csv("burnt_gas", self.burnt_gas),
            Field::csv("threads", self.threads),
            Field::csv("rounds", self.rounds),
            Field::csv("cold", self.cold),
            Field::csv("micros", self.micros),
        ];
        fields.extend(self.compared.fields());
        fields.extend([
            Field::csv("incarnations", self.incarnations),
            Field::csv("notes", self.notes.join("; ").as_str()),
            Field::csv("ok", self.ok),
            Field::csv("unknown_reason", self.unknown_reason),
            Field::csv("error", self.error),
        ]);
        fields
    }
}

/// The comparison of one block; all null without a comparison.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct ComparedLine {
    pub(crate) sequential_micros: Option<f64>,
    pub(crate) parallel_micros: Option<f64>,
    sequential_deviation_micros: Option<f64>,
    parallel_deviation_micros: Option<f64>,
    ratio: Option<f64>,
    ratio_low: Option<f64>,
    ratio_high: Option<f64>,
    with_list_micros: Option<f64>,
    pub(crate) with_list_ratio: Option<f64>,
    with_list_ratio_low: Option<f64>,
    with_list_ratio_high: Option<f64>,
    with_list_incarnations: Option<u64>,
    limit: Option<f64>,
    limits: Option<BTreeMap<&'static str, f64>>,
}

impl ComparedLine {
    /// The fields. CSV has no column for `limits`: the counts of cores in it depend on the machine.
    pub(crate) fn fields(&self) -> Vec<Field> {
        let half_width = self.ratio_low.zip(self.ratio_high).map(|(low, high)| (high - low) / 2.0);
        vec![
            Field::csv("sequential_micros", self.sequential_micros),
            Field::csv("parallel_micros", self.parallel_micros),
            Field::csv("sequential_deviation_micros", self.sequential_deviation_micros),
            Field::csv("parallel_deviation_micros", self.parallel_deviation_micros),
            Field::both("ratio", "ratio", Value::number(self.ratio, 2)),
            Field::table("±", Value::number(half_width, 2)),
            Field::csv("ratio_low", self.ratio_low),
            Field::csv("ratio_high", self.ratio_high),
            Field::csv("with_list_micros", self.with_list_micros),
            Field::csv("with_list_ratio", self.with_list_ratio),
            Field::csv("with_list_ratio_low", self.with_list_ratio_low),
            Field::csv("with_list_ratio_high", self.with_list_ratio_high),
            Field::csv("with_list_incarnations", self.with_list_incarnations),
            Field::both("limit", "limit", Value::number(self.limit, 2)),
        ]
    }

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
    /// Blocks that were refused, as they must be, for a reason that this version cannot compare.
    pub(crate) unknown_reasons: usize,
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

/// Rounds microseconds, or a ratio, to three decimals.
pub(crate) fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}
