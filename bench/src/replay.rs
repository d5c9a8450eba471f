//! `blockloom replay`: executes blocks from fixtures and verifies whatever the fixtures allow.

use std::{
    error::Error,
    io::{self, IsTerminal, Write},
    num::{NonZeroU32, NonZeroUsize},
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use blockloom_fixtures::{Fixture, FixtureError, Source, Sources, check, read, samples};
use indicatif::ProgressBar;

use crate::{
    Status,
    given::GivenLists,
    harness::{OnFailure, Plan, Replay, Sides, Threads, machine_threads, threads},
    interrupt::{self, is_interrupted, say},
    progress,
    report::{
        Counts, Failure, JsonLines, check_is_no_input, is_worth_a_word, json_failure, write_sides,
        write_table, write_verdict,
    },
};

/// Execute blocks and verify them against whatever their fixtures say.
///
/// Reads blockchain tests and state tests, folders with a block and its prestate as a node answers
/// them, and folders with a block's environment; the format is recognised from the content.
///
/// Exit status: 1 if a block failed; otherwise 130 if it was interrupted; otherwise 2 if some input or
/// argument was unusable, or nothing was executed; otherwise 0.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Files and folders with fixtures; folders are walked. Without any: the sample blocks that
    /// come with the program.
    paths: Vec<PathBuf>,
    /// How many threads execute a block; 0 is the sequential executor. By default as many as the
    /// machine runs at once.
    #[arg(long, value_name = "N", value_parser = threads, allow_negative_numbers = true)]
    threads: Option<Threads>,
    /// Execute each block sequentially and in parallel, in turn, compare what comes out, and print
    /// how many times as fast parallel is.
    #[arg(long)]
    compare: bool,
    /// Execute blocks with access lists (EIP-7928): with those that come with them and, where DIR is said, with
    /// those that `blockloom list --out DIR` wrote for blocks that come with none. With `--compare`, each
    /// block is executed a third time, in parallel and with its list, and else without it.
    #[arg(long, value_name = "DIR", num_args = 0..=1)]
    with_lists: Option<Option<PathBuf>>,
    /// Execute each block N times, compare what comes out, and report the median time. The first time
    /// is the slowest: caches are cold.
    #[arg(long, value_name = "N", default_value = "1", value_parser = at_least_one::<NonZeroU32>, allow_negative_numbers = true)]
    rounds: NonZeroU32,
    /// Only cases whose file, as it is given or found, or whose name contains TEXT.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// At most N cases.
    #[arg(long, value_name = "N", value_parser = at_least_one::<NonZeroUsize>, allow_negative_numbers = true)]
    limit: Option<NonZeroUsize>,
    /// Stop at the first block that fails, and at the first unusable input.
    #[arg(long)]
    fail_fast: bool,
    /// Write a line of JSON for each block, and a last one with the sums, to FILE; `-` is standard
    /// output, and the table then goes to standard error.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn at_least_one<N: std::str::FromStr>(text: &str) -> Result<N, String> {
    text.parse().map_err(|_| "a number of at least 1 is wanted".to_owned())
}

/// A set of fixtures that has its row in the table, and where it is read from.
struct Set {
    name: String,
    sources: Vec<Result<Source, FixtureError>>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Status, Box<dyn Error>> {
    interrupt::listen()?;
    let json_path = arguments.json.as_deref();
    if let Some(path) = json_path {
        check_is_no_input("--json", path, &arguments.paths)?;
    }
    let mut json = JsonLines::to(json_path).map_err(|error| json_failure(json_path, &error))?;
    let failures = if arguments.fail_fast { OnFailure::Stop } else { OnFailure::GoOn };
    let threads = arguments.threads.unwrap_or_else(machine_threads);
    let sides = if arguments.compare { Sides::Compared } else { Sides::One };
    let plan = Plan { threads, sides, rounds: arguments.rounds.get() as usize, failures };
    let lists = arguments.with_lists.as_ref().map(|folder| GivenLists::new(folder.as_deref())).transpose()?;
    let mut session = Session {
        arguments,
        progress: ProgressBar::hidden(),
        replay: Replay::new(plan, lists, &mut json),
        cases_left: arguments.limit.map_or(usize::MAX, NonZeroUsize::get),
        rows: Vec::new(),
        unusable: 0,
    };
    session.run();
    session.progress.finish_and_clear();
    let Session { replay, rows, unusable, .. } = session;
    let is_interrupted = is_interrupted();
    let (failures, lists, json_error) = (replay.failures, replay.lists, replay.json_error);
    let mut total = Counts::default();
    rows.iter().for_each(|(_, counts)| total.add(counts));

    // What was found out is told even if the file for it is lost.
    let json_error = json_error.or_else(|| json.finish(&total).err());
    let lists = lists.as_ref();
    let report = Report { rows: &rows, total: &total, failures: &failures, lists, unusable };
    let told = if json_path == Some(Path::new("-")) {
        report.write(&mut io::stderr())
    } else {
        report.write(&mut io::stdout())
    };
    let lost = json_error.filter(is_worth_a_word).map(|error| json_failure(json_path, &error));
    let untold = told.err().filter(is_worth_a_word).map(|error| error.to_string());
    for message in [&lost, &untold].into_iter().flatten() {
        say(message);
    }
    Ok(if !failures.is_empty() {
        Status::Failed
    } else if is_interrupted {
        Status::Interrupted
    } else if unusable > 0
        || total.cases == 0
        || lost.is_some()
        || lists.is_some_and(GivenLists::are_elsewhere)
    {
        Status::Unusable
    } else {
        Status::Verified
    })
}

/// All that a person is told in the end.
struct Report<'a> {
    rows: &'a [(String, Counts)],
    total: &'a Counts,
    failures: &'a [Failure],
    lists: Option<&'a GivenLists>,
    unusable: usize,
}

impl Report<'_> {
    fn write(&self, output: &mut dyn Write) -> io::Result<()> {
        write_table(output, self.rows, self.total)?;
        write_sides(output, self.rows, self.total)?;
        for failure in self.failures {
            writeln!(output, "{failure}")?;
        }
        if self.total.cases == 0 && self.unusable == 0 {
            writeln!(output, "no case matches")?;
        }
        write_verdict(output, self.total, self.unusable)?;
        self.lists.map_or(Ok(()), |lists| write!(output, "{lists}"))
    }
}

/// One run of the command.
struct Session<'a> {
    arguments: &'a Arguments,
    progress: ProgressBar,
    replay: Replay<'a>,
    cases_left: usize,
    rows: Vec<(String, Counts)>,
    unusable: usize,
}

impl Session<'_> {
    fn run(&mut self) {
        if self.arguments.paths.is_empty() {
            self.progress = progress_bar(samples().len(), self.arguments.json.as_deref());
            let _ = self.run_samples();
            return;
        }
        let sets: Vec<_> = self.arguments.paths.iter().flat_map(|path| sets(path)).collect();
        self.progress =
            progress_bar(sets.iter().map(|set| set.sources.len()).sum(), self.arguments.json.as_deref());
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
        self.rows.push(("samples".to_owned(), self.replay.take_counts()));
        flow
    }

    fn run_set(&mut self, set: Set) -> ControlFlow<()> {
        let mut flow = ControlFlow::Continue(());
        for source in set.sources {
            flow = self.run_fixture(source.and_then(|source| read(&source)));
            if flow.is_break() {
                break;
            }
        }
        self.rows.push((set.name, self.replay.take_counts()));
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
                self.progress.suspend(|| say(&format!("unusable: {error}")));
                let stop = self.arguments.fail_fast;
                return if stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
            }
        };
        let path = fixture.path.display().to_string();
        let is_wanted = |name: &str| {
            self.arguments.only.as_deref().is_none_or(|text| path.contains(text) || name.contains(text))
        };
        let mut is_entered = false;
        for case in fixture.cases.iter().filter(|case| is_wanted(case.name())) {
            if self.cases_left == 0 {
                return ControlFlow::Break(());
            }
            self.cases_left -= 1;
            if !is_entered {
                self.replay.enter(path.clone());
                is_entered = true;
            }
            self.replay.enter_case(case.name());
            let flow = check(case, &mut self.replay);
            self.tell_of_lists()?;
            flow?;
        }
        ControlFlow::Continue(())
    }

    /// Says which files with lists were unusable.
    fn tell_of_lists(&mut self) -> ControlFlow<()> {
        let errors = self.replay.lists.as_mut().map(GivenLists::take_unusable).unwrap_or_default();
        for error in &errors {
            self.unusable += 1;
            self.progress.suspend(|| say(&format!("unusable: {error}")));
        }
        let stop = self.arguments.fail_fast && !errors.is_empty();
        if stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// The sets under a path: one for each folder in it, or the path itself if it holds fixtures.
fn sets(path: &Path) -> Vec<Set> {
    let mut sets: Vec<Set> = Vec::new();
    for source in Sources::new([path]) {
        if is_interrupted() {
            break;
        }
        let name = source.as_ref().map_or_else(|_| file_name(path), |source| set_name(path, source.path()));
        match sets.iter_mut().find(|set| set.name == name) {
            Some(set) => set.sources.push(source),
            None => sets.push(Set { name, sources: vec![source] }),
        }
    }
    sets
}

/// The name of the path and of the folder in it that the source is in, unless the source lies
/// directly in the path.
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

fn progress_bar(sources: usize, json: Option<&Path>) -> ProgressBar {
    // Lines of JSON on the same terminal would end up in the middle of the bar.
    let is_disturbed = json == Some(Path::new("-")) && io::stdout().is_terminal();
    if is_disturbed { ProgressBar::hidden() } else { progress::bar(sources as u64, "fixtures") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_the_folder_below_the_path() {
        let name = |source: &str| set_name(Path::new("/x/suites"), Path::new(source));
        assert_eq!(name("/x/suites/eest/osaka/a.json"), "suites/eest");
        assert_eq!(name("/x/suites/a.json"), "suites");
        assert_eq!(name("/x/suites"), "suites");
    }
}
