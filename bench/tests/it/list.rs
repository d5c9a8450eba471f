//! `blockloom list`, `blockloom diff`, and `blockloom replay --with-lists`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use serde_json::Value;

use crate::command::{blockloom, text};

/// Writes the lists of the samples to a folder.
fn lists(folder: &Path) -> String {
    let path = folder.display().to_string();
    let output = blockloom(&["list", "--out", &path, "--threads", "2"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    path
}

/// The files of a folder with this extension, sorted by name.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = paths.filter(|path| path.extension().unwrap() == extension).collect();
    files.sort();
    files
}

/// The RLP file with a name that contains `name`.
fn file_of(folder: &Path, name: &str) -> PathBuf {
    let named = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().contains(name);
    files(folder, "rlp").into_iter().find(named).unwrap()
}

fn json_lines(output: &Output) -> Vec<Value> {
    text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn each_block_that_can_be_executed_has_a_line_about_its_list() {
    let output = blockloom(&["list"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let table = text(&output.stdout);
    let transfers: Vec<_> =
        table.lines().filter(|line| line.ends_with("transfers.json: transfers")).collect();
    assert_eq!(transfers.len(), 3, "{table}");
    let row: Vec<_> = transfers[0].split_whitespace().collect();
    assert!(row[0] == "1" && row[1].len() == 66, "{table}");
    let number = |column: usize| row[column].parse::<u64>().unwrap();
    assert_eq!(number(2) + number(3), number(4), "accounts and slots are the items");
    let sequential = blockloom(&["list", "--threads", "0"]);
    assert_eq!(text(&sequential.stdout), table, "the list does not depend on the executor");
}

#[test]
fn lists_are_written_as_rlp_and_json_under_the_names_of_their_blocks() {
    let folder = tempfile::tempdir().unwrap();
    lists(folder.path());
    let (rlp, json) = (files(folder.path(), "rlp"), files(folder.path(), "json"));
    assert_eq!(rlp.len(), json.len());
    let first = file_of(folder.path(), "transfers-1-");
    let name = first.file_name().unwrap().to_str().unwrap();
    assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)), "{name}");
    for (rlp, json) in rlp.iter().zip(&json) {
        assert_eq!(rlp.file_stem(), json.file_stem());
        let output = blockloom(&["diff", rlp.to_str().unwrap(), json.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
        assert!(text(&output.stdout).contains("are equal"));
    }
    let list: Value =
        serde_json::from_str(&fs::read_to_string(first.with_extension("json")).unwrap()).unwrap();
    let balances =
        list.as_array().unwrap().iter().flat_map(|account| account["balanceChanges"].as_array().unwrap());
    assert!(balances.clone().count() > 0);
    assert!(
        balances
            .clone()
            .all(|change| change["postBalance"].is_string() && change["blockAccessIndex"].is_string())
    );
}

#[test]
fn a_block_that_fails_verification_has_a_list() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/blocks/transfers.json");
    let mut fixture: Value = serde_json::from_str(&fs::read_to_string(sample).unwrap()).unwrap();
    fixture["transfers"]["lastblockhash"] = format!("0x{}", "00".repeat(32)).into();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wrong.json");
    fs::write(&path, fixture.to_string()).unwrap();
    let (path, out) = (path.to_str().unwrap(), folder.path().join("lists"));
    let output = blockloom(&["list", path, "--out", out.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("transfers, block 3"), "{}", text(&output.stderr));
    assert_eq!(files(&out, "rlp").len(), 3);
}

#[test]
fn lists_are_not_written_into_an_input_folder() {
    let folder = tempfile::tempdir().unwrap();
    let (path, out) = (folder.path().to_str().unwrap(), folder.path().join("lists"));
    let output = blockloom(&["list", path, "--out", out.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("--out") && !out.exists(), "{}", text(&output.stderr));
}

#[test]
fn a_comparison_with_lists_has_three_sides() {
    let folder = tempfile::tempdir().unwrap();
    let lists = lists(folder.path());
    let arguments =
        ["replay", "--with-lists", &lists, "--compare", "--threads", "2", "--rounds", "3", "--json", "-"];
    let output = blockloom(&arguments);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let lines = json_lines(&output);
    let (summary, blocks) = lines.split_last().unwrap();
    for block in blocks.iter().filter(|block| block["gas"].as_u64() > Some(0)) {
        let number = |key: &str| block[key].as_f64().unwrap();
        let ratio = number("sequential_micros") / number("with_list_micros");
        assert!((number("with_list_ratio") - ratio).abs() < 0.01, "{block}");
        assert!(block["with_list_incarnations"].as_u64() >= block["txs"].as_u64(), "{block}");
    }
    assert!(summary["summary"]["with_list_ratio"].as_f64().unwrap() > 0.0, "{summary}");
    let report = text(&output.stderr);
    assert!(report.contains("list ms") && report.contains("executed with an access list"), "{report}");
    assert!(report.contains("with access lists, sequential time / parallel time of"), "{report}");
}

#[test]
fn without_a_folder_blocks_without_a_list_are_executed_without_one() {
    let output = blockloom(&["replay", "--compare", "--json", "-", "--with-lists"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    for block in json_lines(&output).iter().filter(|block| block["summary"].is_null()) {
        assert_eq!(block["with_list_micros"], Value::Null);
    }
    assert!(text(&output.stderr).contains("0 blocks executed with an access list"));
}

#[test]
fn a_missing_or_damaged_list_is_named_and_its_block_is_still_verified() {
    let folder = tempfile::tempdir().unwrap();
    let path = lists(folder.path());
    let (damaged, missing) = (file_of(folder.path(), "transfers-2-"), file_of(folder.path(), "transfers-3-"));
    let mut bytes = fs::read(&damaged).unwrap();
    bytes.truncate(bytes.len() - 1);
    fs::write(&damaged, bytes).unwrap();
    fs::remove_file(&missing).unwrap();
    let output = blockloom(&["replay", "--only", "transfers", "--with-lists", &path]);
    assert_eq!(output.status.code(), Some(2));
    let (error, report) = (text(&output.stderr), text(&output.stdout));
    assert!(error.contains(damaged.to_str().unwrap()) && error.contains("from byte 0 on"), "{error}");
    assert!(report.contains(missing.to_str().unwrap()), "{report}");
    assert!(report.contains("3 of 3 blocks in 1 case passed"), "{report}");
}

#[test]
fn a_wrong_list_changes_no_outcome() {
    let folder = tempfile::tempdir().unwrap();
    let path = lists(folder.path());
    fs::copy(file_of(folder.path(), "contracts-1-"), file_of(folder.path(), "transfers-1-")).unwrap();
    let arguments = ["replay", "--only", "transfers", "--with-lists", &path, "--compare", "--rounds", "2"];
    let output = blockloom(&arguments);
    let report = text(&output.stdout);
    assert!(report.contains("3 of 3 blocks in 1 case passed"), "{report}{}", text(&output.stderr));
}

#[test]
fn a_folder_without_lists_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().display().to_string(), "there/is/no/such/path".to_owned()] {
        let output = blockloom(&["replay", "--with-lists", &path]);
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains(&path), "{}", text(&output.stderr));
    }
}

#[test]
fn the_first_difference_is_printed_first() {
    let folder = tempfile::tempdir().unwrap();
    lists(folder.path());
    let right = file_of(folder.path(), "transfers-1-").with_extension("json");
    let mut list: Value = serde_json::from_str(&fs::read_to_string(&right).unwrap()).unwrap();
    let accounts = list.as_array_mut().unwrap();
    for account in &mut *accounts {
        for change in account["balanceChanges"].as_array_mut().unwrap() {
            change["postBalance"] = "0x1234".into();
        }
    }
    let count: usize =
        accounts.iter().map(|account| account["balanceChanges"].as_array().unwrap().len()).sum();
    let wrong = folder.path().join("wrong.json");
    fs::write(&wrong, list.to_string()).unwrap();
    let (right, wrong) = (right.to_str().unwrap(), wrong.to_str().unwrap());

    let output = blockloom(&["diff", right, wrong]);
    assert_eq!(output.status.code(), Some(1));
    let report = text(&output.stdout);
    assert!(report.lines().next().unwrap().contains("differ first at index"), "{report}");
    assert!(report.lines().nth(1).unwrap().contains("| 0x1234 ("), "{report}");
    assert!(report.contains(&format!("balances {count}")), "{report}");
    let shown = |arguments: &[&str]| {
        let output = blockloom(&[&["diff", right, wrong], arguments].concat());
        text(&output.stdout).lines().skip(3).filter(|line| line.contains("balance: ")).count()
    };
    assert_eq!(shown(&[]), count.min(20), "{report}");
    assert_eq!(shown(&["--all"]), count);
    assert_eq!(shown(&["--all", "--by", "account"]), count);
    assert_eq!(report.contains("--all shows them"), count > 20, "{report}");
}

#[test]
fn a_file_without_a_list_is_named() {
    let folder = tempfile::tempdir().unwrap();
    lists(folder.path());
    let right = file_of(folder.path(), "transfers-1-");
    let broken = folder.path().join("broken");
    for content in ["", "0xc0c0", "neither", "[{}]", "{}"] {
        fs::write(&broken, content).unwrap();
        let output = blockloom(&["diff", right.to_str().unwrap(), broken.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(2), "{content}");
        assert!(text(&output.stderr).contains(broken.to_str().unwrap()), "{content}");
        assert!(output.stdout.is_empty());
    }
}
