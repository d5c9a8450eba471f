//! `blockloom fetch`, from a real node and from nodes that misbehave.

mod anvil;
mod faults;
mod server;

use std::{fs, path::Path, process::Output};

use crate::command::{command, text};

/// The arguments of a fetch that tries little and ends soon.
const HASTY: [&str; 6] = ["--retries", "1", "--timeout", "2", "--batch", "20"];

/// Runs a command against a node, without a proxy and without a token in the environment.
fn run(arguments: &[&str]) -> Output {
    isolated(arguments).output().unwrap()
}

fn isolated(arguments: &[&str]) -> std::process::Command {
    let mut command = command();
    command.args(arguments).env_remove("BLOCKLOOM_RPC_TOKEN");
    for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
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
    let report = folder.with_extension("json");
    let output = run(&["replay", folder.to_str().unwrap(), "--json", report.to_str().unwrap()]);
    let (printed, status) = printed(&output);
    assert_eq!(status, Some(0), "{printed}");
    let lines = fs::read_to_string(&report).unwrap();
    let lines: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (summary, rows) = lines.split_last().unwrap();
    assert_eq!(rows.len(), blocks, "{summary}");
    for row in rows {
        assert_eq!(row["compared"], "everything", "{row}");
    }
}
