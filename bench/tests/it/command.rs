//! Runs the command.

use std::process::{Command, Output};

/// The command, not started yet.
pub(crate) fn command() -> Command {
    Command::new(env!("CARGO_BIN_EXE_blockloom"))
}

/// What would send requests for a node on this machine elsewhere, or add a token to them.
pub(crate) const NODE_VARIABLES: [&str; 7] = [
    "http_proxy",
    "HTTP_PROXY",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "BLOCKLOOM_RPC_TOKEN",
];

/// Runs the command to its end.
pub(crate) fn blockloom(arguments: &[&str]) -> Output {
    command().args(arguments).output().unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}
