//! What the READMEs say is true: each command in them runs, and each figure comes from `RESULTS.md`.

use std::{
    collections::BTreeSet,
    env, fs,
    path::Path,
    process::{Command, Output},
};

use crate::command::{blockloom, text};

const README: &str = include_str!("../../../README.md");
const MANUAL: &str = include_str!("../../README.md");
const ENGINE_README: &str = include_str!("../../../engine/README.md");
const RESULTS: &str = include_str!("../../RESULTS.md");

/// Commands that no test runs, with the reasons.
const NOT_RUN: [(&str, &str); 1] = [("cargo test --workspace", "this test is one of those")];

/// What would take minutes, with what a test runs instead.
const SMALLER: [(&str, &str); 4] = [
    ("--gas 1G", "--gas 1M"),
    ("--blocks 500", "--blocks 12 --gas 1M --accounts 200"),
    ("--blocks 20k", "--blocks 12"),
    ("--accounts 50k", "--accounts 200"),
];

/// The command in a line of a README, without its comment, as a shell runs it after an installation.
fn command_of(line: &str) -> String {
    let command = line.split(" #").next().unwrap_or(line).trim();
    match command.strip_prefix("cargo run --release -- ") {
        Some(arguments) => format!("blockloom {arguments}"),
        None => command.to_owned(),
    }
}

/// The commands in the `sh` blocks of a README.
fn commands(readme: &str) -> Vec<String> {
    let blocks = readme.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap_or(rest));
    blocks.flat_map(str::lines).filter(|line| !line.is_empty()).map(command_of).collect()
}

/// The commands in the `console` blocks of a README: they need a node, which the tests of `fetch` have.
fn commands_with_a_node(readme: &str) -> Vec<String> {
    let blocks = readme.split("```console\n").skip(1).map(|rest| rest.split("```").next().unwrap_or(rest));
    blocks.flat_map(str::lines).filter_map(|line| line.strip_prefix("$ ")).map(command_of).collect()
}

/// The command in a smaller size.
fn smaller(command: &str) -> String {
    let mut small = command.to_owned();
    for (large, little) in SMALLER {
        small = small.replace(large, little);
    }
    if small.starts_with("blockloom bench") {
        let is_chain = small.starts_with("blockloom bench chain");
        if is_chain && !small.contains(".rlp") {
            small.push_str(" --blocks 12 --accounts 200 --gas 1M");
        }
        if !is_chain && !small.contains("--gas") {
            small.push_str(" --gas 1M");
        }
        small.push_str(" --rounds 2");
    }
    small
}

/// Makes what the READMEs call `path`, `lists` and `chain`, from the samples.
fn prepare(folder: &Path) {
    let blocks = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/blocks");
    for (name, samples) in [
        ("BlockchainTests", &["homestead", "invalid", "transfers"][..]),
        ("blocks", &["contracts", "delegations"]),
        ("block", &["transfers"]),
    ] {
        let place = folder.join("path/to").join(name);
        fs::create_dir_all(&place).unwrap();
        for sample in samples {
            let file = format!("{sample}.json");
            fs::copy(blocks.join(&file), place.join(file)).unwrap();
        }
    }
    let lists = folder.join("lists");
    run(folder, "blockloom list path --out lists", 0);
    let mut written: Vec<_> = fs::read_dir(&lists).unwrap().map(|entry| entry.unwrap().path()).collect();
    written.sort();
    let of_kind =
        |kind: &str| written.iter().filter(|path| path.extension().unwrap() == kind).cloned().collect();
    let (rlp, json): (Vec<_>, Vec<_>) = (of_kind("rlp"), of_kind("json"));
    fs::copy(&rlp[0], lists.join("a.rlp")).unwrap();
    fs::copy(&json[1], lists.join("b.json")).unwrap();
    run(folder, "blockloom generate --blocks 12 --gas 1M --accounts 200 --out chain", 0);
}

/// Runs a command in a shell, which finds `blockloom`.
fn run(folder: &Path, command: &str, code: i32) -> Output {
    let binary = Path::new(env!("CARGO_BIN_EXE_blockloom")).parent().unwrap();
    let rest = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths([binary.to_owned()].into_iter().chain(env::split_paths(&rest))).unwrap();
    let output =
        Command::new("sh").args(["-c", command]).current_dir(folder).env("PATH", path).output().unwrap();
    let streams = [&output.stdout, &output.stderr].map(|bytes| text(bytes));
    assert_eq!(output.status.code(), Some(code), "{command}: {}\n{}", streams[0], streams[1]);
    output
}

/// Runs each command of a README, in order.
fn run_all(readme: &str) {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    let commands = commands(readme);
    let is_run = |command: &&String| NOT_RUN.iter().all(|(known, _)| known != command);
    for command in commands.iter().filter(is_run) {
        assert!(
            command.starts_with("blockloom "),
            "{command}: add it to those that are not run, with a reason"
        );
        if command.ends_with("--out chain") {
            // It overwrites nothing.
            fs::remove_dir_all(folder.path().join("chain")).unwrap();
        }
        if command.contains("more.json") {
            fs::copy(folder.path().join("chain/chain.json"), folder.path().join("more.json")).unwrap();
        }
        let differs = command.starts_with("blockloom diff");
        run(folder.path(), &smaller(command), i32::from(differs));
    }
}

#[test]
fn every_command_of_the_readme_runs() {
    run_all(README);
}

#[test]
fn every_command_of_the_manual_runs() {
    run_all(MANUAL);
}

#[test]
fn the_exceptions_are_in_the_readmes() {
    let commands: Vec<_> = [README, MANUAL].into_iter().flat_map(commands).collect();
    assert!(commands.len() > 20, "{commands:?}");
    for (command, reason) in NOT_RUN {
        assert!(commands.iter().any(|known| known == command), "{command}: {reason}");
    }
    for (large, _) in SMALLER {
        assert!(commands.iter().any(|command| command.contains(large)), "{large}");
    }
}

#[test]
fn every_command_of_the_program_is_in_the_manual() {
    let help = text(&blockloom(&["--help"]).stdout);
    let names: Vec<_> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    assert!(names.len() > 5, "{help}");
    let commands = [commands(MANUAL), commands_with_a_node(MANUAL)].concat();
    for name in names {
        assert!(MANUAL.contains(&format!("\n## {name}\n")), "{name} has no section");
        assert!(commands.iter().any(|command| command.starts_with(&format!("blockloom {name}"))), "{name}");
    }
}

/// The section of the results with this day.
fn sections_of(day: &str) -> impl Iterator<Item = &str> {
    RESULTS.split("\n## ").filter(move |section| section.contains(day))
}

/// The first day in a text, as in 2026-11-29.
fn day_of(text: &str) -> Option<&str> {
    let is_day = |text: &&str| {
        text.split('-').map(str::len).eq([4, 2, 2]) && text.chars().all(|c| c.is_ascii_digit() || c == '-')
    };
    text.split(|c: char| !c.is_ascii_digit() && c != '-').find(is_day)
}

/// The rows of a table in Markdown: those with a figure.
fn rows(text: &str) -> impl Iterator<Item = Vec<String>> {
    let cells = |line: &str| line.split('|').map(|cell| cell.replace("**", "").trim().to_owned()).collect();
    text.lines()
        .filter(|line| line.starts_with('|') && line.contains(|c: char| c.is_ascii_digit()))
        .map(cells)
}

#[test]
fn the_figures_of_the_readme_are_a_table_of_the_results_of_their_day() {
    let (before, after) = README.split_once("\n| workload |").unwrap();
    let day = day_of(before.rsplit("\n\n").next().unwrap()).unwrap();
    let table = after.split("\n\n").next().unwrap();
    let results: BTreeSet<_> = sections_of(day).flat_map(rows).collect();
    let missing: Vec<_> = rows(table).filter(|row| !results.contains(row)).collect();
    assert!(rows(table).count() > 5 && missing.is_empty(), "not in the results of {day}: {missing:#?}");
}

/// The numbers of a text that have one of the units, such as 0.4 ms, with their units.
fn quantities(text: &str) -> BTreeSet<String> {
    const UNITS: [&str; 4] = ["us", "ms", "s", "Mgas/s"];
    let words: Vec<_> =
        text.split_whitespace().map(|word| word.trim_matches(['(', ')', ',', '.', ';', ':'])).collect();
    let pairs = words.windows(2).filter(|pair| UNITS.contains(&pair[1]) && pair[0].parse::<f64>().is_ok());
    pairs.map(|pair| format!("{} {}", pair[0], pair[1])).collect()
}

#[test]
fn every_time_in_the_readmes_is_in_the_results() {
    let results = quantities(RESULTS);
    for (name, readme) in [("README.md", README), ("engine/README.md", ENGINE_README)] {
        let times = quantities(readme);
        let missing: Vec<_> = times.difference(&results).collect();
        assert!(!times.is_empty() && missing.is_empty(), "{name}: not in the results: {missing:?}");
    }
}

#[test]
fn times_are_found_in_a_text() {
    let times =
        quantities("It takes 0.4 ms (15 threads), up to 3 ms. Under 200 us: 5 blocks, not 4 seconds.");
    assert_eq!(times.into_iter().collect::<Vec<_>>(), ["0.4 ms", "200 us", "3 ms"]);
}

#[test]
fn the_readme_says_what_blockloom_is_not_for() {
    let (_, section) = README.split_once("\n## What it is not for\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    assert!(section.contains("Ethereum's rules only for now"), "{section}");
    assert!(section.contains("under 200 us gain nothing"), "{section}");
}
