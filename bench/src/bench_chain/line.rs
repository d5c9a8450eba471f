//! What is reported of the imports of a chain.

use std::{
    io::{self, Write},
    num::NonZeroUsize,
    thread::available_parallelism,
    time::Duration,
};

use blockloom_fixtures::Stage;
use serde::Serialize;

use super::sides::Sides;
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
    /// The medians of all rounds, and what follows from them.
    pub(super) fn new(chain: &'a str, threads: NonZeroUsize, sides: &Sides<'_>) -> Self {
        let Sides { blocks, transactions, gas, streams, singles, alone, .. } = sides;
        let cores = threads.get().min(available_parallelism().map_or(1, NonZeroUsize::get));
        let (stream, single) = (streams.cost.median(), singles.median());
        let alone = Stage::ALL.map(|stage| alone.busy(stage));
        let shares = Stage::ALL.map(|stage| {
            let lanes = if stage == Stage::Prepare { cores } else { 1 };
            rounded(ratio(streams.stages.busy(stage), stream.wall) / lanes as f64)
        });
        let [read_share, prepare_share, execute_share, root_share, write_share] = shares;
        let [read_micros, prepare_micros, execute_micros, root_micros, write_micros] =
            alone.map(|time| rounded(micros(time)));
        Self {
            chain,
            blocks: *blocks,
            txs: *transactions,
            gas: *gas,
            threads: threads.get(),
            rounds: streams.cost.rounds(),
            stream_micros: rounded(micros(stream.wall)),
            stream_cores: rounded(ratio(stream.cpu, stream.wall)),
            one_by_one_micros: rounded(micros(single.wall)),
            one_by_one_cores: rounded(ratio(single.cpu, single.wall)),
            ratio: rounded(ratio(single.wall, stream.wall)),
            limit_micros: rounded(micros(limit(&alone, cores))),
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

/// The longest stage that one thread does, or all stages over the cores. The stages are in their order.
fn limit(alone: &[Duration; 5], cores: usize) -> Duration {
    let [read, _prepare, _execute, root, write] = *alone;
    let all: Duration = alone.iter().sum();
    let divided = all / u32::try_from(cores).unwrap_or(u32::MAX);
    [read, root, write].into_iter().fold(divided, Duration::max)
}

fn ratio(one: Duration, other: Duration) -> f64 {
    one.as_secs_f64() / other.as_secs_f64()
}

fn seconds(micros: f64) -> String {
    format!("{:.2}", micros / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_the_longest_undivided_stage_or_all_over_the_cores() {
        let seconds = |stages: [u64; 5]| stages.map(Duration::from_secs);
        let limit = |stages, cores| limit(&seconds(stages), cores).as_secs();
        assert_eq!(limit([1, 8, 6, 4, 1], 1), 20);
        assert_eq!(limit([1, 8, 6, 4, 1], 2), 10);
        assert_eq!(limit([1, 8, 6, 4, 1], 10), 4, "roots are computed one after the other");
        assert_eq!(limit([1, 8, 6, 4, 9], 10), 9);
    }
}
