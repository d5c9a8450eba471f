//! The `blockloom` command.

mod allocator;
mod bench;
mod chain;
mod diff;
mod generate;
mod given;
mod harness;
mod interrupt;
mod list;
mod list_files;
mod new_file;
mod progress;
mod quantity;
mod replay;
mod report;
mod row;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::{Parser, Subcommand};

/// Executes EVM blocks, verifies and measures.
#[derive(Debug, Parser)]
#[command(name = "blockloom", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Replay(replay::Arguments),
    Bench(bench::Arguments),
    List(list::Arguments),
    Diff(diff::Arguments),
    Generate(generate::Arguments),
    Chain(chain::Arguments),
}

fn main() -> ExitCode {
    let Arguments { command } = Arguments::parse();
    let result = match command {
        Command::Replay(arguments) => replay::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::List(arguments) => list::run(&arguments),
        Command::Diff(arguments) => diff::run(&arguments),
        Command::Generate(arguments) => generate::run(&arguments),
        Command::Chain(arguments) => chain::run(&arguments),
    };
    match result {
        Ok(status) => ExitCode::from(status as u8),
        Err(error) => {
            let _ = writeln!(io::stderr(), "blockloom: {error}");
            ExitCode::from(Status::Unusable as u8)
        }
    }
}

/// How the command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    /// Everything was verified.
    Verified = 0,
    /// A block failed verification, or two lists differ.
    Failed = 1,
    /// Nothing failed, but some input or argument was unusable.
    Unusable = 2,
    /// Nothing failed until somebody interrupted it.
    Interrupted = 130,
}
