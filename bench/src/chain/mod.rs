//! `blockloom chain`: keeps a chain in a folder; imports, exports and undoes blocks, and verifies the state.

mod export;
pub(crate) mod import;
pub(crate) mod opening;
mod pictures;
mod throughput;

use std::{error::Error, io, num::NonZeroU64, path::PathBuf};

use blockloom_engine::Config;
use blockloom_state::{BlockMetadata, CacheStatistics, DiskConfig, DiskError, DiskStore};

use crate::{
    ExitStatus,
    executor_threads::{Threads, machine_threads, threads},
    input::input_path,
    interrupt::{self, is_interrupted},
    output::print_line,
    progress,
    quantity::{counted, quantity},
    terminal::print_message,
};
use import::{Import, ImportFailure};

/// Keep a chain in a folder: execute and verify consecutive blocks, and store the state after them.
///
/// The order is: undo blocks, import blocks, verify the state, export blocks. The last line has the number, the hash and the
/// state root of the last block. An import that was interrupted or killed continues when it is started again.
///
/// Exit status: 1 if a block failed or the state is damaged; otherwise 130 if it was interrupted; otherwise 2
/// if some input or argument was unusable; otherwise 0.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The folder of the chain. The first import creates it.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Undo the last N blocks.
    #[arg(long, value_name = "N")]
    revert: Option<u64>,
    /// Import the blocks of blockchain tests, or encoded blocks as geth's `export` writes them (plain or in gzip), from
    /// files or folders. Each file continues the chain of the files before it. Blocks that are stored already are
    /// skipped.
    #[arg(long, value_name = "PATH", num_args = 1.., value_parser = input_path())]
    import: Vec<PathBuf>,
    /// Import the case called NAME. Default: the first case of each file.
    #[arg(long, value_name = "NAME", requires = "import")]
    case: Option<String>,
    /// The genesis of encoded blocks, as geth reads it. Default: the file `genesis.json` beside them.
    #[arg(long, value_name = "FILE", requires = "import", value_parser = input_path())]
    genesis: Option<PathBuf>,
    /// Write the kept blocks to FILE, one after the other as geth's `export` does; in gzip if its name ends in `.gz`. The
    /// genesis is not among them. An existing file is not overwritten.
    #[arg(long, value_name = "FILE")]
    export: Option<PathBuf>,
    /// Compute the state root from all accounts and slots, and compare it and every trie node with the store.
    #[arg(long)]
    verify: bool,
    /// The number of threads that execute a block; 0 selects the sequential executor. Default: the number of
    /// cores.
    #[arg(long, value_name = "N", value_parser = threads, allow_negative_numbers = true)]
    threads: Option<Threads>,
    /// The size of the cache for the state, in bytes, such as 64M or 1G.
    #[arg(long, visible_alias = "cache-bytes", value_name = "SIZE", value_parser = size)]
    #[arg(default_value_t = DiskConfig::CACHE_BYTES)]
    cache: u64,
    /// The number of blocks that are written to disk together. A crash loses the blocks that are not written
    /// yet; the next import executes them again.
    #[arg(long, value_name = "N", default_value = "16")]
    blocks_per_write: NonZeroU64,
    /// The number of blocks that can be undone.
    #[arg(long, value_name = "N", default_value = "256")]
    undo: u64,
    /// The number of the last blocks that are kept for `--export`. Default: all.
    #[arg(long, value_name = "N")]
    keep_blocks: Option<u64>,
    /// Write what each thread did during the import to FILE, as a trace in Chrome's format, which Perfetto and speedscope
    /// open; in gzip if its name ends in `.gz`. Of a long import it has the first part.
    #[arg(long, value_name = "FILE", requires = "import")]
    trace: Option<PathBuf>,
    /// Write a page with a picture of that to FILE, for a browser. It needs no network.
    #[arg(long, value_name = "FILE", requires = "import")]
    html: Option<PathBuf>,
}

fn size(text: &str) -> Result<u64, String> {
    quantity(text).ok_or_else(|| "expected a number of bytes such as 64M or 1G".to_owned())
}

impl Arguments {
    fn config(&self) -> DiskConfig {
        DiskConfig {
            cache_bytes: self.cache,
            undo_blocks: self.undo,
            kept_blocks: self.keep_blocks,
            blocks_per_write: self.blocks_per_write,
        }
    }

    fn engine_config(&self) -> Config {
        self.threads.unwrap_or_else(machine_threads).config()
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitStatus, Box<dyn Error>> {
    interrupt::listen()?;
    let mut store = open(arguments)?;
    if let (Some(blocks), Some(store)) = (arguments.revert, &mut store) {
        revert(store, blocks)?;
    }
    let mut status = ExitStatus::Verified;
    if !arguments.import.is_empty() {
        (store, status) = import(arguments, store)?;
    }
    let Some(store) = store else { return Ok(status) };
    if arguments.verify && status == ExitStatus::Verified {
        status = verify(&store)?;
    }
    if let (Some(path), ExitStatus::Verified) = (&arguments.export, status) {
        status = export::export(&store, path)?;
    }
    print_head(&store.head())?;
    Ok(status)
}

/// Opens the store. `None` if there is no chain yet and the import will create it.
fn open(arguments: &Arguments) -> Result<Option<DiskStore>, DiskError> {
    let may_create = arguments.revert.is_none() && !arguments.import.is_empty();
    match DiskStore::open(&arguments.folder, arguments.config()) {
        Ok(store) => Ok(Some(store)),
        Err(DiskError::NotFound { .. } | DiskError::Incomplete { .. }) if may_create => Ok(None),
        Err(error) => Err(error),
    }
}

fn revert(store: &mut DiskStore, blocks: u64) -> Result<(), Box<dyn Error>> {
    let head = store.head().number;
    let Some(number) = head.checked_sub(blocks) else {
        return Err(format!("cannot undo {}: the last block is {head}", counted(blocks, "block")).into());
    };
    store.revert_to(number)?;
    Ok(print_line(&format!("undid {}", counted(blocks, "block")))?)
}

/// Imports the files, and reports the result even if the import fails.
fn import(
    arguments: &Arguments,
    store: Option<DiskStore>,
) -> Result<(Option<DiskStore>, ExitStatus), Box<dyn Error>> {
    let mut import = Import::new(arguments, store)?;
    let result = import.run();
    let Import { store, throughput, pictures, .. } = import;
    let summary = throughput.to_string();
    print_line(&summary)?;
    if let Some(store) = &store {
        print_cache(&store.cache())?;
    }
    let status = match result {
        Ok(status) => status,
        Err(failure) => {
            print_message(&failure.to_string());
            failure.status()
        }
    };
    if let Some(pictures) = pictures {
        pictures.write(&Vec::from_iter(summary.lines().map(str::to_owned)))?;
    }
    Ok((store, status))
}

/// Verifies the state. An interrupt ends that at once: it changes nothing.
fn verify(store: &DiskStore) -> Result<ExitStatus, Box<dyn Error>> {
    if is_interrupted() {
        return Ok(ExitStatus::Interrupted);
    }
    let bar = progress::clock("verifying the state");
    let result = interrupt::ending_at_once(|| store.verify());
    bar.finish_and_clear();
    match result {
        Ok(verified) => {
            let blockloom_state::Verified { accounts, slots, nodes, codes } = verified;
            let [accounts, slots] =
                [(accounts, "account"), (slots, "slot")].map(|(number, name)| counted(number, name));
            let [nodes, codes] =
                [(nodes, "trie node"), (codes, "code")].map(|(number, name)| counted(number, name));
            print_line(&format!("verified: {accounts}, {slots}, {nodes}, {codes}"))?;
            Ok(ExitStatus::Verified)
        }
        Err(error) => {
            print_message(&ImportFailure::from(error).to_string());
            Ok(ExitStatus::Failed)
        }
    }
}

fn print_cache(cache: &CacheStatistics) -> io::Result<()> {
    let (reads, rate) = (cache.hits + cache.misses, 100.0 * cache.hit_rate());
    let [bytes, capacity] = [cache.bytes, cache.capacity].map(|bytes| bytes as f64 / 1e6);
    let reads = counted(reads, "read");
    print_line(&format!("cache: {rate:.1} % of {reads} hit, {bytes:.0} of {capacity:.0} MB used"))
}

fn print_head(BlockMetadata { number, hash, root, .. }: &BlockMetadata) -> io::Result<()> {
    print_line(&format!("block {number}: hash {hash}, state root {root}"))
}
