//! What is reported of the imports of a chain.

use std::{
    io::{self, Write},
    num::NonZeroUsize,
    thread::available_parallelism,
    time::Duration,
};

use blockloom_fixtures::{Stage, StageTimes};
use serde::Serialize;

use super::sides::{Cost, Sides};
use crate::{
    exports::{
        self,
        field::{Field, Value},
    },
    json::rounded,
    quantity::counted,
    ratios::micros,
    table::Table,
};

/// The line of JSON of a chain.
#[derive(Debug, Serialize)]
pub(super) struct ChainLine<'a> {
    chain: &'a str,
    blocks: u64,
    txs: usize,
    gas: u64,
    threads: usize,
    rounds: usize,
    /// The import with all stages at work at once.
    stream_micros: f64,
    stream_cores: f64,
    /// The import block by block.
    one_by_one_micros: f64,
    one_by_one_cores: f64,
    ratio: f64,
    /// The least time that the stages allow on these cores.
    limit_micros: f64,
    /// Each stage alone, and the share of the stream's time in which it is busy.
    read_micros: f64,
    prepare_micros: f64,
    execute_micros: f64,
    root_micros: f64,
    write_micros: f64,
    read_share: f64,
    prepare_share: f64,
    execute_share: f64,
    root_share: f64,
    write_share: f64,
}

impl<'a> ChainLine<'a> {
    /// The medians of all rounds.
    pub(super) fn new(chain: &'a str, threads: NonZeroUsize, sides: &Sides<'_>) -> Self {
        let [stream, single] =
            [sides.streams.iter().map(|(cost, _)| *cost).collect::<Vec<_>>(), sides.singles.clone()];
        let wall = |costs: &[Cost]| median(costs.iter().map(|cost| micros(cost.wall)));
        let cores = |costs: &[Cost]| median(costs.iter().map(Cost::cores));
        let alone = |stage| median(sides.stages.iter().map(|times| micros(times.busy(stage))));
        let share = |stage| median(sides.streams.iter().map(|(_, times)| times.share(stage)));
        let (stream_micros, one_by_one_micros) = (wall(&stream), wall(&single));
        let usable = threads.get().min(available_parallelism().map_or(1, NonZeroUsize::get));
        let limit = median(sides.stages.iter().map(|times| micros(limit(times, usable))));
        let [read_micros, prepare_micros, execute_micros, root_micros, write_micros] =
            Stage::ALL.map(|stage| rounded(alone(stage)));
        let [read_share, prepare_share, execute_share, root_share, write_share] =
            Stage::ALL.map(|stage| rounded(share(stage)));
        Self {
            chain,
            blocks: sides.blocks,
            txs: sides.transactions,
            gas: sides.gas,
            threads: threads.get(),
            rounds: sides.streams.len(),
            stream_micros: rounded(stream_micros),
            stream_cores: rounded(cores(&stream)),
            one_by_one_micros: rounded(one_by_one_micros),
            one_by_one_cores: rounded(cores(&single)),
            ratio: rounded(one_by_one_micros / stream_micros),
            limit_micros: rounded(limit),
            read_micros,
            prepare_micros,
            execute_micros,
            root_micros,
            write_micros,
            read_share,
            prepare_share,
            execute_share,
            root_share,
            write_share,
        }
    }

    /// The row of a table.
    pub(super) fn table(&self) -> Vec<Field> {
        exports::Row::fields(self)
    }

    /// Writes the report.
    pub(super) fn write(&self, output: &mut dyn Write) -> io::Result<()> {
        let Self { chain, blocks, txs, gas, threads, rounds, .. } = self;
        let [blocks, txs] =
            [(*blocks, "block"), (*txs as u64, "transaction")].map(|(number, name)| counted(number, name));
        let (threads, rounds) = (counted(*threads, "thread"), counted(*rounds, "round"));
        writeln!(output, "{chain}")?;
        writeln!(output, "{blocks}, {txs}, {:.1} Mgas; {threads}, {rounds}", *gas as f64 / 1e6)?;
        let alone =
            [self.read_micros, self.prepare_micros, self.execute_micros, self.root_micros, self.write_micros];
        let shares =
            [self.read_share, self.prepare_share, self.execute_share, self.root_share, self.write_share];
        let mut rows = vec![["stage", "alone s", "busy %"].map(str::to_owned).to_vec()];
        for ((stage, alone), share) in Stage::ALL.into_iter().zip(alone).zip(shares) {
            rows.push(vec![stage.to_string(), seconds(alone), format!("{:.0}", 100.0 * share)]);
        }
        rows.push(vec!["all".to_owned(), seconds(alone.iter().sum()), String::new()]);
        Table::write_all(output, &rows)?;
        let speed = *gas as f64 / self.stream_micros;
        let of_limit = 100.0 * self.limit_micros / self.stream_micros;
        writeln!(
            output,
            "stream: {} s, {speed:.0} Mgas/s, {:.2} cores busy, {of_limit:.0} % of the limit ({} s)",
            seconds(self.stream_micros),
            self.stream_cores,
            seconds(self.limit_micros),
        )?;
        writeln!(
            output,
            "block by block: {} s, {:.2} cores busy; the stream is {:.2} times as fast",
            seconds(self.one_by_one_micros),
            self.one_by_one_cores,
            self.ratio
        )
    }
}

impl exports::Row for ChainLine<'_> {
    fn fields(&self) -> Vec<Field> {
        vec![
            Field::both("chain", "chain", self.chain),
            Field::both("blocks", "blocks", self.blocks),
            Field::csv("txs", self.txs),
            Field::both("gas", "gas", Value::Large(self.gas.into())),
            Field::both("threads", "thr", self.threads),
            Field::csv("rounds", self.rounds),
            Field::csv("stream_micros", self.stream_micros),
            Field::table("Mgas/s", Value::Number(self.gas as f64 / self.stream_micros, 0)),
            Field::both("stream_cores", "cores", Value::Number(self.stream_cores, 2)),
            Field::csv("one_by_one_micros", self.one_by_one_micros),
            Field::csv("one_by_one_cores", self.one_by_one_cores),
            Field::both("ratio", "ratio", Value::Number(self.ratio, 2)),
            Field::csv("limit_micros", self.limit_micros),
            Field::table("of limit", Value::Number(self.limit_micros / self.stream_micros, 2)),
            Field::csv("read_micros", self.read_micros),
            Field::csv("prepare_micros", self.prepare_micros),
            Field::csv("execute_micros", self.execute_micros),
            Field::csv("root_micros", self.root_micros),
            Field::csv("write_micros", self.write_micros),
            Field::csv("read_share", self.read_share),
            Field::csv("prepare_share", self.prepare_share),
            Field::csv("execute_share", self.execute_share),
            Field::csv("root_share", self.root_share),
            Field::csv("write_share", self.write_share),
        ]
    }
}

/// The longest stage that one thread does, or all stages over the cores.
fn limit(alone: &StageTimes, cores: usize) -> Duration {
    let all: Duration = Stage::ALL.into_iter().map(|stage| alone.busy(stage)).sum();
    let undivided = [Stage::Read, Stage::Root, Stage::Write].map(|stage| alone.busy(stage));
    undivided.into_iter().fold(all / u32::try_from(cores).unwrap_or(u32::MAX), Duration::max)
}

fn seconds(micros: f64) -> String {
    format!("{:.2}", micros / 1e6)
}

/// The median; of an even number of values the higher one in the middle.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
