//! `blockloom list`: produces the access lists (EIP-7928) of blocks.

use std::{
    error::Error,
    io::{self, Write},
    ops::ControlFlow,
    path::PathBuf,
};

use alloy_eips::eip7928::{BlockAccessList, compute_block_access_list_hash, total_bal_items};
use blockloom_engine::{Block, BlockError, CommittedStep, Config, Engine, Lists, Outcome};
use blockloom_fixtures::{
    BlockReport, Executor, Fixture, FixtureError, Harness, Sources, check, read, samples,
};
use blockloom_state::MemoryStore;

use crate::{
    ExitStatus,
    failure::Failure,
    harness::{Threads, machine_threads, threads},
    interrupt::{self, is_interrupted, print_message},
    list_files::{BlockName, ListFolder},
    list_source::without_list,
    output::{check_outside_inputs, is_reportable},
};

/// Execute blocks, and write their access lists (EIP-7928).
///
/// A block of any fork has a list if it can be executed, even if it fails verification afterwards. Compare
/// lists with `blockloom diff`. Blocks are verified as by `replay`.
///
/// Exit status: 1 if a block failed; otherwise 130 if it was interrupted; otherwise 2 if some input was
/// unusable, a list could not be written, or nothing was executed; otherwise 0.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Files and folders with fixtures, as for `replay`. Default: the sample blocks that are part of the
    /// program.
    paths: Vec<PathBuf>,
    /// Write each list to two files in DIR: RLP (.rlp) and JSON (.json). Without this option, print a line for
    /// each block with the hash and the size of its list.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// The number of threads that execute a block; 0 selects the sequential executor. Default: the number of
    /// cores.
    #[arg(long, value_name = "N", value_parser = threads, allow_negative_numbers = true)]
    threads: Option<Threads>,
    /// Only cases with TEXT in path or name.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitStatus, Box<dyn Error>> {
    interrupt::listen()?;
    if let Some(path) = &arguments.out {
        check_outside_inputs("--out", path, &arguments.paths)?;
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
        counts: ListCounts::default(),
        error: None,
    };
    lister.write_header()?;
    let only = arguments.only.as_deref();
    if arguments.paths.is_empty() {
        lister.list_all(samples(), only);
    } else {
        let sources = Sources::new(&arguments.paths);
        lister.list_all(sources.map(|source| source.and_then(|source| read(&source))), only);
    }
    lister.finish()
}

/// Executes blocks and writes their lists.
struct Lister {
    engine: Engine,
    /// The folder that lists are written to, if any.
    folder: Option<ListFolder>,
    output: io::Stdout,
    fixture: String,
    case: String,
    /// The name and the list of the last block.
    latest: Option<(BlockName, BlockAccessList)>,
    counts: ListCounts,
    /// Why writing failed.
    error: Option<String>,
}

/// The counts of blocks and inputs.
#[derive(Debug, Default)]
struct ListCounts {
    blocks: usize,
    lists: usize,
    failed: usize,
    unusable: usize,
}

impl Lister {
    fn list_all(
        &mut self,
        mut fixtures: impl Iterator<Item = Result<Fixture, FixtureError>>,
        only: Option<&str>,
    ) {
        // A break has been reported already.
        let _ = fixtures.try_for_each(|fixture| match fixture {
            Ok(fixture) => self.list_fixture(&fixture, only),
            Err(error) => {
                self.counts.unusable += 1;
                print_message(&format!("unusable: {error}"));
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

    /// Writes the list of a block to files, or a line about it.
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
            .map_err(|error| if is_reportable(&error) { error.to_string() } else { String::new() })
    }

    fn finish(mut self) -> Result<ExitStatus, Box<dyn Error>> {
        let ListCounts { blocks, lists, failed, unusable } = self.counts;
        if let Some(folder) = &self.folder {
            let place = folder.path().display();
            writeln!(self.output, "wrote {lists} lists of {blocks} blocks to {place}")?;
        }
        let error = self.error.filter(|error| !error.is_empty());
        if let Some(error) = &error {
            print_message(error);
        }
        Ok(if failed > 0 {
            ExitStatus::Failed
        } else if is_interrupted() {
            ExitStatus::Interrupted
        } else if unusable > 0 || blocks == 0 || error.is_some() {
            ExitStatus::Unusable
        } else {
            ExitStatus::Verified
        })
    }
}

impl Executor for Lister {
    fn execute(
        &mut self,
        base: &MemoryStore,
        block: &Block,
        on_step: Option<&mut dyn FnMut(CommittedStep<'_>)>,
    ) -> Result<Outcome, BlockError> {
        self.latest = None;
        // A wrong list in the block would end the execution early.
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
            print_message(&failure.to_string());
        }
        if let Err(error) = written {
            self.error = Some(error);
            return ControlFlow::Break(());
        }
        if is_interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn left_out(&mut self, case: &str, reason: &str) {
        print_message(&format!("left out: {case}: {reason}"));
    }
}
