//! `blockloom replay`: executes blocks from fixtures and verifies whatever the fixtures allow.

use std::{
    error::Error,
    io::{self, IsTerminal, Write},
    num::NonZeroU32,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use blockloom_fixtures::{Fixture, FixtureError, Source, Sources, check, read, samples};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::{
    Status,
    harness::{OnFailure, Plan, Replay},
    report::{Counts, JsonLines, write_table},
};

/// Execute blocks and verify them against whatever their fixtures say.
///
/// Reads blockchain tests and state tests, folders with a block and its prestate as a node answers
/// them, and folders with a block's environment; the format is recognised from the content.
///
/// Exit status: 0 if everything was verified, 1 if a block failed, 2 if some input or argument was
/// unusable, 130 if it was interrupted.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Files and folders with fixtures; folders are walked. Without any: the sample blocks that
    /// come with the program.
    paths: Vec<PathBuf>,
    /// How many threads execute a block; 0 is the sequential executor, the only one there is yet.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=0))]
    threads: u32,
    /// Execute each block N times, compare what comes out, and report the median time.
    #[arg(long, value_name = "N", default_value = "1")]
    rounds: NonZeroU32,
    /// Only cases whose file or name contains TEXT.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// At most N cases.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Stop at the first failure.
    #[arg(long)]
    fail_fast: bool,
    /// Write a line of JSON for each block, and a last one with the sums, to FILE; `-` is standard
    /// output, and the table then goes to standard error.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// A set of fixtures that has its row in the table, and where it is read from.
struct Set {
    name: String,
    sources: Vec<Result<Source, FixtureError>>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Status, Box<dyn Error>> {
    static INTERRUPTED: AtomicBool = AtomicBool::new(false);
    ctrlc::set_handler(|| {
        // ORDER: Relaxed: nothing else is passed on with this flag.
        if INTERRUPTED.swap(true, Ordering::Relaxed) {
            // Whoever asks twice does not want to wait for the block to end.
            std::process::exit(Status::Interrupted as i32);
        }
    })?;
    let mut json = JsonLines::to(arguments.json.as_deref())
        .map_err(|error| format!("--json {}: {error}", display(arguments.json.as_deref())))?;
    let failures = if arguments.fail_fast { OnFailure::Stop } else { OnFailure::GoOn };
    let plan = Plan { rounds: arguments.rounds.get(), failures };
    let mut session = Session {
        arguments,
        progress: ProgressBar::hidden(),
        replay: Replay::new(plan, &INTERRUPTED, &mut json),
        cases_left: arguments.limit.unwrap_or(usize::MAX),
        rows: Vec::new(),
        unusable: 0,
    };
    session.run();
    session.progress.finish_and_clear();
    let Session { replay, rows, unusable, .. } = session;
    let (failures, json_error) = (replay.failures, replay.json_error);

    let mut total = Counts::default();
    rows.iter().for_each(|(_, counts)| total.add(counts));
    let to_standard_output = arguments.json.as_deref() == Some(Path::new("-"));
    json_error
        .map_or_else(|| json.finish(&total), Err)
        .map_err(|error| format!("--json {}: {error}", display(arguments.json.as_deref())))?;
    let mut output: Box<dyn Write> =
        if to_standard_output { Box::new(io::stderr()) } else { Box::new(io::stdout()) };
    write_table(&mut output, &rows)?;
    for failure in &failures {
        writeln!(output, "{failure}")?;
    }

    // ORDER: Relaxed: the handler passes nothing on with this flag.
    let is_interrupted = INTERRUPTED.load(Ordering::Relaxed);
    Ok(match (failures.is_empty(), is_interrupted, unusable) {
        (false, _, _) => Status::Failed,
        (true, true, _) => Status::Interrupted,
        (true, false, 0) => Status::Verified,
        (true, false, _) => Status::Unusable,
    })
}

fn display(path: Option<&Path>) -> String {
    path.unwrap_or(Path::new("-")).display().to_string()
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
            self.progress = progress_bar(samples().len());
            let _ = self.run_samples();
            return;
        }
        let sets: Vec<_> = self.arguments.paths.iter().flat_map(|path| sets(path)).collect();
        self.progress = progress_bar(sets.iter().map(|set| set.sources.len()).sum());
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
        let fixture = match fixture {
            Ok(fixture) => fixture,
            Err(error) => {
                self.unusable += 1;
                self.progress.suspend(|| eprintln!("unusable: {error}"));
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
            self.replay.counts.cases += 1;
            check(case, &mut self.replay)?;
        }
        ControlFlow::Continue(())
    }
}

/// The sets under a path: one for each folder in it, or the path itself if it holds fixtures.
fn sets(path: &Path) -> Vec<Set> {
    let mut sets: Vec<Set> = Vec::new();
    for source in Sources::new([path]) {
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

fn progress_bar(sources: usize) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} fixtures, {elapsed}, {eta} left")
        .expect("the template is a valid one");
    let target = ProgressDrawTarget::stderr();
    ProgressBar::with_draw_target(Some(sources as u64), target).with_style(style)
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
