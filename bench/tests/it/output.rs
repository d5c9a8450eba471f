//! What all commands print: nothing with `--quiet`, and no error if the reader has read enough.

use std::{
    fs,
    path::Path,
    process::{Output, Stdio},
};

use crate::command::{command, text};

/// A command for each kind of output, in an order in which each finds its input.
const COMMANDS: [&[&str]; 7] = [
    &["generate", "--blocks", "2", "--gas", "200k", "--accounts", "150", "--out", "chain"],
    &["replay", "chain"],
    &["list", "chain"],
    &["list", "chain", "--out", "lists"],
    &["bench", "transfers", "chain", "--gas", "200k", "--rounds", "2", "--threads", "2"],
    &["chain", "kept", "--import", "chain", "--verify"],
    &["chain", "kept", "--revert", "1"],
];

fn run(arguments: &[&str], folder: &Path) -> Output {
    command().args(arguments).current_dir(folder).output().unwrap()
}

#[test]
fn quiet_commands_print_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in COMMANDS {
        let output = run(&[arguments, &["-q"]].concat(), folder.path());
        let (code, printed) = (output.status.code(), text(&output.stdout) + &text(&output.stderr));
        assert_eq!((code, printed.as_str()), (Some(0), ""), "{arguments:?}");
    }
    let lists: Vec<_> =
        fs::read_dir(folder.path().join("lists")).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [one, other] = ["-1-", "-2-"].map(|number| {
        let is_it = |path: &&std::path::PathBuf| path.to_str().unwrap().contains(number);
        lists.iter().find(is_it).unwrap().to_str().unwrap()
    });
    let output = run(&["diff", "-q", one, other], folder.path());
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), String::new()));
}

#[test]
fn a_reader_that_has_read_enough_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in COMMANDS {
        let mut command = command();
        command.args(arguments).current_dir(folder.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let messages = text(&output.stderr);
        assert_eq!((output.status.code(), messages.as_str()), (Some(0), ""), "{arguments:?}");
    }
}

#[test]
fn every_command_that_walks_through_a_folder_says_what_it_skipped() {
    let folder = tempfile::tempdir().unwrap();
    assert!(run(COMMANDS[0], folder.path()).status.success());
    fs::write(folder.path().join("chain/notes.txt"), "text").unwrap();
    for arguments in [
        &["replay", "chain"][..],
        &["list", "chain"],
        // Without the dot, `chain` is what `bench` measures.
        &["bench", "./chain", "--rounds", "2", "--threads", "2"],
        &["chain", "kept", "--import", "chain"],
    ] {
        let output = run(&[arguments, &["-v"]].concat(), folder.path());
        let (report, details) = (text(&output.stdout) + &text(&output.stderr), text(&output.stderr));
        assert!(report.contains("1 file skipped"), "{arguments:?}: {report}");
        let file = format!(
            "skipped: {}/notes.txt",
            arguments.last().filter(|_| arguments[0] != "bench").unwrap_or(&"./chain")
        );
        assert!(details.contains(&file), "{arguments:?}: {details}");
    }
}
