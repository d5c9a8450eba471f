//! `blockloom bench`: measures parallel against sequential execution, on generated blocks and on fixtures.

use std::{
    error::Error,
    io::{self, Write},
    num::NonZeroUsize,
    ops::ControlFlow,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use blockloom_bench::{
    core_latency::CoreLatency,
    workloads::{Kind, Recipe, Shape, Workload},
};
use blockloom_engine::{Block, BlockError, CommittedStep, Config, Engine, Outcome};
use blockloom_fixtures::{BlockReport, Executor, Harness, Sources, check, read};
use blockloom_state::MemoryStore;

use crate::{
    ExitStatus,
    interrupt::{self, is_interrupted, print_message},
    json::{JsonLines, json_failure},
    output::check_outside_inputs,
    quantity::quantity,
    ratios::Ratios,
    row::{HEADER, ListUse, Method, Row},
    table::Table,
};

/// Measure parallel against sequential execution.
///
/// Each WHAT is a generated workload (transfers, erc20, swaps, mixed) or a path with fixtures. Both sides
/// execute each block in one process, in turn. The figures are medians. The outcomes are compared in every
/// round.
///
/// Exit status: 1 if outcomes differ or a block is invalid; otherwise 130 if it was interrupted; otherwise 2
/// if some input was unusable, or nothing was measured; otherwise 0.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Workloads and paths. Default: all workloads.
    what: Vec<What>,
    /// The dependencies between the transactions of a workload: independent, chain, hot or senders; or several,
    /// separated by commas.
    #[arg(long, value_name = "S", value_delimiter = ',', default_value = "independent", value_parser = shape)]
    shape: Vec<Shape>,
    /// The share of transactions with one of a few hot recipients, in the shape `hot`.
    #[arg(long, value_name = "SHARE", default_value = "0.3", value_parser = share)]
    hot: f64,
    /// The number of senders, in the shape `senders`.
    #[arg(long, value_name = "N", default_value = "10")]
    senders: NonZeroUsize,
    /// The gas of a generated block, such as 500k, 30M or 1G; or several, separated by commas.
    #[arg(long, value_name = "GAS", value_delimiter = ',', default_value = "100M", value_parser = gas)]
    gas: Vec<u64>,
    /// The seed of generated blocks.
    #[arg(long, value_name = "N", default_value = "1")]
    seed: u64,
    /// The number of threads of the parallel side; or several numbers, separated by commas. Default: the number
    /// of cores.
    #[arg(long, value_name = "N", value_delimiter = ',')]
    threads: Vec<NonZeroUsize>,
    /// The number of executions of each block on each side.
    #[arg(long, value_name = "N", default_value = "20")]
    rounds: NonZeroUsize,
    /// Delay each read of the base by U microseconds, to simulate a disk.
    #[arg(long, value_name = "U", default_value = "0")]
    read_latency_us: u64,
    /// Execute each block in parallel with its access list (EIP-7928) as well. An execution before the
    /// first round produces the list.
    #[arg(long)]
    with_lists: bool,
    /// Of fixtures, measure only blocks with at least N transactions.
    #[arg(long, value_name = "N", default_value = "2")]
    min_txs: usize,
    /// Write a line of JSON for each row to FILE. `-` is standard output; the table then goes to standard
    /// error.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// A workload or fixtures.
#[derive(Clone, Debug)]
enum What {
    Workload(Kind),
    Fixtures(PathBuf),
}

impl FromStr for What {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == text);
        match kind {
            Some(kind) => Ok(Self::Workload(kind)),
            None if Path::new(text).exists() => Ok(Self::Fixtures(text.into())),
            None => {
                let names = Kind::ALL.map(Kind::name).join(", ");
                Err(format!("neither a workload ({names}) nor a path that exists"))
            }
        }
    }
}

fn shape(text: &str) -> Result<Shape, String> {
    let names = || Shape::ALL.map(Shape::name).join(", ");
    Shape::ALL
        .into_iter()
        .find(|shape| shape.name() == text)
        .ok_or_else(|| format!("expected one of {}", names()))
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "expected a number from 0 to 1".to_owned())
}

/// More gas than this is taken for a typing error, and would not fit into memory.
const MOST_GAS: u64 = 100_000_000_000;

fn gas(text: &str) -> Result<u64, String> {
    quantity(text)
        .filter(|gas| (1..=MOST_GAS).contains(gas))
        .ok_or_else(|| format!("expected an amount of gas such as 500k, 30M or 1G, at most {MOST_GAS}"))
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitStatus, Box<dyn Error>> {
    interrupt::listen()?;
    let json_path = arguments.json.as_deref();
    if let Some(path) = json_path {
        let inputs = arguments.what.iter().filter_map(|what| match what {
            What::Fixtures(path) => Some(path.clone()),
            What::Workload(_) => None,
        });
        check_outside_inputs("--json", path, &inputs.collect::<Vec<_>>())?;
    }
    let json = JsonLines::to(json_path).map_err(|error| json_failure(json_path, &error))?;
    let output: Box<dyn Write> =
        if json_path == Some(Path::new("-")) { Box::new(io::stderr()) } else { Box::new(io::stdout()) };
    let (table, counts) = (Table::default(), BenchCounts::default());
    let mut session = BenchRun { arguments, json, output, table, counts };
    session.run()?;
    session.json.flush().map_err(|error| json_failure(json_path, &error))?;
    Ok(session.status())
}

/// One run of the command.
struct BenchRun<'a> {
    arguments: &'a Arguments,
    json: JsonLines,
    output: Box<dyn Write>,
    table: Table<{ HEADER.len() }>,
    counts: BenchCounts,
}

/// The counts of blocks and inputs.
#[derive(Debug, Default)]
struct BenchCounts {
    measured: usize,
    failed: usize,
    unusable: usize,
}

impl BenchRun<'_> {
    fn run(&mut self) -> io::Result<()> {
        // Rows are written one by one, so the widths are guessed from typical cells.
        let typical = ["transfers", "independent", "1000000000", "100000"].map(str::to_owned);
        let mut widths = HEADER.map(str::to_owned);
        widths[..typical.len()].clone_from_slice(&typical);
        self.table.widen(&widths);
        self.table.write(&mut self.output, &HEADER.map(str::to_owned))?;
        let all = Kind::ALL.map(What::Workload);
        let what = if self.arguments.what.is_empty() { &all[..] } else { &self.arguments.what };
        let methods = self.methods();
        let before = CoreLatency::measure();
        for (what, method) in what.iter().flat_map(|what| methods.iter().map(move |method| (what, *method))) {
            match what {
                What::Workload(kind) => self.run_workload(*kind, method)?,
                What::Fixtures(path) => self.run_fixtures(path, method)?,
            }
        }
        CoreLatency::before_and_after(before).map_or(Ok(()), |line| writeln!(self.output, "{line}"))
    }

    /// One method for each number of threads.
    fn methods(&self) -> Vec<Method> {
        let Arguments { rounds, read_latency_us, with_lists, .. } = *self.arguments;
        let mut threads = self.arguments.threads.clone();
        if threads.is_empty() {
            threads.push(std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN));
        }
        let latency = Duration::from_micros(read_latency_us);
        let lists = if with_lists { ListUse::Lists } else { ListUse::Nothing };
        let method = |threads| Method { threads, rounds: rounds.get(), latency, lists };
        threads.into_iter().map(method).collect()
    }

    fn run_workload(&mut self, kind: Kind, method: Method) -> io::Result<()> {
        let Arguments { shape: shapes, gas, seed, hot, senders, .. } = self.arguments;
        for (shape, gas) in shapes.iter().flat_map(|shape| gas.iter().map(move |gas| (*shape, *gas))) {
            if is_interrupted() {
                return Ok(());
            }
            let senders = senders.get() as u64;
            let Workload { base, block } =
                Recipe { kind, shape, gas, seed: *seed, hot: *hot, senders }.prepare();
            match method.measure(&base, &block) {
                Ok((_, row)) => self.write_row(&row, kind.name(), shape.name())?,
                Err(error) => self.fail(kind.name(), &error.to_string()),
            }
        }
        Ok(())
    }

    fn run_fixtures(&mut self, path: &Path, method: Method) -> io::Result<()> {
        let (ratios, listed) = Default::default();
        let mut blocks = BlockMeasurements { session: self, method, ratios, listed, row: None, error: None };
        for source in Sources::new([path]) {
            let cases = source.and_then(|source| read(&source)).map(|fixture| fixture.cases);
            let flow = match cases {
                Ok(cases) => cases.iter().try_for_each(|case| check(case, &mut blocks)),
                Err(error) => {
                    blocks.session.counts.unusable += 1;
                    print_message(&format!("unusable: {error}"));
                    ControlFlow::Continue(())
                }
            };
            if flow.is_break() {
                break;
            }
        }
        let BlockMeasurements { ratios, listed, error, .. } = blocks;
        error.map_or(Ok(()), Err)?;
        if ratios.blocks > 0 {
            writeln!(self.output, "{}, {} threads: {ratios}", path.display(), method.threads)?;
        }
        if listed.blocks > 0 {
            writeln!(self.output, "with access lists, {listed}")?;
        }
        Ok(())
    }

    /// Writes a row to the table and as JSON.
    fn write_row(&mut self, row: &Row, workload: &str, shape: &str) -> io::Result<()> {
        self.counts.measured += 1;
        self.table.write(&mut self.output, &row.columns(workload, shape))?;
        self.json.write(&row.line(workload, shape))?;
        if let Some(place) = &row.comparison.difference {
            self.fail(workload, &format!("the outcomes differ: {place}"));
        }
        Ok(())
    }

    fn fail(&mut self, workload: &str, error: &str) {
        self.counts.failed += 1;
        print_message(&format!("failed: {workload}: {error}"));
    }

    fn status(&self) -> ExitStatus {
        let BenchCounts { measured, failed, unusable } = self.counts;
        if failed > 0 {
            ExitStatus::Failed
        } else if is_interrupted() {
            ExitStatus::Interrupted
        } else if unusable > 0 || measured == 0 {
            ExitStatus::Unusable
        } else {
            ExitStatus::Verified
        }
    }
}

/// Measures the blocks of fixtures one after the other.
struct BlockMeasurements<'s, 'a> {
    session: &'s mut BenchRun<'a>,
    method: Method,
    ratios: Ratios,
    /// With access lists.
    listed: Ratios,
    /// The row of the last block.
    row: Option<Row>,
    error: Option<io::Error>,
}

impl Executor for BlockMeasurements<'_, '_> {
    fn execute(
        &mut self,
        base: &MemoryStore,
        block: &Block,
        on_step: Option<&mut dyn FnMut(CommittedStep<'_>)>,
    ) -> Result<Outcome, BlockError> {
        let is_measured = block.transactions.len() >= self.session.arguments.min_txs.max(1);
        if !is_measured || on_step.is_some() {
            let outcome = Executor::execute(&mut Engine::new(Config::sequential()), base, block, on_step)?;
            if !is_measured {
                return Ok(outcome);
            }
        }
        let (outcome, row) = self.method.measure(base, block)?;
        self.row = Some(row);
        Ok(outcome)
    }
}

impl Harness for BlockMeasurements<'_, '_> {
    fn report(&mut self, report: BlockReport) -> ControlFlow<()> {
        let name = format!("{}, block {}", report.case, report.number);
        if let Err(error) = &report.result {
            self.session.fail(&name, &error.to_string());
        } else if let Some(row) = self.row.take() {
            let limit = row.limits.as_ref().map_or(f64::NAN, |limits| limits.at_threads);
            self.ratios.add_block(&row.comparison, limit, || name.clone());
            self.listed.add_listed(&row.comparison, || name.clone());
            if let Err(error) = self.session.write_row(&row, &name, "fixture") {
                self.error = Some(error);
                return ControlFlow::Break(());
            }
        }
        if is_interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn left_out(&mut self, _case: &str, _reason: &str) {}
}
