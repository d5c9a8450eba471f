//! `blockloom witness`: what it makes is executed alone, is the same every time, and is refused where it must be.

use std::{collections::BTreeMap, fs, path::Path};

use alloy_primitives::{B256, Bytes};
use blockloom_engine::SignedBlock;

use crate::command::{blockloom, text};

/// Generates a chain of six blocks in `folder`, and returns the path of its file.
fn chain(folder: &Path, workload: &str) -> String {
    let out = folder.join("chain").display().to_string();
    let size = ["--blocks", "6", "--gas", "1M", "--accounts", "120"];
    let output = blockloom(&[&["generate", "--workload", workload, "--out", &out], &size[..]].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    format!("{out}/chain.json")
}

/// Makes witnesses in `folder/name`, with more arguments, and returns the path and standard output.
fn witnesses(folder: &Path, name: &str, file: &str, arguments: &[&str]) -> (String, String) {
    let out = folder.join(name).display().to_string();
    let output = blockloom(&[&["witness", file, "--out", &out], arguments].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    (out, text(&output.stdout))
}

/// The content of all files below a folder, by path.
fn contents(folder: &str) -> BTreeMap<String, Vec<u8>> {
    let mut contents = BTreeMap::new();
    for block in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        for file in fs::read_dir(&block).unwrap().map(|entry| entry.unwrap().path()) {
            let name = file.strip_prefix(folder).unwrap().display().to_string();
            contents.insert(name, fs::read(file).unwrap());
        }
    }
    contents
}

#[test]
fn every_block_of_a_chain_is_replayed_from_its_witness_alone() {
    for workload in ["mixed", "erc20"] {
        let folder = tempfile::tempdir().unwrap();
        let file = chain(folder.path(), workload);
        let (out, report) = witnesses(folder.path(), "witnesses", &file, &[]);
        assert_eq!(
            report.lines().filter(|line| line.contains("executed from them alone")).count(),
            6,
            "{report}"
        );
        for threads in ["0", "3"] {
            let output = blockloom(&["replay", &out, "--threads", threads]);
            let report = text(&output.stdout);
            assert_eq!(output.status.code(), Some(0), "{output:?}");
            assert!(report.contains("6 of 6 blocks in 6 cases passed"), "{report}");
            assert!(!report.contains("without a witness"), "{report}");
        }
    }
}

#[test]
fn a_witness_is_the_same_every_time_and_on_a_stored_state() {
    let folder = tempfile::tempdir().unwrap();
    let file = chain(folder.path(), "mixed");
    let all = contents(&witnesses(folder.path(), "all", &file, &[]).0);
    assert_eq!(all, contents(&witnesses(folder.path(), "again", &file, &["--threads", "0"]).0));
    let some = contents(&witnesses(folder.path(), "some", &file, &["--blocks", "3..4"]).0);
    let expected = all.iter().filter(|(name, _)| name.starts_with("3/") || name.starts_with("4/"));
    assert_eq!(some.iter().collect::<Vec<_>>(), expected.collect::<Vec<_>>());

    let store = folder.path().join("store").display().to_string();
    assert_eq!(blockloom(&["chain", &store, "--import", &file]).status.code(), Some(0));
    assert_eq!(blockloom(&["chain", &store, "--revert", "3"]).status.code(), Some(0));
    let before = text(&blockloom(&["chain", &store]).stdout);
    let next = contents(&witnesses(folder.path(), "next", &file, &["--state", &store]).0);
    let expected = all.iter().filter(|(name, _)| name.starts_with("4/"));
    assert_eq!(next.iter().collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    assert_eq!(text(&blockloom(&["chain", &store]).stdout), before, "the store is not changed");
}

#[test]
fn an_existing_folder_is_not_overwritten_and_nothing_else_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let file = chain(folder.path(), "mixed");
    let (out, _) = witnesses(folder.path(), "witnesses", &file, &["--blocks", "2"]);
    let before = contents(&out);
    let output = blockloom(&["witness", &file, "--out", &out, "--blocks", "2"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("exists already"), "{output:?}");
    assert_eq!(contents(&out), before);
}

#[test]
fn blocks_that_are_not_there_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = chain(folder.path(), "mixed");
    let out = folder.path().join("out").display().to_string();
    for (blocks, complaint) in
        [("7..9", "7..9"), ("9..7", "comes after the last"), ("x", "no block number"), ("100", "100..100")]
    {
        let output = blockloom(&["witness", &file, "--out", &out, "--blocks", blocks]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(text(&output.stderr).contains(complaint), "{output:?}");
    }
    assert!(!Path::new(&out).exists());
}

#[test]
fn a_lying_witness_fails_the_replay() {
    let folder = tempfile::tempdir().unwrap();
    let file = chain(folder.path(), "mixed");
    let (out, _) = witnesses(folder.path(), "witnesses", &file, &["--blocks", "5"]);
    let path = Path::new(&out).join("5/execution_witness.json");
    let mut witness: serde_json::Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let nodes = witness["state"].as_array_mut().unwrap();
    nodes.pop();
    fs::write(&path, witness.to_string()).unwrap();
    let output = blockloom(&["replay", &out]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let report = text(&output.stdout);
    assert!(report.contains("is missing") && report.contains("0x"), "{report}");
}

#[test]
fn a_block_that_is_refused_is_a_failure_and_an_unusable_file_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let file = chain(folder.path(), "mixed");
    let mut case: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let blocks = &mut case.as_object_mut().unwrap().values_mut().next().unwrap()["blocks"];
    let encoded: Bytes = serde_json::from_value(blocks[2]["rlp"].clone()).unwrap();
    let mut block: SignedBlock = alloy_rlp::decode_exact(&encoded).unwrap();
    block.header.state_root = B256::ZERO;
    blocks[2]["rlp"] = serde_json::json!(Bytes::from(alloy_rlp::encode(&block)));
    fs::write(&file, case.to_string()).unwrap();
    let out = folder.path().join("witnesses").display().to_string();
    let output = blockloom(&["witness", &file, "--out", &out]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let error = text(&output.stderr);
    assert!(error.contains("block 3") && error.contains("state root"), "{error}");
    fs::write(&file, "{}").unwrap();
    assert_eq!(blockloom(&["witness", &file, "--out", &out]).status.code(), Some(2));
}
