//! `blockloom explain`: why blocks are as fast as they are.

mod line;
mod report;
mod sums;

use std::{
    error::Error,
    io::{self, Write},
    num::NonZeroUsize,
    ops::ControlFlow,
    path::PathBuf,
};

use blockloom_bench::{explanation::Explanation, rounds::Rounds};
use blockloom_engine::{Block, BlockError, CommittedStep, Config, Engine, Outcome};
use blockloom_fixtures::{BlockReport, CaseBase, Executor, Fixture, FixtureError, Harness, Sources, check};

use crate::{
    ExitStatus,
    bench_values::threads,
    chain_option::{ChainOption, print_contradictions},
    exports::{ExportError, ExportOptions, Exports},
    failure::{Failure, Verdict},
    input::{input_path, print_skipped},
    interrupt::{self, is_interrupted},
    output::{check_outside_inputs, is_reportable},
    pictures::{
        chrome,
        facts::{self, Facts},
        file::write_file,
        page,
    },
    quantity::counted,
    terminal::{is_quiet, print_message, print_remark},
};
use line::{ExplainLine, SumLine};
use report::Report;
use sums::Sums;

/// Explain why blocks are as fast as they are.
///
/// For each block: the limit that the dependencies between its transactions set, what the threads did, the critical path,
/// the locations that many transactions use, the accounts that they belong to, and the runs that were lost. Then the same
/// for all blocks together. Blocks are verified as by `replay`.
///
/// Exit status: 1 if a block failed; otherwise 130 if it was interrupted; otherwise 2 if some input was unusable, or
/// nothing was explained; otherwise 0.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Files and folders with fixtures, as for `replay`.
    #[arg(required = true, value_parser = input_path())]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    chain: ChainOption,
    /// Only the block with this number.
    #[arg(long, value_name = "N")]
    block: Option<u64>,
    /// Only cases with TEXT in path or name.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Only blocks with at least N transactions.
    #[arg(long, value_name = "N", default_value = "2")]
    min_txs: usize,
    /// The number of threads. Default: the number of cores.
    #[arg(long, value_name = "N", value_parser = threads)]
    threads: Option<NonZeroUsize>,
    /// The number of measured executions on each side. Default: ten, or more if the block is short, or fewer if it takes
    /// long.
    #[arg(long, value_name = "N")]
    rounds: Option<NonZeroUsize>,
    /// The number of rows of each table.
    #[arg(long, value_name = "N", default_value = "8")]
    top: usize,
    /// Write a line of JSON for each block to FILE, and one for all together. `-` is standard output; the report then goes to
    /// standard error.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write what the threads did in the first explained block to FILE, as a trace in Chrome's format, which Perfetto and
    /// speedscope open; in gzip if its name ends in `.gz`.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Write a page with pictures of the first explained block to FILE, for a browser. It needs no network.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitStatus, Box<dyn Error>> {
    interrupt::listen()?;
    let exports = Exports::open(arguments.json.as_deref(), &ExportOptions::default(), &arguments.paths)?;
    for (option, path) in [("--trace", &arguments.trace), ("--html", &arguments.html)] {
        path.as_ref().map_or(Ok(()), |path| check_outside_inputs(option, path, &arguments.paths))?;
    }
    let (output, _) = exports.report_output();
    let threads = arguments.threads.or_else(|| std::thread::available_parallelism().ok());
    let mut explainer = Explainer {
        arguments,
        threads: threads.unwrap_or(NonZeroUsize::MIN),
        exports,
        output,
        fixture: String::new(),
        latest: None,
        sums: Sums::default(),
        counts: Counts::default(),
        error: None,
    };
    explainer.explain_all();
    explainer.finish()
}

/// Executes blocks and explains them.
struct Explainer<'a> {
    arguments: &'a Arguments,
    threads: NonZeroUsize,
    exports: Exports,
    output: Box<dyn Write>,
    fixture: String,
    /// The last block and its explanation.
    latest: Option<(Block, Explanation)>,
    sums: Sums,
    counts: Counts,
    /// Why writing failed.
    error: Option<WriteError>,
}

/// The counts of blocks and inputs.
#[derive(Debug, Default)]
struct Counts {
    explained: usize,
    failed: usize,
    unusable: usize,
}

/// Why the report or a file cannot be written.
#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error(transparent)]
    Report(#[from] io::Error),
    #[error(transparent)]
    Export(#[from] ExportError),
    #[error("{0}")]
    Picture(String),
}

impl WriteError {
    fn is_reportable(&self) -> bool {
        match self {
            Self::Report(error) => is_reportable(error),
            Self::Export(error) => error.is_reportable(),
            Self::Picture(_) => true,
        }
    }
}

impl Explainer<'_> {
    fn explain_all(&mut self) {
        let mut sources = Sources::new(&self.arguments.paths);
        // A break has been reported already.
        let _ = sources.by_ref().try_for_each(|source| match self.arguments.chain.read(source) {
            _ if is_interrupted() => ControlFlow::Break(()),
            Ok(fixture) => self.explain_fixture(&fixture),
            Err(error) => self.unusable(error),
        });
        print_skipped(sources.skipped());
    }

    fn explain_fixture(&mut self, fixture: &Fixture) -> ControlFlow<()> {
        self.fixture = fixture.path.display().to_string();
        let only = self.arguments.only.as_deref();
        for case in &fixture.cases {
            if only.is_none_or(|text| self.fixture.contains(text) || case.name().contains(text)) {
                check(case, self)?;
            }
        }
        ControlFlow::Continue(())
    }

    /// Whether a block is to be explained.
    fn is_chosen(&self, block: &Block) -> bool {
        let Arguments { block: number, min_txs, .. } = self.arguments;
        number.is_none_or(|number| number == block.number()) && block.transactions.len() >= *min_txs
    }

    fn write(&mut self, case: &str, block: &Block, explanation: &Explanation) -> Result<(), WriteError> {
        self.counts.explained += 1;
        self.sums.add(explanation);
        let Arguments { top, .. } = *self.arguments;
        let place = format!("{}: {case}", self.fixture);
        if self.counts.explained == 1 {
            self.write_pictures(&place, block, explanation)?;
        }
        if !is_quiet() {
            if self.counts.explained > 1 {
                writeln!(self.output)?;
            }
            Report { place: &place, block, explanation, top }.write(&mut *self.output)?;
        }
        let line = ExplainLine::new(&self.fixture, case, block, explanation, top);
        Ok(self.exports.write_json(&line)?)
    }

    fn write_pictures(
        &self,
        place: &str,
        block: &Block,
        explanation: &Explanation,
    ) -> Result<(), WriteError> {
        let Arguments { trace, html, top, .. } = self.arguments;
        let mut facts = Facts::new();
        facts::add(&mut facts, block, Some(&explanation.graph));
        if let Some(path) = trace {
            let timeline = explanation.timeline();
            let write = |output: &mut dyn Write| chrome::write(output, &timeline, &facts);
            write_file(path, write).map_err(WriteError::Picture)?;
        }
        if let Some(path) = html {
            let summary = Report { place, block, explanation, top: *top }.summary();
            let write = |output: &mut dyn Write| {
                page::write_block(output, &summary, block, explanation, &facts, *top)
            };
            write_file(path, write).map_err(WriteError::Picture)?;
        }
        Ok(())
    }

    fn write_sums(&mut self) -> Result<(), WriteError> {
        if self.counts.explained < 2 {
            return Ok(());
        }
        let Arguments { top, .. } = *self.arguments;
        if !is_quiet() {
            writeln!(self.output)?;
            self.sums.write(&mut *self.output, top)?;
        }
        Ok(self.exports.write_json(&SumLine::new(&self.sums, top))?)
    }

    fn finish(mut self) -> Result<ExitStatus, Box<dyn Error>> {
        let written = self.error.take().map_or_else(|| self.write_sums(), Err);
        let flushed = self.exports.flush().map_err(WriteError::from);
        if let Err(error) = written.and(flushed)
            && error.is_reportable()
        {
            return Err(error.into());
        }
        let Counts { explained, failed, unusable } = self.counts;
        if explained == 0 && failed + unusable == 0 && !is_interrupted() {
            let least = counted(self.arguments.min_txs, "transaction");
            print_message(&format!(
                "no block was explained: none was chosen that has at least {least} (--min-txs)"
            ));
        }
        if explained > 1 && (self.arguments.trace.is_some() || self.arguments.html.is_some()) {
            print_remark("the pictures are of the first block only: choose another one with --block");
        }
        Ok(if failed > 0 {
            ExitStatus::Failed
        } else if is_interrupted() {
            ExitStatus::Interrupted
        } else if unusable > 0 || explained == 0 {
            ExitStatus::Unusable
        } else {
            ExitStatus::Verified
        })
    }
}

impl Executor for Explainer<'_> {
    fn execute(
        &mut self,
        base: CaseBase<'_>,
        block: &Block,
        on_step: Option<&mut dyn FnMut(CommittedStep<'_>)>,
    ) -> Result<Outcome, BlockError> {
        self.latest = None;
        let outcome = Executor::execute(&mut Engine::new(Config::sequential()), base, block, on_step)?;
        if self.is_chosen(block) && !is_interrupted() {
            let Some(state) = base.known() else {
                print_remark(&format!(
                    "left out: block {}: dependencies are only found on a state that is known account by account",
                    block.number()
                ));
                return Ok(outcome);
            };
            let rounds = self.arguments.rounds.map_or(Rounds::Automatic, Rounds::Exactly);
            let explanation = Explanation::of(state, block, self.threads, rounds, || !is_interrupted())?;
            self.latest = Some((block.clone(), explanation));
        }
        Ok(outcome)
    }
}

impl Harness for Explainer<'_> {
    fn report(&mut self, report: BlockReport) -> ControlFlow<()> {
        print_contradictions(&self.fixture, &report.case, &report.notes);
        let latest = self.latest.take();
        if let Err(error) = &report.result {
            let verdict = Verdict::of(error);
            match verdict {
                Verdict::Failed => self.counts.failed += 1,
                Verdict::Unknown => self.counts.unusable += 1,
            }
            let (fixture, error) = (self.fixture.clone(), error.to_string());
            let failure = Failure { verdict, fixture, case: report.case, block: report.number, error };
            print_message(&failure.to_string());
        } else if let Some(difference) =
            latest.as_ref().and_then(|(_, found)| found.comparison.difference.as_ref())
        {
            self.counts.failed += 1;
            print_message(&format!(
                "failed: {}, block {}: the outcomes differ: {difference}",
                report.case, report.number
            ));
        } else if let Some((block, explanation)) = latest.filter(|_| !is_interrupted())
            && let Err(error) = self.write(&report.case, &block, &explanation)
        {
            self.error = Some(error);
            return ControlFlow::Break(());
        }
        if is_interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn left_out(&mut self, case: &str, reason: &str) {
        print_remark(&format!("left out: {case}: {reason}"));
    }

    fn unusable(&mut self, error: FixtureError) -> ControlFlow<()> {
        self.counts.unusable += 1;
        print_message(&format!("unusable: {error}"));
        ControlFlow::Continue(())
    }
}
