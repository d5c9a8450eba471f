//! `blockloom bench chain`: measures the import of a whole chain, stage by stage, beside block by block.

mod line;
mod sides;

use std::{error::Error, num::NonZeroUsize, path::PathBuf};

use blockloom_bench::{calibration::Calibration, workloads::Kind};
use blockloom_fixtures::LongChain;

use crate::{
    ExitStatus,
    bench_values::threads,
    exports::{ExportOptions, Exports, Row as _},
    generate::{self, Format},
    input::input_path,
    interrupt::{self, is_interrupted},
    output::is_reportable,
    terminal::{is_quiet, print_remark},
};
use line::ChainLine;
use sides::Sides;

/// Measure the import of a whole chain: with all stages at work at once, and block by block.
///
/// The chain is that of a file, or a generated one. The genesis is stored once; each round imports the blocks into
/// a copy of it three times: as `chain --import` does, block by block, and with one thread. The last one says how
/// long each stage takes alone. The limit is the longest stage that one thread does (read, root or write) alone, or
/// the time of all stages over the cores if that is longer. Figures are medians.
///
/// Exit status: 130 if it was interrupted; 2 if some input was unusable, or a block was refused; otherwise 0.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The file with the blocks: a blockchain test, or encoded blocks with their genesis beside them. Default: a
    /// generated chain.
    #[arg(value_name = "PATH", value_parser = input_path())]
    path: Option<PathBuf>,
    /// The case called NAME. Default: the first case of the file.
    #[arg(long, value_name = "NAME", requires = "path")]
    case: Option<String>,
    /// The genesis of encoded blocks, as geth reads it. Default: the file `genesis.json` beside them.
    #[arg(long, value_name = "FILE", requires = "path", value_parser = input_path())]
    genesis: Option<PathBuf>,
    /// The number of generated blocks.
    #[arg(long, value_name = "N", default_value = "120", value_parser = generate::blocks, conflicts_with = "path")]
    blocks: u64,
    /// The approximate gas of a generated block.
    #[arg(long, value_name = "GAS", default_value = "30M", value_parser = generate::gas, conflicts_with = "path")]
    gas: u64,
    /// The number of accounts in the generated genesis.
    #[arg(long, value_name = "A", default_value = "200k", value_parser = generate::accounts)]
    #[arg(conflicts_with = "path")]
    accounts: u64,
    /// The workload of generated transactions: transfers, erc20, swaps or mixed.
    #[arg(long, value_name = "KIND", default_value = "mixed", value_parser = generate::kind)]
    #[arg(conflicts_with = "path")]
    workload: Kind,
    /// The seed of a generated chain.
    #[arg(long, value_name = "N", default_value = "1", conflicts_with = "path")]
    seed: u64,
    /// The number of threads. Default: the number of cores.
    #[arg(long, value_name = "N", value_parser = threads)]
    threads: Option<NonZeroUsize>,
    /// The number of measured rounds.
    #[arg(long, value_name = "N", default_value = "3")]
    rounds: NonZeroUsize,
    /// Write a line of JSON to FILE. `-` is standard output; the report then goes to standard error.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    exports: ExportOptions,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitStatus, Box<dyn Error>> {
    interrupt::listen()?;
    let inputs: Vec<_> = arguments.path.iter().cloned().collect();
    let mut exports = Exports::open(arguments.json.as_deref(), &arguments.exports, &inputs)?;
    let scratch = tempfile::tempdir()?;
    let Some(file) = arguments.file(scratch.path().join("generated"))? else {
        return Ok(ExitStatus::Interrupted);
    };
    let threads = arguments
        .threads
        .unwrap_or_else(|| std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN));
    let calibration = Calibration::of(threads.get());
    let Some(mut sides) = Sides::new(&file, scratch.path(), threads)? else {
        return Ok(ExitStatus::Interrupted);
    };
    for round in 0..arguments.rounds.get() {
        sides.round(round)?;
        if is_interrupted() {
            return Ok(ExitStatus::Interrupted);
        }
    }
    let name = arguments.name();
    let line = ChainLine::new(&name, threads, &sides);
    let (mut output, _) = exports.report_output();
    let written = if is_quiet() { Ok(()) } else { line.write(&mut *output) };
    if let Err(error) = written
        && is_reportable(&error)
    {
        return Err(error.into());
    }
    if let Some(warning) = calibration.again().warning() {
        print_remark(&format!("warning: {warning}"));
    }
    let exported = exports.write_row(&line).and_then(|()| exports.write_table(&[line.fields()]));
    match exported.and_then(|()| exports.flush()) {
        Err(error) if error.is_reportable() => Err(error.into()),
        _ => Ok(ExitStatus::Verified),
    }
}

impl Arguments {
    /// The file with the chain, which is generated into `folder` if none is named. `None` after an interrupt.
    fn file(&self, folder: PathBuf) -> Result<Option<LongChain>, Box<dyn Error>> {
        if let Some(path) = &self.path {
            return Ok(Some(LongChain::new(path, self.case.clone()).with_genesis(self.genesis.clone())));
        }
        let Self { blocks, gas, accounts, workload, seed, .. } = *self;
        let recipe =
            generate::Arguments { blocks, gas, accounts, seed, workload, format: Format::Rlp, out: folder };
        Ok(generate::write(&recipe)?.map(|(path, _)| LongChain::new(path, None)))
    }

    /// The name of the chain in reports.
    fn name(&self) -> String {
        match &self.path {
            Some(path) => path.display().to_string(),
            None => format!("{}, {} gas, {} accounts", self.workload, self.gas, self.accounts),
        }
    }
}
