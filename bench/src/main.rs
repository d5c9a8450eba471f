//! The `blockloom` command.

mod allocator;
mod bench;
mod bench_chain;
mod bench_values;
mod burnt_gas;
mod chain;
mod chain_option;
mod diff;
mod executor_threads;
mod explain;
mod exports;
mod failure;
mod fetch;
mod generate;
mod harness;
mod input;
mod interrupt;
mod json;
mod list;
mod list_files;
mod list_source;
mod manual;
mod names;
mod new_file;
mod output;
mod pictures;
mod progress;
mod quantity;
mod ratios;
mod replay;
mod report;
mod row;
mod table;
mod terminal;
mod transaction_lines;
mod witness;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

/// Execute, verify and measure EVM blocks.
#[derive(Debug, Parser)]
#[command(name = "blockloom", version, arg_required_else_help = true)]
struct Arguments {
    #[command(flatten)]
    terminal: terminal::TerminalOptions,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Replay(replay::Arguments),
    Bench(Box<bench::Arguments>),
    Explain(explain::Arguments),
    List(list::Arguments),
    Diff(diff::Arguments),
    Generate(generate::Arguments),
    Chain(chain::Arguments),
    Fetch(fetch::Arguments),
    Witness(witness::Arguments),
    Completions(manual::CompletionArguments),
    Man(manual::ManArguments),
}

fn main() -> ExitCode {
    let Arguments { terminal, command } = Arguments::parse();
    terminal::set(terminal);
    let result = match command {
        Command::Replay(arguments) => replay::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::List(arguments) => list::run(&arguments),
        Command::Diff(arguments) => diff::run(&arguments),
        Command::Generate(arguments) => generate::run(&arguments),
        Command::Chain(arguments) => chain::run(&arguments),
        Command::Fetch(arguments) => fetch::run(&arguments),
        Command::Witness(arguments) => witness::run(&arguments),
        Command::Completions(arguments) => manual::write_completions(&arguments, Arguments::command()),
        Command::Man(arguments) => manual::write_man_pages(&arguments, Arguments::command()),
    };
    match result {
        Ok(status) => ExitCode::from(status as u8),
        Err(error) => {
            terminal::print_message(&error.to_string());
            ExitCode::from(ExitStatus::Unusable as u8)
        }
    }
}

/// The exit status of the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ExitStatus {
    /// Everything was verified.
    Verified = 0,
    /// A block failed verification, or two lists differ.
    Failed = 1,
    /// Nothing failed, but some input or argument was unusable, or a test wants a reason that this version
    /// does not know.
    Unusable = 2,
    /// Nothing failed before an interrupt (Ctrl-C) ended the command.
    Interrupted = 130,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_of_all_commands_are_consistent() {
        Arguments::command().debug_assert();
    }
}
