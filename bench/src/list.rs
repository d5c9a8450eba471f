//! `blockloom list`: produces the access lists (EIP-7928) of blocks.

use std::{
    error::Error,
    io::{self, IsTerminal, Write},
    ops::ControlFlow,
    path::PathBuf,
};

use alloy_eips::eip7928::{BlockAccessList, compute_block_access_list_hash, total_bal_items};
use blockloom_engine::{Block, BlockError, CommittedStep, Config, Engine, Lists, Outcome};
use blockloom_fixtures::{
    BlockReport, CaseBase, Executor, Fixture, FixtureError, Harness, Sources, check, samples,
};

use crate::{
    ExitStatus,
    chain_option::{ChainOption, print_contradictions},
    executor_threads::{Threads, machine_threads, threads},
    failure::{Failure, Verdict},
    input::{input_path, print_skipped},
    interrupt::{self, is_interrupted},
    list_files::{BlockName, ListFolder},
    list_source::without_list,
    output::{check_outside_inputs, is_reportable, print_line},
    quantity::counted,
    table::{WIDTH, end_of, start_of},
    terminal::{is_quiet, print_message, print_remark},
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
    #[arg(value_parser = input_path())]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    chain: ChainOption,
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
        is_terminal: io::stdout().is_terminal(),
        fixture: String::new(),
        case: String::new(),
        latest: None,
        counts: ListCounts::default(),
        error: None,
    };
    let only = arguments.only.as_deref();
    if arguments.paths.is_empty() {
        lister.list_all(samples(), only);
    } else {
        let mut sources = Sources::new(&arguments.paths);
        lister.list_all(sources.by_ref().map(|source| arguments.chain.read(source)), only);
        print_skipped(sources.skipped());
    }
    lister.finish()
}

/// Executes blocks and writes their lists.
struct Lister {
    engine: Engine,
    /// The folder that lists are written to, if any.
    folder: Option<ListFolder>,
    /// Whether lines are printed to a terminal.
    is_terminal: bool,
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
            _ if is_interrupted() => ControlFlow::Break(()),
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

    /// Prints the names of the columns.
    fn print_header(&self) -> Result<(), String> {
        let sizes = ["accounts", "slots", "items"].map(str::to_owned);
        let line =
            ListLine { block: "block".to_owned(), hash: "hash of the list".to_owned(), sizes, place: "case" };
        self.print(&line)
    }

    /// Prints a line of the table. The message of an error is empty if the reader has read enough.
    fn print(&self, line: &ListLine<'_>) -> Result<(), String> {
        if is_quiet() {
            return Ok(());
        }
        writeln!(io::stdout(), "{}", line.text(self.is_terminal))
            .map_err(|error| if is_reportable(&error) { error.to_string() } else { String::new() })
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
        let place = &format!("{}: {}", self.fixture, report.case);
        let sizes = [accounts as u64, slots, items].map(|size| size.to_string());
        let line = ListLine { block: report.number.to_string(), hash: hash.to_string(), sizes, place };
        if self.counts.lists == 1 {
            self.print_header()?;
        }
        self.print(&line)
    }

    fn finish(self) -> Result<ExitStatus, Box<dyn Error>> {
        let ListCounts { blocks, lists, failed, unusable } = self.counts;
        if let Some(folder) = &self.folder {
            let place = folder.path().display();
            let (lists, blocks) = (counted(lists, "list"), counted(blocks, "block"));
            print_line(&format!("wrote {lists} of {blocks} to {place}"))?;
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

/// A line of the table: a block and its list.
struct ListLine<'a> {
    block: String,
    hash: String,
    /// The numbers of accounts, slots and items.
    sizes: [String; 3],
    place: &'a str,
}

impl ListLine<'_> {
    /// The line; shortened so that it fits, if it is for a terminal.
    fn text(&self, is_terminal: bool) -> String {
        let Self { block, hash, sizes: [accounts, slots, items], place } = self;
        let hash = if is_terminal { start_of(hash, 11) } else { format!("{hash:66}") };
        let line = format!("{block:>8}  {hash}  {accounts:>8}  {slots:>6}  {items:>6}  ");
        let width = WIDTH.saturating_sub(line.chars().count());
        if is_terminal { line + &end_of(place, width) } else { line + place }
    }
}

impl Executor for Lister {
    fn execute(
        &mut self,
        base: CaseBase<'_>,
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
        print_contradictions(&self.fixture, &report.case, &report.notes);
        let written = self.latest.take().map_or(Ok(()), |(name, list)| self.write(&report, name, &list));
        if let Err(error) = &report.result {
            let verdict = Verdict::of(error);
            match verdict {
                Verdict::Failed => self.counts.failed += 1,
                Verdict::Unknown => self.counts.unusable += 1,
            }
            let (fixture, error) = (self.fixture.clone(), error.to_string());
            let failure = Failure { verdict, fixture, case: report.case, block: report.number, error };
            print_message(&failure.to_string());
        }
        if let Err(error) = written {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_fits_a_terminal_and_is_whole_elsewhere() {
        let hash = format!("0x{}", "ab".repeat(32));
        let place = "folder/".repeat(30) + "the-end";
        let sizes = ["100", "20", "300"].map(str::to_owned);
        let line = ListLine { block: "23879620".to_owned(), hash: hash.clone(), sizes, place: &place };
        let short = line.text(true);
        assert_eq!(short.chars().count(), WIDTH, "{short}");
        assert!(short.contains("  0xabababab…  ") && short.ends_with("the-end"), "{short}");
        let whole = line.text(false);
        assert!(whole.contains(&hash) && whole.ends_with(&place), "{whole}");
    }
}
