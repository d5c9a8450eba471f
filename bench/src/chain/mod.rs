//! `blockloom chain`: a chain in a folder, which grows, goes back, and is verified.

mod import;
mod pace;

use std::{
    error::Error,
    io::{self, Write},
    num::NonZeroU64,
    path::PathBuf,
};

use blockloom_engine::Engine;
use blockloom_state::{CacheStatistics, DiskConfig, DiskError, DiskStore, Mark};

use crate::{
    Status,
    harness::{Threads, machine_threads, threads},
    interrupt::{self, say},
    quantity::quantity,
};
use import::{Import, ImportFailure};

/// Keep a chain in a folder: execute and verify consecutive blocks, and keep the state after them.
///
/// What is asked for is done in this order: undo blocks, import blocks, verify the state. In the end stand the
/// last block's number, hash and state root. An import that was interrupted, or killed, goes on where it
/// stopped when it is started again.
///
/// Exit status: 1 if a block failed or the state is not as it should be; otherwise 130 if it was interrupted;
/// otherwise 2 if some input or argument was unusable; otherwise 0.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The folder of the chain. The first import makes it.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Undo the last N blocks.
    #[arg(long, value_name = "N")]
    revert: Option<u64>,
    /// Import the blocks of blockchain tests, in files or folders; later ones go on where the ones before them
    /// end. Blocks that are there already are passed over.
    #[arg(long, value_name = "PATH", num_args = 1..)]
    import: Vec<PathBuf>,
    /// Import the case called NAME. By default the first one of each file.
    #[arg(long, value_name = "NAME", requires = "import")]
    case: Option<String>,
    /// Compute the state root from all accounts and slots, and compare.
    #[arg(long)]
    verify: bool,
    /// How many threads execute a block; 0 is the sequential executor. By default as many as the
    /// machine runs at once.
    #[arg(long, value_name = "N", value_parser = threads, allow_negative_numbers = true)]
    threads: Option<Threads>,
    /// How much of the state is kept in memory, in bytes, as 64M or 1G.
    #[arg(long, visible_alias = "cache-bytes", value_name = "SIZE", value_parser = size)]
    #[arg(default_value_t = DiskConfig::CACHE_BYTES)]
    cache: u64,
    /// How many blocks are written to disk at once. A crash loses those that are not written yet, and the next
    /// import repeats them.
    #[arg(long, value_name = "N", default_value = "16")]
    blocks_per_write: NonZeroU64,
    /// How many blocks can be undone.
    #[arg(long, value_name = "N", default_value = "256")]
    undo: u64,
}

fn size(text: &str) -> Result<u64, String> {
    quantity(text).ok_or_else(|| "a number of bytes as 64M or 1G is wanted".to_owned())
}

impl Arguments {
    fn config(&self) -> DiskConfig {
        DiskConfig {
            cache_bytes: self.cache,
            undo_blocks: self.undo,
            blocks_per_write: self.blocks_per_write,
        }
    }

    fn engine(&self) -> Engine {
        Engine::new(self.threads.unwrap_or_else(machine_threads).config())
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<Status, Box<dyn Error>> {
    interrupt::listen()?;
    let mut store = open(arguments)?;
    if let (Some(blocks), Some(store)) = (arguments.revert, &mut store) {
        revert(store, blocks)?;
    }
    let mut status = Status::Verified;
    if !arguments.import.is_empty() {
        (store, status) = import(arguments, store)?;
    }
    let Some(store) = store else { return Ok(status) };
    if arguments.verify && status == Status::Verified {
        status = verify(&store)?;
    }
    tell_head(store.head())?;
    Ok(status)
}

/// Opens the store; nothing is there yet if a chain is still to be made.
fn open(arguments: &Arguments) -> Result<Option<DiskStore>, DiskError> {
    let is_made = arguments.revert.is_none() && !arguments.import.is_empty();
    match DiskStore::open(&arguments.folder, arguments.config()) {
        Ok(store) => Ok(Some(store)),
        Err(DiskError::Absent { .. } | DiskError::Unfinished { .. }) if is_made => Ok(None),
        Err(error) => Err(error),
    }
}

fn revert(store: &mut DiskStore, blocks: u64) -> Result<(), Box<dyn Error>> {
    let head = store.head().number;
    let Some(number) = head.checked_sub(blocks) else {
        return Err(format!("block {head} is the last one: {blocks} blocks cannot be undone").into());
    };
    store.revert_to(number)?;
    Ok(writeln!(io::stdout(), "undid {blocks} blocks")?)
}

/// Imports what is to be imported, and says what came of it whatever that is.
fn import(
    arguments: &Arguments,
    store: Option<DiskStore>,
) -> Result<(Option<DiskStore>, Status), Box<dyn Error>> {
    let mut import =
        Import::new(&arguments.folder, arguments.config(), arguments.case.clone(), arguments.engine(), store);
    let result = import.run(&arguments.import);
    let Import { store, pace, .. } = import;
    write!(io::stdout(), "{pace}")?;
    if let Some(store) = &store {
        tell_cache(&store.cache())?;
    }
    let status = match result {
        Ok(status) => status,
        Err(failure) => {
            say(&failure.to_string());
            failure.status()
        }
    };
    Ok((store, status))
}

fn verify(store: &DiskStore) -> Result<Status, Box<dyn Error>> {
    match store.verify() {
        Ok(verified) => {
            let blockloom_state::Verified { accounts, slots, nodes, codes } = verified;
            let state = format!("{accounts} accounts, {slots} slots, {nodes} nodes of tries, {codes} codes");
            writeln!(io::stdout(), "verified: {state}")?;
            Ok(Status::Verified)
        }
        Err(error) => {
            say(&ImportFailure::from(error).to_string());
            Ok(Status::Failed)
        }
    }
}

fn tell_cache(cache: &CacheStatistics) -> io::Result<()> {
    let (asked, rate) = (cache.hits + cache.misses, 100.0 * cache.hit_rate());
    let [bytes, capacity] = [cache.bytes, cache.capacity].map(|bytes| bytes as f64 / 1e6);
    writeln!(io::stdout(), "cache: {rate:.1} % of {asked} reads hit, {bytes:.0} of {capacity:.0} MB are full")
}

fn tell_head(Mark { number, hash, root, .. }: &Mark) -> io::Result<()> {
    writeln!(io::stdout(), "block {number}: hash {hash}, state root {root}")
}
