//! `blockloom fetch`, from a real node and from nodes that misbehave.

mod anvil;
mod faults;
mod interrupt;
mod server;

use std::{fs, path::Path, process::Output};

use crate::command::{NODE_VARIABLES, command, text};

/// The arguments of a fetch that tries little and ends soon.
const HASTY: [&str; 6] = ["--retries", "1", "--timeout", "2", "--batch", "20"];

/// Runs a command against a node, without a proxy and without a token in the environment.
fn run(arguments: &[&str]) -> Output {
    isolated(arguments).output().unwrap()
}

fn isolated(arguments: &[&str]) -> std::process::Command {
    let mut command = command();
    command.args(arguments);
    for name in NODE_VARIABLES {
        command.env_remove(name);
    }
    command
}

/// Fetches `blocks` into `out`.
fn fetch(url: &str, blocks: &str, out: &Path, more: &[&str]) -> Output {
    let mut arguments = vec!["fetch", "--rpc", url, blocks, "--out", out.to_str().unwrap()];
    arguments.extend(more);
    run(&arguments)
}

/// What was printed, and the exit status.
fn printed(output: &Output) -> (String, Option<i32>) {
    (text(&output.stdout) + &text(&output.stderr), output.status.code())
}

/// The names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Replays a folder and checks that all of its blocks are verified, with their roots.
fn check_replay(folder: &Path, blocks: usize) {
    let output = run(&["replay", folder.to_str().unwrap(), "--json", "-"]);
    let (lines, report) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{lines}{report}");
    let summary: serde_json::Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    assert_eq!(summary["summary"]["blocks"], blocks, "{report}");
    assert!(!report.contains("without a witness"), "{report}");
}
