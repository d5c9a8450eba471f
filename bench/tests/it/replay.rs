//! `blockloom replay`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use serde_json::Value;

use crate::command::{blockloom, command, text};

fn replay(arguments: &[&str]) -> Output {
    blockloom(&[&["replay"], arguments].concat())
}

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/blocks").join(name)
}

/// A copy of a sample, changed by `damage`.
fn damaged(folder: &Path, name: &str, damage: impl FnOnce(&mut Value)) -> String {
    let mut fixture: Value = serde_json::from_str(&fs::read_to_string(sample(name)).unwrap()).unwrap();
    damage(&mut fixture);
    let path = folder.join(name);
    fs::write(&path, fixture.to_string()).unwrap();
    path.display().to_string()
}

#[test]
fn without_a_path_the_samples_are_verified() {
    let output = replay(&[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let table = text(&output.stdout);
    let row: Vec<_> = table.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!((row[0], row[1], row[6], row[7]), ("samples", "5", "0", "0"), "{table}");
    assert!(
        table.lines().next().unwrap().contains("cold Mgas/s"),
        "one cold execution is no measurement: {table}"
    );
    assert_eq!(text(&output.stderr), "", "no progress bar where there is no terminal");
}

/// The keys of a line of JSON. The README of this crate describes each.
const KEYS: [&str; 30] = [
    "block",
    "burnt_gas",
    "case",
    "cold",
    "error",
    "fixture",
    "fork",
    "gas",
    "incarnations",
    "limit",
    "limits",
    "micros",
    "notes",
    "ok",
    "parallel_deviation_micros",
    "parallel_micros",
    "ratio",
    "ratio_high",
    "ratio_low",
    "rounds",
    "sequential_deviation_micros",
    "sequential_micros",
    "threads",
    "txs",
    "unknown_reason",
    "with_list_incarnations",
    "with_list_micros",
    "with_list_ratio",
    "with_list_ratio_high",
    "with_list_ratio_low",
];

/// The keys of the sums that the README of this crate describes.
const SUMMARY_KEYS: [&str; 5] =
    ["busy_slowdown", "largest_share", "ratio_high", "ratio_low", "unknown_reasons"];

#[test]
fn a_comparison_reports_the_ratio_of_each_block_and_in_total() {
    let output = replay(&["--compare", "--threads", "2", "--rounds", "2", "--json", "-"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let lines: Vec<Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (summary, blocks) = lines.split_last().unwrap();
    // A block that is invalid on purpose has no measurements.
    for block in blocks.iter().filter(|block| block["gas"].as_u64() > Some(0)) {
        let number = |key: &str| block[key].as_f64().unwrap();
        assert_eq!(block["threads"].as_u64(), Some(2));
        assert!(block["incarnations"].as_u64() >= block["txs"].as_u64(), "{block}");
        assert!(
            number("limit") >= 1.0 && block["limits"]["any"].as_f64() >= block["limit"].as_f64(),
            "{block}"
        );
        assert!((number("ratio") - number("sequential_micros") / number("parallel_micros")).abs() < 0.01);
    }
    assert!(summary["summary"]["ratio"].as_f64().unwrap() > 0.0);
    assert!(summary["summary"]["busy_slowdown"].as_f64().unwrap() > 0.5, "{summary}");
    let share = summary["summary"]["largest_share"].as_f64().unwrap();
    assert!(share > 0.0 && share < 1.0, "{summary}");
    let report = text(&output.stderr);
    assert!(report.contains("geometric mean") && report.contains("one block is"), "{report}");
    assert_eq!(summary["summary"]["ratio_low"], Value::Null, "two rounds have no interval");
}

#[test]
fn without_a_number_of_rounds_a_comparison_has_at_least_ten_and_an_interval() {
    let output = replay(&["--compare", "--threads", "2", "--only", "transfers", "--json", "-"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let lines: Vec<Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (summary, blocks) = lines.split_last().unwrap();
    for block in blocks {
        let number = |key: &str| block[key].as_f64().unwrap();
        assert!(number("rounds") >= 10.0 && block["cold"] == Value::Bool(false), "{block}");
        assert!(number("ratio_low") <= number("ratio") && number("ratio") <= number("ratio_high"), "{block}");
        assert!(number("parallel_deviation_micros") < number("parallel_micros"), "{block}");
    }
    let number = |key: &str| summary["summary"][key].as_f64().unwrap();
    assert!(number("ratio_low") <= number("ratio") && number("ratio") <= number("ratio_high"), "{summary}");
    let manual = include_str!("../../README.md");
    assert!(SUMMARY_KEYS.iter().all(|key| manual.contains(&format!("`{key}`"))), "the manual lacks a key");
}

#[test]
fn zero_threads_select_the_sequential_executor() {
    for (arguments, threads) in [(["--threads", "0"], 0), (["--threads", "3"], 3)] {
        let output = replay(&[&arguments[..], &["--json", "-"]].concat());
        let first = text(&output.stdout).lines().next().unwrap().to_owned();
        let block: Value = serde_json::from_str(&first).unwrap();
        assert_eq!(block["threads"].as_u64(), Some(threads));
    }
}

#[test]
fn json_has_a_line_for_each_block_and_one_for_the_sums() {
    let output = replay(&["--json", "-", "--rounds", "3"]);
    assert_eq!(output.status.code(), Some(0));
    let lines: Vec<Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (summary, blocks) = lines.split_last().unwrap();
    for block in blocks {
        let mut keys: Vec<_> = block.as_object().unwrap().keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(keys, KEYS);
        assert_eq!(block["ratio"], Value::Null, "nothing was compared");
        assert_eq!((&block["cold"], block["rounds"].as_u64()), (&Value::Bool(false), Some(3)));
        assert_eq!((&block["ok"], &block["error"]), (&Value::Bool(true), &Value::Null));
    }
    let manual = include_str!("../../README.md");
    assert!(KEYS.iter().all(|key| manual.contains(&format!("`{key}`"))), "the manual lacks a key");
    let sum = |key: &str| blocks.iter().map(|block| block[key].as_u64().unwrap()).sum::<u64>();
    let summary = &summary["summary"];
    assert_eq!(summary["blocks"].as_u64(), Some(blocks.len() as u64));
    assert_eq!((summary["gas"].as_u64(), summary["txs"].as_u64()), (Some(sum("gas")), Some(sum("txs"))));
    assert_eq!((summary["cases"].as_u64(), summary["fixtures"].as_u64()), (Some(5), Some(5)));
    assert_eq!((summary["failed"].as_u64(), summary["left_out"].as_u64()), (Some(0), Some(0)));
    assert!(text(&output.stderr).contains("samples"), "the table goes to standard error");
}

#[test]
fn a_block_that_fails_verification_is_named_in_two_lines() {
    let folder = tempfile::tempdir().unwrap();
    let path = damaged(folder.path(), "transfers.json", |fixture| {
        let account = fixture["transfers"]["postState"].as_object_mut().unwrap().values_mut().next().unwrap();
        account["balance"] = "0x1234".into();
    });
    let output = replay(&[&path]);
    assert_eq!(output.status.code(), Some(1));
    let lines = text(&output.stdout);
    let failure: Vec<_> = lines.lines().skip(2).collect();
    assert_eq!(failure.len(), 3, "{lines}");
    assert_eq!(failure[2], "2 of 3 blocks in 1 case passed");
    assert_eq!(failure[0], format!("failed: {path}: transfers, block 3"));
    assert!(failure[1].contains("balance of 0x") && failure[1].contains("0x1234"), "{lines}");
}

#[test]
fn an_invalid_block_must_fail_for_the_reason_that_the_test_gives() {
    let folder = tempfile::tempdir().unwrap();
    let path = damaged(folder.path(), "invalid.json", |fixture| {
        fixture["invalid"]["blocks"][1]["expectException"] = "BlockException.INVALID_LOG_BLOOM".into();
    });
    let output = replay(&[&path]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("refused for another reason"), "{}", text(&output.stdout));
}

#[test]
fn a_reason_that_nobody_knows_is_counted_apart_from_failures() {
    let folder = tempfile::tempdir().unwrap();
    let path = damaged(folder.path(), "invalid.json", |fixture| {
        fixture["invalid"]["blocks"][1]["expectException"] = "BlockException.OF_TOMORROW".into();
    });
    let output = replay(&[&path, "--json", "-"]);
    assert_eq!(output.status.code(), Some(2));
    let json = text(&output.stdout);
    let mut lines: Vec<Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let summary = lines.pop().unwrap()["summary"].take();
    assert_eq!((summary["failed"].as_u64(), summary["unknown_reasons"].as_u64()), (Some(0), Some(1)));
    let open: Vec<_> = lines.iter().filter(|line| line["unknown_reason"] == true).collect();
    assert_eq!((open.len(), open[0]["ok"].as_bool()), (1, Some(false)), "{json}");
    let report = text(&output.stderr);
    assert!(
        report.contains(&format!("unknown: {path}: invalid, block 2\n        refused, for block 2: ")),
        "{report}"
    );
    assert!(report.contains("the test wants BlockException.OF_TOMORROW, which this version does not know"));
    let blocks = lines.len();
    assert!(report.contains(&format!("{} of {blocks} blocks in 1 case passed", blocks - 1)), "{report}");
    assert!(report.contains("1 block refused, but the test wants a reason that this version does not know"));

    // A failure beside it decides.
    let failing = damaged(folder.path(), "transfers.json", |fixture| {
        fixture["transfers"]["lastblockhash"] = format!("0x{}", "0".repeat(64)).into();
    });
    assert_eq!(replay(&[&path, &failing]).status.code(), Some(1));
    let output = blockloom(&["bench", &path, "--rounds", "2", "--threads", "1", "--min-txs", "1"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("unknown: invalid, block 2"), "{}", text(&output.stderr));
}

#[test]
fn unusable_input_is_named_and_the_rest_still_runs() {
    let folder = tempfile::tempdir().unwrap();
    let broken = damaged(folder.path(), "contracts.json", |fixture| {
        fixture["contracts"]["blocks"][0]["rlp"] = "0xzz".into();
    });
    let good = sample("transfers.json").display().to_string();
    let output = replay(&[&broken, &good]);
    assert_eq!(output.status.code(), Some(2));
    let error = text(&output.stderr);
    assert!(error.contains(&broken) && error.contains("blocks[0].rlp"), "{error}");
    assert!(text(&output.stdout).contains("transfers.json"), "{}", text(&output.stdout));

    let missing = replay(&["there/is/no/such/path"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(text(&missing.stderr).contains("there/is/no/such/path"));
    assert_eq!(text(&missing.stdout), "1 input unusable\n", "no table where nothing was read");
}

#[test]
fn a_url_is_refused_with_advice() {
    for arguments in [
        &["replay", "https://example.org/blocks.json"][..],
        &["replay", "--with-lists", "https://example.org/lists"],
        &["list", "https://example.org/blocks.json"],
        &["bench", "https://example.org/blocks.json"],
        &["diff", "a.rlp", "https://example.org/b.rlp"],
        &["chain", "kept", "--import", "https://example.org/chain.json"],
    ] {
        let output = blockloom(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains("download it first"), "{}", text(&output.stderr));
    }
}

#[test]
fn skipped_files_are_counted_and_named_if_asked() {
    let folder = tempfile::tempdir().unwrap();
    damaged(folder.path(), "transfers.json", |_| ());
    fs::write(folder.path().join("notes.txt"), "text").unwrap();
    let path = folder.path().display().to_string();
    let output = replay(&[&path]);
    assert!(text(&output.stdout).contains("1 file skipped"), "{}", text(&output.stdout));
    assert!(!text(&output.stderr).contains("notes.txt"), "{}", text(&output.stderr));
    let verbose = text(&replay(&[&path, "-v"]).stderr);
    assert!(verbose.contains("skipped: ") && verbose.contains("notes.txt"), "{verbose}");
    assert_eq!(verbose.matches("passed: ").count(), 3, "{verbose}");
}

#[test]
fn quiet_prints_failures_only_and_colours_come_when_asked_for() {
    assert_eq!(text(&replay(&["-q"]).stdout), "");
    let folder = tempfile::tempdir().unwrap();
    let path = damaged(folder.path(), "transfers.json", |fixture| {
        fixture["transfers"]["lastblockhash"] = format!("0x{}", "00".repeat(32)).into();
    });
    let plain = text(&replay(&["--quiet", &path]).stdout);
    assert_eq!((plain.lines().count(), plain.starts_with("failed: ")), (2, true), "{plain}");
    let painted = text(&replay(&["-q", "--color", "always", &path]).stdout);
    assert!(painted.starts_with("\u{1b}[31mfailed:\u{1b}[0m "), "{painted}");
    assert_eq!(replay(&["-q", "-v"]).status.code(), Some(2));
}

#[test]
fn json_goes_to_standard_output_wherever_the_input_lies() {
    let folder = tempfile::tempdir().unwrap();
    damaged(folder.path(), "transfers.json", |_| ());
    let output = command().args(["replay", ".", "--json", "-"]).current_dir(folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout).lines().count(), 4);
}

#[test]
fn invalid_arguments_are_rejected() {
    for arguments in [
        ["--rounds", "0"],
        ["--threads", "-1"],
        ["--limit", "0"],
        ["--threads", "many"],
        ["--threads", "1000000"],
        ["--limit", "-1"],
        ["--wrong", "1"],
    ] {
        assert_eq!(replay(&arguments).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn cases_can_be_chosen_and_limited() {
    let cases = |arguments: &[&str]| {
        let output = replay(&[arguments, &["--json", "-"]].concat());
        assert_eq!(output.status.code(), Some(0));
        let last: Value = serde_json::from_str(text(&output.stdout).lines().last().unwrap()).unwrap();
        last["summary"]["cases"].as_u64().unwrap()
    };
    assert_eq!(cases(&["--only", "homestead"]), 1);
    assert_eq!(cases(&["--only", "samples/"]), 5);
    assert_eq!(cases(&["--limit", "2"]), 2);
    let nothing = replay(&["--only", "no case has this name"]);
    assert_eq!(nothing.status.code(), Some(2), "a misspelt name must not look like success");
}

#[test]
fn each_block_has_a_time_of_its_own() {
    let output = replay(&["--only", "transfers", "--json", "-"]);
    let lines: Vec<Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let micros: Vec<_> = lines[..3].iter().map(|line| line["micros"].as_f64().unwrap()).collect();
    assert!(micros.iter().all(|micros| *micros > 0.0), "{micros:?}");
    let sum = lines[3]["summary"]["micros"].as_f64().unwrap();
    assert!((sum - micros.iter().sum::<f64>()).abs() < 0.01, "{sum} {micros:?}");
}

#[test]
fn the_json_file_must_not_be_inside_an_input() {
    let folder = tempfile::tempdir().unwrap();
    let path = damaged(folder.path(), "transfers.json", |_| ());
    let before = fs::read(&path).unwrap();
    for json in [path.clone(), folder.path().join("out.json").display().to_string()] {
        let input = folder.path().display().to_string();
        assert_eq!(replay(&[&input, "--json", &json]).status.code(), Some(2));
    }
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_lost_json_file_does_not_hide_a_failure() {
    if !Path::new("/dev/full").exists() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = damaged(folder.path(), "transfers.json", |fixture| {
        fixture["transfers"]["lastblockhash"] = format!("0x{}", "00".repeat(32)).into();
    });
    let output = replay(&[&path, "--json", "/dev/full"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("failed: "), "{}", text(&output.stdout));
    assert!(text(&output.stderr).contains("/dev/full"), "{}", text(&output.stderr));
}

#[test]
fn fail_fast_stops_at_the_first_failure() {
    let folder = tempfile::tempdir().unwrap();
    let make_all_invalid = |fixture: &mut Value, case: &str| {
        for block in fixture[case]["blocks"].as_array_mut().unwrap() {
            block["expectException"] = "BlockException.INVALID_LOG_BLOOM".into();
        }
    };
    let path = damaged(folder.path(), "transfers.json", |fixture| make_all_invalid(fixture, "transfers"));
    let failures = |arguments: &[&str]| text(&replay(arguments).stdout).matches("failed: ").count();
    assert_eq!(failures(&[&path]), 3);
    assert_eq!(failures(&[&path, "--fail-fast"]), 1);
}
