//! `blockloom witness`: makes the witnesses of blocks, and proves each one by executing its block with nothing else.

mod folder;
mod proof;

use std::{
    error::Error,
    fmt,
    ops::{ControlFlow, RangeInclusive},
    path::{Path, PathBuf},
    str::FromStr,
};

use blockloom_engine::{ChainSpec, Engine, SignedBlock};
use blockloom_fixtures::{
    Arrival, Chain, DiskChain, DiskChainError, LongChain, Outline, Source, Sources, WireBlock,
};
use blockloom_state::{DiskConfig, DiskStore};
use indicatif::ProgressBar;

use crate::{
    ExitStatus,
    chain::opening::{create, outline_of_stored, spec},
    executor_threads::{Threads, machine_threads, threads},
    input::input_path,
    interrupt::{self, is_interrupted},
    output::print_line,
    progress,
    quantity::counted,
    terminal::print_message,
};
use folder::WitnessFolder;

/// Make the witnesses of blocks: everything that a block's execution and the state root after it need, and nothing
/// else, as nodes answer `debug_executionWitness`.
///
/// Each block gets a folder in DIR that is named after its number, with `block.json`, `execution_witness.json` and
/// what names its chain; `blockloom replay DIR` executes it. The command itself executes each block from that folder
/// as well, and refuses a witness that does not lead to the state root of the block.
///
/// Exit status: 1 if a block failed; otherwise 130 if it was interrupted; otherwise 2 if some input or argument was
/// unusable, or no block was chosen; otherwise 0.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The file with the blocks: a blockchain test, or encoded blocks with their genesis beside them; or a folder with
    /// one such file. The state before the first block is that of the genesis.
    #[arg(value_name = "PATH", value_parser = input_path())]
    path: PathBuf,
    /// The genesis of encoded blocks, as geth reads it. Default: the file `genesis.json` beside them.
    #[arg(long, value_name = "FILE", value_parser = input_path())]
    genesis: Option<PathBuf>,
    /// The folder for the witnesses. It may exist; the folder of a block in it must not.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Only the block with this number, or the blocks A to B: `7`, `7..9`, `7..`. Default: all blocks.
    #[arg(long, value_name = "A..B", default_value = "0..", value_parser = BlockRange::from_str)]
    blocks: BlockRange,
    /// The case called NAME. Default: the first case of the file.
    #[arg(long, value_name = "NAME")]
    case: Option<String>,
    /// Takes the state before the block from the chain in this folder, as `blockloom chain` keeps it: the witness is
    /// that of the block after its last one. The chain is not changed.
    #[arg(long, value_name = "DIR", value_parser = input_path())]
    state: Option<PathBuf>,
    /// The number of threads that execute a block to prove its witness; 0 selects the sequential executor. Default:
    /// the number of cores.
    #[arg(long, value_name = "N", value_parser = threads, allow_negative_numbers = true)]
    threads: Option<Threads>,
}

/// The numbers of the blocks that get a witness.
#[derive(Clone, Debug, PartialEq, Eq)]
struct BlockRange(RangeInclusive<u64>);

impl FromStr for BlockRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse::<u64>().map_err(|_| format!("{text:?} is no block number"));
        let (first, last) = match text.split_once("..") {
            None => (number(text)?, number(text)?),
            Some((first, "")) => (number(first)?, u64::MAX),
            Some((first, last)) => (number(first)?, number(last)?),
        };
        if first > last {
            Err("the first block comes after the last".to_owned())
        } else {
            Ok(Self(first..=last))
        }
    }
}

impl fmt::Display for BlockRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = (self.0.start(), self.0.end());
        if *last == u64::MAX { write!(f, "{first}..") } else { write!(f, "{first}..{last}") }
    }
}

/// A block that was refused, or whose witness does not prove it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct BlockFailure(String);

pub(crate) fn run(arguments: &Arguments) -> Result<ExitStatus, Box<dyn Error>> {
    interrupt::listen()?;
    make_all(arguments).or_else(|error| match error.downcast::<BlockFailure>() {
        Ok(failure) => {
            print_message(&failure.to_string());
            Ok(ExitStatus::Failed)
        }
        Err(error) => Err(error),
    })
}

fn make_all(arguments: &Arguments) -> Result<ExitStatus, Box<dyn Error>> {
    let file = LongChain::new(only_file(&arguments.path)?, arguments.case.clone())
        .with_genesis(arguments.genesis.clone());
    let scratch = tempfile::tempdir()?;
    let Some((chain, outline)) = open(arguments, &file, scratch.path())? else {
        return Ok(ExitStatus::Interrupted);
    };
    let spec = spec(&file, &outline)?;
    let bar = progress::bar(outline.blocks, "blocks");
    let engine = Engine::new(arguments.threads.unwrap_or_else(machine_threads).config());
    let mut making = Making { arguments, spec, chain, engine, bar, made: 0 };
    let mut failure = None;
    let flow = file.blocks(|block| match making.take(&block) {
        Ok(flow) => flow,
        Err(error) => {
            failure = Some(error);
            ControlFlow::Break(())
        }
    });
    making.bar.finish_and_clear();
    if let Some(error) = failure {
        return Err(error);
    }
    // Whether it ends after the last chosen block or after the last block of the file makes no difference.
    let (ControlFlow::Continue(()) | ControlFlow::Break(())) = flow?;
    making.end()
}

/// The only file of blocks at a path.
fn only_file(path: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let mut files = Vec::new();
    for source in Sources::new([path]) {
        match source? {
            Source::File(file) => files.push(file),
            Source::Folder(folder) => {
                let message = "this folder has a single block: the whole state before it is not known";
                return Err(format!("{}: {message}", folder.display()).into());
            }
        }
    }
    match <[PathBuf; 1]>::try_from(files) {
        Ok([file]) => Ok(file),
        Err(files) => Err(format!("{}: {} files have blocks: name one", path.display(), files.len()).into()),
    }
}

/// Opens the chain with the state before the first block: the store that is named, or a new one of the genesis of the
/// file. `None` after an interrupt.
fn open(
    arguments: &Arguments,
    file: &LongChain,
    scratch: &Path,
) -> Result<Option<(DiskChain, Outline)>, Box<dyn Error>> {
    let Some(folder) = &arguments.state else {
        return Ok(create(file, scratch, DiskConfig::default())?);
    };
    let store = DiskStore::open(folder, DiskConfig::default())?;
    let Some((outline, spec)) = outline_of_stored(file, &store, folder)? else { return Ok(None) };
    Ok(Some((DiskChain::open(store, spec)?, outline)))
}

/// The making of witnesses, block after block.
struct Making<'a> {
    arguments: &'a Arguments,
    spec: ChainSpec,
    /// The chain up to the last block.
    chain: DiskChain,
    engine: Engine,
    bar: ProgressBar,
    /// The number of witnesses so far.
    made: u64,
}

impl Making<'_> {
    /// Makes the witness of a block, if it is chosen, and goes on to the state after it. Breaks after the last chosen
    /// block.
    fn take(&mut self, block: &WireBlock) -> Result<ControlFlow<()>, Box<dyn Error>> {
        self.bar.inc(1);
        if is_interrupted() {
            return Ok(ControlFlow::Break(()));
        }
        // A block that must be refused.
        if block.expect.is_some() {
            return Ok(ControlFlow::Continue(()));
        }
        let signed =
            Chain::decode(&block.rlp).map_err(|error| self.failure(&block.position, &error.into()))?;
        let (number, head) = (signed.header.number, self.chain.store().head().number);
        let is_chosen = self.arguments.blocks.0.contains(&number);
        if number > *self.arguments.blocks.0.end() || (self.arguments.state.is_some() && number > head + 1) {
            return Ok(ControlFlow::Break(()));
        }
        if is_chosen && number > head {
            self.make(&signed)?;
        }
        if self.arguments.state.is_some() {
            return Ok(ControlFlow::Continue(()));
        }
        match self.chain.import(signed, block.access_list.clone(), &self.engine) {
            Ok(Arrival::Added(_) | Arrival::Known) => Ok(ControlFlow::Continue(())),
            Err(error) => Err(self.failure(&block.position, &error)),
        }
    }

    fn make(&mut self, block: &SignedBlock) -> Result<(), Box<dyn Error>> {
        let number = block.header.number;
        let witness = self.chain.witness(block.clone()).map_err(|error| self.failure(&number, &error))?;
        let folder = WitnessFolder::begin(&self.arguments.out, number)?;
        folder.write(&self.spec, block, &witness)?;
        proof::prove(folder.path(), &self.engine)?;
        folder.keep()?;
        self.made += 1;
        let [nodes, codes, headers] =
            [(witness.state.len(), "node"), (witness.codes.len(), "code"), (witness.headers.len(), "header")]
                .map(|(number, name)| counted(number, name));
        let line = format!("block {number}: {nodes}, {codes}, {headers}: executed from them alone");
        Ok(self.bar.suspend(|| print_line(&line))?)
    }

    fn failure(&self, place: &impl fmt::Display, error: &DiskChainError) -> Box<dyn Error> {
        let message = format!("{}: {place}: {error}", self.arguments.path.display());
        match error {
            DiskChainError::Block(_) => BlockFailure(message).into(),
            _ => message.into(),
        }
    }

    fn end(self) -> Result<ExitStatus, Box<dyn Error>> {
        let Arguments { blocks, state, path, .. } = self.arguments;
        if is_interrupted() {
            return Ok(ExitStatus::Interrupted);
        }
        if self.made > 0 {
            return Ok(ExitStatus::Verified);
        }
        let chosen = match state {
            Some(_) => {
                format!("the block after {}, among the blocks {blocks}", self.chain.store().head().number)
            }
            None => format!("a block with a number in {blocks}"),
        };
        Err(format!("{}: it does not have {chosen}", path.display()).into())
    }
}
