//! `blockloom list`: the access lists (EIP-7928) of blocks, as executing them yields them.

use std::{
    error::Error,
    io::{self, Write},
    ops::ControlFlow,
    path::PathBuf,
};

use alloy_eips::eip7928::{BlockAccessList, compute_block_access_list_hash, total_bal_items};
use blockloom_engine::{Block, BlockError, Config, Engine, Lists, Outcome, Step};
use blockloom_fixtures::{
    BlockReport, Executor, Fixture, FixtureError, Harness, Sources, check, read, samples,
};
use blockloom_state::MemoryStore;

use crate::{
    Status,
    given::without_list,
    harness::{Threads, machine_threads, threads},
    interrupt::{self, is_interrupted, say},
    list_files::{BlockName, ListFolder},
    report::{Failure, check_is_no_input, is_worth_a_word},
};

/// Execute blocks and write their access lists (EIP-7928).
///
/// Every block that can be executed has one, under whatever fork, even if it is then refused: where the
/// header commits to another one, the two can be told apart with `blockloom diff`. Blocks are verified
/// as `replay` does it.
///
/// Exit status: 1 if a block failed; otherwise 130 if it was interrupted; otherwise 2 if some input was
/// unusable, a list could not be written, or nothing was executed; otherwise 0.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Files and folders with fixtures, as `replay` takes them. Without any: the sample blocks that come
    /// with the program.
    paths: Vec<PathBuf>,
    /// Write each list to a file of its own in DIR, once as RLP (.rlp) and once as JSON (.json). Without it:
    /// a line for each block, with the hash of its list and how much is in it.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// How many threads execute a block; 0 is the sequential executor. By default as many as the machine
    /// runs at once.
    #[arg(long, value_name = "N", value_parser = threads, allow_negative_numbers = true)]
    threads: Option<Threads>,
    /// Only cases whose file, as it is given or found, or whose name contains TEXT.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Status, Box<dyn Error>> {
    interrupt::listen()?;
    if let Some(path) = &arguments.out {
        check_is_no_input("--out", path, &arguments.paths)?;
    }
    let folder = arguments.out.as_deref().map(ListFolder::make).transpose()?;
    let threads = arguments.threads.unwrap_or_else(machine_threads);
    let config = Config { lists: Lists::Always, ..threads.config() };
    let mut lister = Lister {
        engine: Engine::new(config),
        folder,
        output: io::stdout(),
        fixture: String::new(),
        case: String::new(),
        latest: None,
        counts: Counts::default(),
        error: None,
    };
    lister.write_header()?;
    let only = arguments.only.as_deref();
    if arguments.paths.is_empty() {
        lister.go_through(samples(), only);
    } else {
        let sources = Sources::new(&arguments.paths);
        lister.go_through(sources.map(|source| source.and_then(|source| read(&source))), only);
    }
    lister.finish()
}

/// Executes blocks and writes their lists.
struct Lister {
    engine: Engine,
    /// Where lists are written, if they are.
    folder: Option<ListFolder>,
    output: io::Stdout,
    fixture: String,
    case: String,
    /// What the block that was executed last accessed and changed.
    latest: Option<(BlockName, BlockAccessList)>,
    counts: Counts,
    /// Why nothing more can be written.
    error: Option<String>,
}

/// What came of the blocks.
#[derive(Debug, Default)]
struct Counts {
    blocks: usize,
    lists: usize,
    failed: usize,
    unusable: usize,
}

impl Lister {
    fn go_through(
        &mut self,
        mut fixtures: impl Iterator<Item = Result<Fixture, FixtureError>>,
        only: Option<&str>,
    ) {
        // Whoever breaks off has said why.
        let _ = fixtures.try_for_each(|fixture| match fixture {
            Ok(fixture) => self.list_fixture(&fixture, only),
            Err(error) => {
                self.counts.unusable += 1;
                say(&format!("unusable: {error}"));
                ControlFlow::Continue(())
            }
        });
    }

    fn list_fixture(&mut self, fixture: &Fixture, only: Option<&str>) -> ControlFlow<()> {
        self.fixture = fixture.path.display().to_string();
        for case in &fixture.cases {
            let (path, name) = (&self.fixture, case.name());
            if only.is_none_or(|text| path.contains(text) || name.contains(text)) {
                name.clone_into(&mut self.case);
                check(case, self)?;
            }
        }
        ControlFlow::Continue(())
    }

    fn write_header(&mut self) -> io::Result<()> {
        if self.folder.is_some() {
            return Ok(());
        }
        let hash = format!("{:66}", "hash of the list");
        writeln!(self.output, "   block  {hash}  accounts   slots   items  case")
    }

    /// Writes the list of a block, or a line about it.
    fn write(&mut self, report: &BlockReport, name: BlockName, list: &BlockAccessList) -> Result<(), String> {
        self.counts.lists += 1;
        if let Some(folder) = &mut self.folder {
            return folder.write(name, list);
        }
        let (hash, accounts, items) =
            (compute_block_access_list_hash(list), list.len(), total_bal_items(list));
        let slots = items - accounts as u64;
        let place = format!("{}: {}", self.fixture, report.case);
        writeln!(self.output, "{:>8}  {hash}  {accounts:>8}  {slots:>6}  {items:>6}  {place}", report.number)
            .map_err(|error| if is_worth_a_word(&error) { error.to_string() } else { String::new() })
    }

    fn finish(mut self) -> Result<Status, Box<dyn Error>> {
        let Counts { blocks, lists, failed, unusable } = self.counts;
        if let Some(folder) = &self.folder {
            let place = folder.path().display();
            writeln!(self.output, "{lists} lists of {blocks} blocks are in {place}")?;
        }
        let error = self.error.filter(|error| !error.is_empty());
        if let Some(error) = &error {
            say(error);
        }
        Ok(if failed > 0 {
            Status::Failed
        } else if is_interrupted() {
            Status::Interrupted
        } else if unusable > 0 || blocks == 0 || error.is_some() {
            Status::Unusable
        } else {
            Status::Verified
        })
    }
}

impl Executor for Lister {
    fn execute(
        &mut self,
        base: &MemoryStore,
        block: &Block,
        on_step: Option<&mut dyn FnMut(Step<'_>)>,
    ) -> Result<Outcome, BlockError> {
        self.latest = None;
        // A list that the block comes with must not keep it from being executed to its end.
        let block = without_list(block);
        let outcome = Executor::execute(&mut self.engine, base, &block, on_step)?;
        let list = outcome.access_list.clone();
        self.latest = list.map(|list| (BlockName::new(&self.fixture, &self.case, &block), list));
        Ok(outcome)
    }
}

impl Harness for Lister {
    fn report(&mut self, report: BlockReport) -> ControlFlow<()> {
        self.counts.blocks += 1;
        let written = self.latest.take().map_or(Ok(()), |(name, list)| self.write(&report, name, &list));
        if let Err(error) = &report.result {
            self.counts.failed += 1;
            let (fixture, error) = (self.fixture.clone(), error.to_string());
            let failure = Failure { fixture, case: report.case, block: report.number, error };
            say(&failure.to_string());
        }
        if let Err(error) = written {
            self.error = Some(error);
            return ControlFlow::Break(());
        }
        if is_interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn left_out(&mut self, case: &str, reason: &str) {
        say(&format!("left out: {case}: {reason}"));
    }
}
