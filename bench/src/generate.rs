//! `blockloom generate`: writes a chain of generated blocks, as a blockchain test or as encoded blocks.

mod chain_output;

use std::{
    error::Error,
    fs, io,
    num::NonZeroU64,
    path::{Path, PathBuf},
};

use alloy_consensus::Header;
use alloy_primitives::Bytes;
use blockloom_bench::workloads::{
    Kind,
    chain::{ChainRecipe, GeneratedChain, Ledger},
};
use blockloom_state::{DiskConfig, DiskError, DiskStore, Genesis, NewBlock};
use indicatif::ProgressBar;

use crate::{
    ExitStatus,
    interrupt::{self, is_interrupted},
    output::print_line,
    progress,
    quantity::{counted, quantity},
};
use chain_output::{ChainOutput, NewFiles, OutputError};

pub(crate) use chain_output::Format;

/// Write a chain of generated blocks, as a blockchain test in the standard JSON format, or as encoded blocks with a
/// `genesis.json`, as geth exports and reads them.
///
/// The blocks are valid Osaka blocks with signed transactions. `replay` verifies them, and so can every client
/// that reads blockchain tests or geth's files. The same arguments yield the same bytes on every machine. The file
/// is written block by block, so it can be larger than memory.
///
/// Exit status: 130 if it was interrupted, 2 if the chain could not be generated or written; otherwise 0.
/// If the status is not 0, there is no file.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The number of blocks after the genesis, such as 500, 20k or 1M.
    #[arg(long, value_name = "N", value_parser = blocks, allow_negative_numbers = true)]
    pub(crate) blocks: u64,
    /// The approximate gas of a block, such as 500k or 30M. Blocks use more while the base fee is low, and less
    /// while it is high.
    #[arg(long, value_name = "GAS", default_value = "30M", value_parser = gas, allow_negative_numbers = true)]
    pub(crate) gas: u64,
    /// The number of accounts in the genesis, contracts included, such as 1000, 50k or 10M. Any account can
    /// receive payments; at most 2000 of them send transactions.
    #[arg(long, value_name = "A", default_value = "10k", value_parser = accounts, allow_negative_numbers = true)]
    pub(crate) accounts: u64,
    /// The seed of the random numbers.
    #[arg(long, value_name = "S", default_value = "1")]
    pub(crate) seed: u64,
    /// The workload of the transactions: transfers, erc20, swaps or mixed.
    #[arg(long, value_name = "KIND", default_value = "mixed", value_parser = kind)]
    pub(crate) workload: Kind,
    /// What is written: a blockchain test (`chain.json`), or encoded blocks (`chain.rlp` and `genesis.json`).
    #[arg(long, value_enum, default_value = "json")]
    pub(crate) format: Format,
    /// The folder for the files. It is created if necessary; an existing file is not overwritten.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
}

pub(crate) fn blocks(text: &str) -> Result<u64, String> {
    let blocks = quantity(text).filter(|blocks| *blocks > 0);
    blocks.ok_or_else(|| "expected a number of blocks such as 500, 20k or 1M, at least 1".to_owned())
}

pub(crate) fn gas(text: &str) -> Result<u64, String> {
    let most = ChainRecipe::MOST_GAS;
    quantity(text)
        .filter(|gas| (1..=most).contains(gas))
        .ok_or_else(|| format!("expected an amount of gas such as 500k or 30M, at most {most}"))
}

/// The store of the state. No block is undone, and the state is not needed after a crash.
const LEDGER_CONFIG: DiskConfig = DiskConfig {
    cache_bytes: DiskConfig::CACHE_BYTES,
    undo_blocks: 0,
    kept_blocks: Some(0),
    blocks_per_write: NonZeroU64::new(64).expect("64 is not zero"),
};

/// More accounts than this are taken for a typing error.
const MOST_ACCOUNTS: u64 = 1_000_000_000;

pub(crate) fn accounts(text: &str) -> Result<u64, String> {
    let least = ChainRecipe::LEAST_ACCOUNTS;
    quantity(text).filter(|accounts| (least..=MOST_ACCOUNTS).contains(accounts)).ok_or_else(|| {
        format!("expected a number of accounts such as 1000, 50k or 10M, from {least} to {MOST_ACCOUNTS}")
    })
}

pub(crate) fn kind(text: &str) -> Result<Kind, String> {
    let names = || Kind::ALL.map(Kind::name).join(", ");
    let kind = Kind::ALL.into_iter().find(|kind| kind.name() == text);
    kind.ok_or_else(|| format!("expected one of {}", names()))
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitStatus, Box<dyn Error>> {
    interrupt::listen()?;
    let Some((path, last)) = write(arguments)? else { return Ok(ExitStatus::Interrupted) };
    print_line(&format!("wrote {} to {}", counted(arguments.blocks, "block"), path.display()))?;
    let hash = last.hash_slow();
    print_line(&format!("block {}: hash {hash}, state root {}", last.number, last.state_root))?;
    Ok(ExitStatus::Verified)
}

/// Writes the files, and returns the path of the blocks and the header of the last one; `None` after an interrupt.
pub(crate) fn write(arguments: &Arguments) -> Result<Option<(PathBuf, Header)>, Box<dyn Error>> {
    let failure = |error: io::Error| format!("{}: {error}", arguments.out.display());
    fs::create_dir_all(&arguments.out).map_err(failure)?;
    let files = NewFiles::create(arguments.format, &arguments.out)?;
    // Next to the file, because the state needs about as much room as the file.
    let folder = tempfile::Builder::new().prefix(".state").tempdir_in(&arguments.out).map_err(failure)?;
    let mut chain = begin(arguments, folder.path())?;
    let mut output = begin_files(arguments, &chain, files)?;
    grow(arguments.blocks, &mut chain, &mut output)?;
    if is_interrupted() {
        return Ok(None);
    }
    let path = output.finish(chain.last())?;
    Ok(Some((path, chain.last().clone())))
}

/// Creates the chain with its genesis. `folder` holds its state until the end of the command.
fn begin(arguments: &Arguments, folder: &Path) -> Result<GeneratedChain<DiskStore>, DiskError> {
    let Arguments { workload: kind, gas, accounts, seed, .. } = *arguments;
    let recipe = ChainRecipe { kind, gas, accounts, seed };
    let genesis = recipe.genesis();
    let bar = progress::bar(accounts, "accounts created");
    let mut state = Genesis::begin(folder, LEDGER_CONFIG)?;
    for (address, allocation) in genesis.accounts().take_while(|_| advance(&bar)) {
        state.add(address, allocation)?;
    }
    bar.finish_and_clear();
    let root = state.root()?;
    let store =
        state.finish(NewBlock { number: 0, hash: root, note: Bytes::new(), encoded: Bytes::new() })?;
    Ok(GeneratedChain::new(&recipe, genesis, store, root))
}

/// Starts the files: everything before the blocks.
fn begin_files<L: Ledger>(
    arguments: &Arguments,
    chain: &GeneratedChain<L>,
    files: NewFiles,
) -> Result<ChainOutput, OutputError> {
    let Arguments { workload, gas, accounts, seed, .. } = arguments;
    let name = format!("{workload}, {gas} gas, {accounts} accounts, seed {seed}");
    let bar = progress::bar(*accounts, "accounts written");
    let pre = chain.genesis().accounts().take_while(|_| advance(&bar));
    let output = files.begin(&chain.head(&name), pre);
    bar.finish_and_clear();
    output
}

/// Generates and writes the blocks. After an interrupt some are missing.
fn grow<L: Ledger>(
    blocks: u64,
    chain: &mut GeneratedChain<L>,
    output: &mut ChainOutput,
) -> Result<(), Box<dyn Error>> {
    let bar = progress::bar(blocks, "blocks");
    for _ in (0..blocks).take_while(|_| advance(&bar)) {
        output.block(&chain.grow()?)?;
    }
    bar.finish_and_clear();
    Ok(())
}

/// Advances the bar. Returns false after an interrupt.
fn advance(bar: &ProgressBar) -> bool {
    bar.inc(1);
    !is_interrupted()
}
