//! `blockloom bench`: measures parallel against sequential execution, on generated blocks and on fixtures.

mod measurements;

use std::{
    collections::BTreeMap,
    error::Error,
    io::{self, Write},
    num::NonZeroUsize,
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::Duration,
};

use blockloom_bench::{
    calibration::Calibration,
    core_latency::CoreLatency,
    rounds::Rounds,
    workloads::{Kind, Recipe, Shape, Workload},
};
use blockloom_fixtures::{Sources, check};

use crate::{
    ExitStatus, bench_chain,
    bench_values::{What, gas, parts, shape, share, threads},
    chain_option::ChainOption,
    exports::{
        ExportError, ExportOptions, Exports, Row as _,
        field::{Field, cells, titles},
    },
    input::print_skipped,
    interrupt::{self, is_interrupted},
    output::{check_outside_inputs, is_reportable},
    pictures::{bench_page, charts::ChartRow, file::write_file},
    quantity::counted,
    ratios::{BenchSums, Excess, remarks},
    row::{ListUse, Method, Row, legend, usual_widths},
    table::Table,
    terminal::{is_quiet, painted, print_message},
};
use measurements::BlockMeasurements;

/// Measure parallel against sequential execution.
///
/// Each WHAT is a generated workload (transfers, erc20, swaps, mixed) or a path with fixtures. Both sides
/// execute each block in one process, in turn. The figures are medians. The outcomes are compared in every
/// round.
///
/// Exit status: 1 if outcomes differ or a block is invalid; otherwise 130 if it was interrupted; otherwise 2
/// if some input was unusable or names a reason that this version does not know, or nothing was measured; otherwise
/// 0.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    part: Option<Part>,
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
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = threads)]
    threads: Vec<NonZeroUsize>,
    /// The number of measured executions of each block on each side. Default: ten, or more if the block is short, or
    /// fewer if it takes long.
    #[arg(long, value_name = "N")]
    rounds: Option<NonZeroUsize>,
    /// Delay each read of the base by U microseconds, to simulate a disk.
    #[arg(long, value_name = "U", default_value = "0")]
    read_latency_us: u64,
    /// Execute each block in parallel with its access list (EIP-7928) as well. An execution before the
    /// first round produces the list.
    #[arg(long)]
    with_lists: bool,
    /// Cut each block into N consecutive ones under one environment, and execute them as a stream as well. A block with
    /// fewer transactions is split into fewer.
    #[arg(long, value_name = "N", value_parser = parts)]
    split: Option<NonZeroUsize>,
    #[command(flatten)]
    chain: ChainOption,
    /// Of fixtures, measure only blocks with at least N transactions.
    #[arg(long, value_name = "N", default_value = "2")]
    min_txs: usize,
    /// Write a line of JSON for each row to FILE. `-` is standard output; the table then goes to standard
    /// error.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    exports: ExportOptions,
    /// Write a page with charts of the rows to FILE, for a browser. It needs no network.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write a chart of the ratios beside their limits to FILE, as SVG.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// What is measured beside single blocks.
#[derive(Debug, clap::Subcommand)]
enum Part {
    Chain(bench_chain::Arguments),
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitStatus, Box<dyn Error>> {
    if let Some(Part::Chain(arguments)) = &arguments.part {
        return bench_chain::run(arguments);
    }
    interrupt::listen()?;
    let inputs = arguments.what.iter().filter_map(|what| match what {
        What::Fixtures(path) => Some(path.clone()),
        What::Workload(_) => None,
    });
    let inputs: Vec<_> = inputs.collect();
    let exports = Exports::open(arguments.json.as_deref(), &arguments.exports, &inputs)?;
    for (option, path) in [("--html", &arguments.html), ("--svg", &arguments.svg)] {
        path.as_ref().map_or(Ok(()), |path| check_outside_inputs(option, path, &inputs))?;
    }
    let (output, is_terminal) = exports.report_output();
    let mut session = BenchRun {
        arguments,
        exports,
        export_error: None,
        output,
        is_terminal,
        table: None,
        counts: BenchCounts::default(),
        charts: Charts::default(),
    };
    let written = session.run();
    let flushed = session.exports.flush();
    if let Some(error) = session.export_error.take().or(flushed.err())
        && error.is_reportable()
    {
        return Err(error.into());
    }
    session.write_charts()?;
    match written {
        Err(error) if is_reportable(&error) => Err(error.into()),
        _ => Ok(session.status()),
    }
}

/// One run of the command.
struct BenchRun<'a> {
    arguments: &'a Arguments,
    exports: Exports,
    /// Why a row was not written to a file. It ends the command.
    export_error: Option<ExportError>,
    output: Box<dyn Write>,
    /// Whether `output` is a terminal.
    is_terminal: bool,
    /// The table, from the first row on.
    table: Option<Table>,
    counts: BenchCounts,
    charts: Charts,
}

/// What the charts show.
#[derive(Debug, Default)]
struct Charts {
    rows: Vec<ChartRow>,
    /// The sums and the warnings of the report.
    remarks: Vec<String>,
}

/// The counts of blocks and inputs.
#[derive(Debug, Default)]
struct BenchCounts {
    measured: usize,
    /// Rows of workloads above their limits, with how far.
    above: BTreeMap<Excess, usize>,
    /// Rows of workloads whose ratios are uncertain.
    uncertain: usize,
    failed: usize,
    unusable: usize,
}

impl BenchRun<'_> {
    fn run(&mut self) -> io::Result<()> {
        let all = Kind::ALL.map(What::Workload);
        let what = if self.arguments.what.is_empty() { &all[..] } else { &self.arguments.what };
        let methods = self.methods();
        let threads = methods.iter().map(|method| method.threads.get()).max().unwrap_or(1);
        let (calibration, before) = (Calibration::of(threads), CoreLatency::measure());
        for (what, method) in what.iter().flat_map(|what| methods.iter().map(move |method| (what, *method))) {
            if is_interrupted() {
                break;
            }
            match what {
                What::Workload(kind) => self.run_workload(*kind, method)?,
                What::Fixtures(path) => self.run_fixtures(path, method)?,
            }
        }
        if self.counts.measured == 0 {
            return Ok(());
        }
        for remark in remarks(&self.counts.above, self.counts.uncertain, "row") {
            self.write_line(&remark)?;
        }
        if let Some(line) = CoreLatency::before_and_after(before) {
            self.write_line(&line)?;
        }
        calibration
            .again()
            .warning()
            .map_or(Ok(()), |warning| self.write_line(&format!("warning: {warning}")))
    }

    /// Writes a line to where the table is.
    fn write_line(&mut self, line: &str) -> io::Result<()> {
        self.charts.remarks.push(line.to_owned());
        if is_quiet() { Ok(()) } else { writeln!(self.output, "{}", painted(line, self.is_terminal)) }
    }

    /// One method for each number of threads.
    fn methods(&self) -> Vec<Method> {
        let Arguments { rounds, read_latency_us, with_lists, split, .. } = *self.arguments;
        let mut threads = self.arguments.threads.clone();
        if threads.is_empty() {
            threads.push(std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN));
        }
        let latency = Duration::from_micros(read_latency_us);
        let lists = if with_lists { ListUse::Lists } else { ListUse::Nothing };
        let rounds = rounds.map_or(Rounds::Automatic, Rounds::Exactly);
        let method = |threads| Method { threads, rounds, latency, lists, split };
        threads.into_iter().map(method).collect()
    }

    fn run_workload(&mut self, kind: Kind, method: Method) -> io::Result<()> {
        let Arguments { shape: shapes, gas, seed, hot, senders, .. } = self.arguments;
        for (shape, gas) in shapes.iter().flat_map(|shape| gas.iter().map(move |gas| (*shape, *gas))) {
            if is_interrupted() {
                break;
            }
            let senders = senders.get() as u64;
            let Workload { base, block } =
                Recipe { kind, shape, gas, seed: *seed, hot: *hot, senders }.prepare();
            match method.measure((&base).into(), &block) {
                Ok((_, row)) => self.write_workload(&row, kind, shape, gas)?,
                Err(error) => self.fail(kind.name(), &error.to_string()),
            }
        }
        Ok(())
    }

    fn run_fixtures(&mut self, path: &Path, method: Method) -> io::Result<()> {
        let place = path.display().to_string();
        let sums = BenchSums::default();
        let mut blocks = BlockMeasurements { session: self, place, method, sums, row: None, error: None };
        let mut sources = Sources::new([path]);
        for source in sources.by_ref() {
            let cases = blocks.session.arguments.chain.read(source).map(|fixture| fixture.cases);
            let flow = match cases {
                _ if is_interrupted() => ControlFlow::Break(()),
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
        let BlockMeasurements { place, sums, error, .. } = blocks;
        error.map_or(Ok(()), Err)?;
        print_skipped(sources.skipped());
        let threads = counted(method.threads.get(), "thread");
        let mut lines = sums.lines(&format!("{place}, {threads}")).into_iter();
        lines.try_for_each(|line| self.write_line(&line))
    }

    /// Writes the files with charts.
    fn write_charts(&self) -> Result<(), String> {
        let Charts { rows, remarks } = &self.charts;
        if let Some(path) = &self.arguments.html {
            write_file(path, |output: &mut dyn Write| bench_page::write(output, rows, remarks))?;
        }
        if let Some(path) = &self.arguments.svg {
            write_file(path, |output: &mut dyn Write| bench_page::write_chart(output, rows))?;
        }
        Ok(())
    }

    /// Writes a row to the table and to the files.
    fn write_row(&mut self, row: &Row, workload: &str, shape: Option<&str>) -> io::Result<()> {
        if let Some(place) = &row.comparison.difference {
            self.fail(workload, &format!("the outcomes differ: {place}"));
        }
        if row.comparison.rounds == 0 {
            // An interrupt came before the first round.
            return Ok(());
        }
        self.counts.measured += 1;
        let line = row.line(workload, shape);
        let fields = line.fields();
        if !is_quiet() {
            self.write_cells(&fields)?;
        }
        let exported = self.exports.write_row(&line).and_then(|()| self.exports.write_table_row(&fields));
        exported.map_err(|error| {
            self.export_error = Some(error);
            io::ErrorKind::BrokenPipe.into()
        })
    }

    /// Writes the row of a workload, and counts what its ratio is worth.
    fn write_workload(&mut self, row: &Row, kind: Kind, shape: Shape, gas: u64) -> io::Result<()> {
        self.charts.rows.extend(row.chart_row(format!("{kind} {shape}"), gas));
        if let Some(excess) = row.excess() {
            *self.counts.above.entry(excess).or_default() += 1;
        }
        self.counts.uncertain += usize::from(row.is_uncertain());
        self.write_row(row, kind.name(), Some(shape.name()))
    }

    /// Writes a row to the table, which starts with the first row.
    fn write_cells(&mut self, fields: &[Field]) -> io::Result<()> {
        let mut table = match self.table.take() {
            Some(table) => table,
            None => {
                let mut table = Table::new(1);
                // Rows are written one by one, so the widths are guessed.
                table.widen(&usual_widths());
                writeln!(self.output, "{}", legend(self.arguments.split))?;
                table.write(&mut self.output, &titles(fields))?;
                table
            }
        };
        table.write(&mut self.output, &cells(fields))?;
        self.table = Some(table);
        Ok(())
    }

    fn fail(&mut self, workload: &str, error: &str) {
        self.counts.failed += 1;
        print_message(&format!("failed: {workload}: {error}"));
    }

    fn leave_open(&mut self, workload: &str, error: &str) {
        self.counts.unusable += 1;
        print_message(&format!("unknown: {workload}: {error}"));
    }

    fn status(&self) -> ExitStatus {
        let BenchCounts { measured, failed, unusable, .. } = &self.counts;
        if *failed > 0 {
            ExitStatus::Failed
        } else if is_interrupted() {
            ExitStatus::Interrupted
        } else if *unusable > 0 || *measured == 0 {
            ExitStatus::Unusable
        } else {
            ExitStatus::Verified
        }
    }
}
