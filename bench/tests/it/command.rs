//! Runs the command.

use std::process::{Command, Output};

/// The command, not started yet.
pub(crate) fn command() -> Command {
    Command::new(env!("CARGO_BIN_EXE_blockloom"))
}

/// Runs the command to its end.
pub(crate) fn blockloom(arguments: &[&str]) -> Output {
    command().args(arguments).output().unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}
