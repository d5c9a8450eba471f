//! `blockloom replay`: executes the blocks of fixtures, and verifies as much as each fixture allows.

use std::{
    error::Error,
    num::{NonZeroU32, NonZeroUsize},
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use blockloom_bench::{calibration::Calibration, rounds::Rounds};
use blockloom_fixtures::{Fixture, FixtureError, Source, Sources, check, samples};
use indicatif::ProgressBar;

use crate::{
    ExitStatus,
    chain_option::ChainOption,
    executor_threads::{Threads, machine_threads, threads},
    exports::{ExportError, ExportOptions, Exports},
    fetch::{BlockRange, Connection, Job, Secret, fetch, node_name},
    harness::{Mode, OnFailure, Replay, RoundPlan},
    input::{input_path, name_skipped},
    interrupt::{self, is_interrupted},
    json::SummaryLine,
    list_source::ListSource,
    output::is_reportable,
    progress,
    report::{Counts, Report, Warmth},
    terminal::print_message,
    transaction_lines::TransactionLines,
};

/// Execute blocks, and verify the results against their fixtures.
///
/// Reads blockchain tests and state tests, folders with a block and its prestate as a node returns them,
/// folders with a block's environment, and files of encoded blocks as geth's `export` writes them, plain or in
/// gzip. The format is recognised from the content.
///
/// Exit status: 1 if a block failed; otherwise 130 if it was interrupted; otherwise 2 if some input or
/// argument was unusable, if a test wants a reason for a refusal that this version does not know, or nothing was
/// executed; otherwise 0.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Files and folders with fixtures; folders are searched recursively. Default: the sample blocks that are
    /// part of the program. With `--rpc`: numbers of blocks, `latest`, or ranges with both ends such as 7..9.
    #[arg(value_parser = input_path())]
    paths: Vec<PathBuf>,
    /// Fetch the blocks from the node at `http://HOST:PORT` or `https://HOST/PATH`, as `blockloom fetch` does, and keep
    /// nothing of them.
    #[arg(long, value_name = "URL", help_heading = "Node")]
    rpc: Option<Secret>,
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    chain: ChainOption,
    /// The number of threads that execute a block; 0 selects the sequential executor. Default: the number of
    /// cores.
    #[arg(long, value_name = "N", value_parser = threads, allow_negative_numbers = true)]
    threads: Option<Threads>,
    /// Execute each block sequentially and in parallel, in turn, compare the outcomes, and print sequential time /
    /// parallel time. After rounds that warm up, ten rounds are measured, more of a short block, and fewer of a long
    /// one; or as many as `--rounds` says.
    #[arg(long)]
    compare: bool,
    /// Execute blocks with their access lists (EIP-7928). DIR has lists for blocks that come without one, as
    /// `blockloom list --out DIR` writes them. With `--compare`, each block is executed a third time: in
    /// parallel, with its list.
    #[arg(long, value_name = "DIR", num_args = 0..=1, value_parser = input_path())]
    with_lists: Option<Option<PathBuf>>,
    /// Execute each block once to warm up and then N times, compare the outcomes, and report the median time.
    /// Without this option and `--compare`, each block is executed once, with cold caches.
    #[arg(long, value_name = "N", value_parser = at_least_one::<NonZeroU32>, allow_negative_numbers = true)]
    rounds: Option<NonZeroU32>,
    /// Only cases with TEXT in path or name.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Execute at most N cases.
    #[arg(long, value_name = "N", value_parser = at_least_one::<NonZeroUsize>, allow_negative_numbers = true)]
    limit: Option<NonZeroUsize>,
    /// Stop at the first failed block or unusable input.
    #[arg(long)]
    fail_fast: bool,
    /// Write a line of JSON for each block, and a last line with the sums, to FILE. `-` is standard output; the
    /// report then goes to standard error.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Add the results of the transactions to the lines of JSON: status, reason of a halt, gas, output and logs. Each block
    /// is executed once more for them.
    #[arg(long, requires = "json")]
    transactions: bool,
    #[command(flatten)]
    exports: ExportOptions,
}

fn at_least_one<N: std::str::FromStr>(text: &str) -> Result<N, String> {
    text.parse().map_err(|_| "expected a number of at least 1".to_owned())
}

/// A set of fixtures: one row of the report.
struct Set {
    name: String,
    sources: Vec<Result<Source, FixtureError>>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitStatus, Box<dyn Error>> {
    interrupt::listen()?;
    match &arguments.rpc {
        Some(rpc) => fetch_and_replay(arguments, rpc),
        None => replay(arguments, &arguments.paths, &mut arguments.open_exports(&arguments.paths)?),
    }
}

/// Fetches blocks into a folder that is removed afterwards, and replays them.
fn fetch_and_replay(arguments: &Arguments, rpc: &Secret) -> Result<ExitStatus, Box<dyn Error>> {
    let blocks = arguments.paths.iter().map(|path| {
        let text = path.to_str().ok_or("expected the number of a block")?;
        text.parse::<BlockRange>().map_err(|error| format!("{text}: {error}"))
    });
    let blocks = blocks.collect::<Result<Vec<_>, _>>()?;
    if blocks.is_empty() {
        return Err("--rpc: name the blocks, for example `latest`".into());
    }
    if arguments.chain.names_genesis() {
        return Err("--genesis is for encoded blocks: with --rpc, name the chain with --chain FILE".into());
    }
    let name = node_name(rpc)?;
    // Before the fetch, which may take long.
    let mut exports = arguments.open_exports(&[])?;
    let folder = tempfile::tempdir()?;
    // The report names the folder.
    let out = folder.path().join(name);
    let (connection, chain) = (&arguments.connection, arguments.chain.chain());
    let fetched = fetch(&Job { rpc, connection, blocks: &blocks, chain }, &out)?;
    if fetched.is_empty() {
        return Ok(fetched.status());
    }
    let replayed = replay(arguments, &[out], &mut exports)?;
    // A block that failed counts most, as in the status of each command.
    let order = [ExitStatus::Failed, ExitStatus::Interrupted, ExitStatus::Unusable];
    let statuses = [fetched.status(), replayed];
    Ok(order.into_iter().find(|status| statuses.contains(status)).unwrap_or(ExitStatus::Verified))
}

fn replay(
    arguments: &Arguments,
    paths: &[PathBuf],
    exports: &mut Exports,
) -> Result<ExitStatus, Box<dyn Error>> {
    let disturbs_progress = exports.disturbs_progress();
    let failures = if arguments.fail_fast { OnFailure::Stop } else { OnFailure::GoOn };
    let threads = arguments.threads.unwrap_or_else(machine_threads);
    let plan = RoundPlan { threads, mode: arguments.mode(), failures };
    let lists = arguments.with_lists.as_ref().map(|folder| ListSource::new(folder.as_deref())).transpose()?;
    let calibration = arguments.compare.then(|| Calibration::of(threads.busy()));
    let mut session = ReplayRun {
        arguments,
        paths,
        progress: ProgressBar::hidden(),
        disturbs_progress,
        replay: Replay::new(plan, lists, exports),
        cases_left: arguments.limit.map_or(usize::MAX, NonZeroUsize::get),
        sets: Vec::new(),
        unusable: 0,
        skipped: 0,
    };
    if arguments.transactions {
        session.replay.transactions = TransactionLines::Written(Vec::new());
    }
    session.run();
    session.progress.finish_and_clear();
    let ReplayRun { replay, sets, unusable, skipped, .. } = session;
    let Replay { failures, notes, lists, export_error, .. } = replay;
    let mut total = Counts::default();
    sets.iter().for_each(|(_, counts)| total.add(counts));
    let (failures, notes, lists, calibration) =
        (&failures[..], &notes[..], lists.as_ref(), calibration.map(Calibration::again));
    let warmth = if plan.mode == Mode::Once { Warmth::Cold } else { Warmth::Warm };
    let report =
        Report { sets: &sets, total: &total, failures, notes, lists, unusable, skipped, warmth, calibration };
    finish(&report, exports, export_error)
}

impl Arguments {
    fn open_exports(&self, inputs: &[PathBuf]) -> Result<Exports, String> {
        Exports::open(self.json.as_deref(), &self.exports, inputs)
    }

    fn mode(&self) -> Mode {
        let rounds = self.rounds.and_then(|rounds| NonZeroUsize::try_from(rounds).ok());
        match rounds {
            _ if self.compare => Mode::Compared(rounds.map_or(Rounds::Automatic, Rounds::Exactly)),
            None => Mode::Once,
            Some(rounds) => Mode::Repeated(rounds),
        }
    }
}

/// Writes the summary as JSON, and the report. The report is written even if a file is lost.
fn finish(
    report: &Report<'_>,
    exports: &mut Exports,
    export_error: Option<ExportError>,
) -> Result<ExitStatus, Box<dyn Error>> {
    let is_interrupted = is_interrupted();
    let summary = SummaryLine { summary: report.total.summary(report.calibration.as_ref()) };
    let mut export = || {
        exports.write_json(&summary)?;
        report.tables().iter().try_for_each(|table| exports.write_table(table))?;
        exports.flush()
    };
    let export_error = export_error.or_else(|| export().err());
    let (mut output, is_terminal) = exports.report_output();
    let written = report.write(&mut output, is_terminal);
    let export_error = export_error.filter(ExportError::is_reportable).map(|error| error.to_string());
    let report_error = written.err().filter(is_reportable).map(|error| error.to_string());
    for message in [&export_error, &report_error].into_iter().flatten() {
        print_message(message);
    }
    Ok(if report.total.failed > 0 {
        ExitStatus::Failed
    } else if is_interrupted {
        ExitStatus::Interrupted
    } else if report.unusable > 0
        || report.total.unknown_reasons > 0
        || report.total.cases == 0
        || export_error.is_some()
        || report.lists.is_some_and(ListSource::found_none)
    {
        ExitStatus::Unusable
    } else {
        ExitStatus::Verified
    })
}

/// One run of the command.
struct ReplayRun<'a> {
    arguments: &'a Arguments,
    paths: &'a [PathBuf],
    progress: ProgressBar,
    /// Whether lines on the terminal would break the bar.
    disturbs_progress: bool,
    replay: Replay<'a>,
    cases_left: usize,
    /// The counts of each set so far.
    sets: Vec<(String, Counts)>,
    unusable: usize,
    /// Files in folders that are no fixtures.
    skipped: usize,
}

impl ReplayRun<'_> {
    fn run(&mut self) {
        if self.paths.is_empty() {
            self.progress = progress_bar(samples().len(), self.disturbs_progress);
            let _ = self.run_samples();
            return;
        }
        let mut sets = Vec::new();
        for path in self.paths {
            let (found, skipped) = find_sets(path);
            sets.extend(found);
            name_skipped(&skipped);
            self.skipped += skipped.len();
        }
        self.progress = progress_bar(sets.iter().map(|set| set.sources.len()).sum(), self.disturbs_progress);
        for set in sets {
            if self.run_set(set).is_break() {
                break;
            }
        }
    }

    fn run_samples(&mut self) -> ControlFlow<()> {
        let mut flow = ControlFlow::Continue(());
        for fixture in samples() {
            flow = self.run_fixture(fixture);
            if flow.is_break() {
                break;
            }
        }
        self.sets.push(("samples".to_owned(), self.replay.take_counts()));
        flow
    }

    fn run_set(&mut self, set: Set) -> ControlFlow<()> {
        let mut flow = ControlFlow::Continue(());
        for source in set.sources {
            flow = self.run_fixture(self.arguments.chain.read(source));
            if flow.is_break() {
                break;
            }
        }
        self.sets.push((set.name, self.replay.take_counts()));
        flow
    }

    fn run_fixture(&mut self, fixture: Result<Fixture, FixtureError>) -> ControlFlow<()> {
        self.progress.inc(1);
        if is_interrupted() {
            return ControlFlow::Break(());
        }
        let fixture = match fixture {
            Ok(fixture) => fixture,
            Err(error) => {
                self.unusable += 1;
                self.progress.suspend(|| print_message(&format!("unusable: {error}")));
                let stop = self.arguments.fail_fast;
                return if stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
            }
        };
        let path = fixture.path.display().to_string();
        let is_wanted = |name: &str| {
            self.arguments.only.as_deref().is_none_or(|text| path.contains(text) || name.contains(text))
        };
        let mut has_begun = false;
        for case in fixture.cases.iter().filter(|case| is_wanted(case.name())) {
            if self.cases_left == 0 {
                return ControlFlow::Break(());
            }
            self.cases_left -= 1;
            if !has_begun {
                self.replay.begin_fixture(path.clone());
                has_begun = true;
            }
            self.replay.begin_case(case.name());
            let flow = check(case, &mut self.replay);
            self.report_unusable()?;
            flow?;
        }
        ControlFlow::Continue(())
    }

    /// Reports the damage that the last case met: of its file, and of the access lists that it needed.
    fn report_unusable(&mut self) -> ControlFlow<()> {
        let mut errors: Vec<_> =
            self.replay.unusable.take().map(|error| error.to_string()).into_iter().collect();
        errors.extend(self.replay.lists.as_mut().map(ListSource::take_unusable).unwrap_or_default());
        for error in &errors {
            self.unusable += 1;
            self.progress.suspend(|| print_message(&format!("unusable: {error}")));
        }
        let stop = self.arguments.fail_fast && !errors.is_empty();
        if stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// The sets under a path: one for each subfolder, and one for the fixtures directly in it; and the files that are no
/// fixtures.
fn find_sets(path: &Path) -> (Vec<Set>, Vec<PathBuf>) {
    let mut sets: Vec<Set> = Vec::new();
    let mut sources = Sources::new([path]);
    for source in sources.by_ref() {
        if is_interrupted() {
            break;
        }
        let name = source.as_ref().map_or_else(|_| file_name(path), |source| set_name(path, source.path()));
        match sets.iter_mut().find(|set| set.name == name) {
            Some(set) => set.sources.push(source),
            None => sets.push(Set { name, sources: vec![source] }),
        }
    }
    (sets, sources.skipped().to_vec())
}

/// The name of the path, and of the subfolder that holds the source if it is not directly in the path.
fn set_name(path: &Path, source: &Path) -> String {
    let below = source.strip_prefix(path).unwrap_or(Path::new(""));
    let mut parts = below.components();
    match (parts.next(), parts.next()) {
        (Some(folder), Some(_)) => {
            format!("{}/{}", file_name(path), folder.as_os_str().to_string_lossy())
        }
        _ => file_name(path),
    }
}

fn file_name(path: &Path) -> String {
    let canonical = path.canonicalize();
    let name = canonical.as_deref().unwrap_or(path).file_name();
    name.map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

fn progress_bar(sources: usize, is_disturbed: bool) -> ProgressBar {
    if is_disturbed { ProgressBar::hidden() } else { progress::bar(sources as u64, "fixtures") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_a_subfolder_of_the_path() {
        let name = |source: &str| set_name(Path::new("/x/suites"), Path::new(source));
        assert_eq!(name("/x/suites/eest/osaka/a.json"), "suites/eest");
        assert_eq!(name("/x/suites/a.json"), "suites");
        assert_eq!(name("/x/suites"), "suites");
    }
}
