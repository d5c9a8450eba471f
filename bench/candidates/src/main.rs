//! Compares embedded databases on the access pattern of a state store.
//!
//! ```text
//! candidates <database> <command> <directory> [options]
//! ```
//!
//! Databases: `redb`, `heed`, `fjall`, `mdbx`. Commands:
//!
//! - `load`: fills a new store in batches of 100,000 sorted keys
//! - `reads`: random point reads by one, two and four threads
//! - `commits`: commits of blocks, and reads afterwards
//! - `open`: opens the store and reads the head
//! - `kill`: kills a committing process and opens what it left
//! - `damage`: flips bits of, and truncates, copies of a freshly loaded store
//! - `fill`: writes until the disk is full
//! - `lock`: opens the store while another process has it open
//!
//! Options: `--accounts N`, `--count N`, `--cache MIB`, `--strided`,
//! `--no-sync`, `--quick-repair`, `--check-on-open`, `--scratch DIR`.

mod data;
mod faults;
mod measure;
mod store;
mod stores;

use crate::{
    data::Digest,
    store::{Options, Result, Store},
};
use std::{env, path::PathBuf, process::ExitCode};

/// The command line.
pub struct Arguments {
    /// Name of the database.
    pub database: String,
    /// The command.
    pub command: String,
    /// The folder of the store.
    pub dir: PathBuf,
    /// The folder for damaged copies.
    pub scratch: PathBuf,
    /// Number of accounts of the loaded store.
    pub accounts: u64,
    /// Number of commits, kills or damages.
    pub count: u64,
    /// Whether each batch of `load` covers the whole key space.
    pub strided: bool,
    /// The options of the store.
    pub options: Options,
    /// The options as given, for child processes.
    pub rest: Vec<String>,
    /// The expected digest of a scan.
    pub expected: Digest,
}

fn arguments() -> Result<Arguments> {
    let mut args = env::args().skip(1);
    let mut next = || args.next().ok_or("usage: candidates <database> <command> <directory> [options]");
    let mut out = Arguments {
        database: next()?,
        command: next()?,
        dir: next()?.into(),
        scratch: env::temp_dir().join("candidates-scratch"),
        accounts: 1_000_000,
        count: 30,
        strided: false,
        options: Options { cache: 256 << 20, sync: true, quick_repair: false, check_on_open: false },
        rest: Vec::new(),
        expected: Digest::default(),
    };
    out.rest = args.collect();
    let mut rest = out.rest.iter();
    while let Some(name) = rest.next() {
        let mut value = || rest.next().ok_or("an option lacks its value");
        match name.as_str() {
            "--accounts" => out.accounts = value()?.parse()?,
            "--count" => out.count = value()?.parse()?,
            "--cache" => out.options.cache = value()?.parse::<usize>()? << 20,
            "--scratch" => out.scratch = value()?.into(),
            "--expect-count" => out.expected.count = value()?.parse()?,
            "--expect-sum" => out.expected.sum = value()?.parse()?,
            "--strided" => out.strided = true,
            "--no-sync" => out.options.sync = false,
            "--quick-repair" => out.options.quick_repair = true,
            "--check-on-open" => out.options.check_on_open = true,
            _ => return Err(format!("unknown option {name}").into()),
        }
    }
    Ok(out)
}

fn run<S: Store>(args: &Arguments) -> Result<()> {
    match args.command.as_str() {
        "load" => measure::load::<S>(args),
        "reads" => measure::reads::<S>(args),
        "commits" => measure::commits::<S>(args),
        "open" => measure::open::<S>(args),
        "kill" => faults::kill::<S>(args),
        "writer" => faults::writer::<S>(args),
        "damage" => faults::damage(args),
        "verify" => faults::verify::<S>(args),
        "fill" => faults::fill::<S>(args),
        "lock" => faults::lock::<S>(args),
        other => Err(format!("unknown command {other}").into()),
    }
}

fn dispatch() -> Result<()> {
    let args = arguments()?;
    match args.database.as_str() {
        #[cfg(feature = "redb")]
        "redb" => run::<stores::redb::Redb>(&args),
        #[cfg(feature = "heed")]
        "heed" => run::<stores::heed::Heed>(&args),
        #[cfg(feature = "fjall")]
        "fjall" => run::<stores::fjall::Fjall>(&args),
        #[cfg(feature = "mdbx")]
        "mdbx" => run::<stores::mdbx::Mdbx>(&args),
        other => Err(format!("unknown database {other}").into()),
    }
}

fn main() -> ExitCode {
    match dispatch() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("error: {error:?}");
            ExitCode::FAILURE
        }
    }
}
