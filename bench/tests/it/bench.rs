//! `blockloom bench`.

use std::{path::Path, process::Output};

use serde_json::Value;

use crate::command::{blockloom, text};

fn bench(arguments: &[&str]) -> Output {
    blockloom(&[&["bench"], arguments].concat())
}

fn rows(output: &Output) -> Vec<Value> {
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The keys of a line of JSON. The README of this crate describes each.
const KEYS: [&str; 34] = [
    "burnt_gas",
    "cpu_ratio",
    "gas",
    "incarnations",
    "limit",
    "limits",
    "parallel_best_micros",
    "parallel_deviation_micros",
    "parallel_micros",
    "parallel_to_stream",
    "parts",
    "peak_bytes",
    "ratio",
    "ratio_high",
    "ratio_low",
    "rounds",
    "sequential_best_micros",
    "sequential_deviation_micros",
    "sequential_micros",
    "sequential_peak_bytes",
    "shape",
    "stream_incarnations",
    "stream_micros",
    "stream_ratio",
    "stream_ratio_high",
    "stream_ratio_low",
    "threads",
    "txs",
    "with_list_incarnations",
    "with_list_micros",
    "with_list_ratio",
    "with_list_ratio_high",
    "with_list_ratio_low",
    "workload",
];

#[test]
fn each_workload_shape_size_and_number_of_threads_has_a_row() {
    let arguments =
        "transfers swaps --shape independent,chain --gas 200k,1M --threads 1,2 --rounds 2 --json -";
    let rows = rows(&bench(&arguments.split(' ').collect::<Vec<_>>()));
    assert_eq!(rows.len(), 2 * 2 * 2 * 2);
    for row in &rows {
        let mut keys: Vec<_> = row.as_object().unwrap().keys().map(String::as_str).collect();
        let mut expected = KEYS;
        keys.sort_unstable();
        expected.sort_unstable();
        assert_eq!(keys, expected);
        let number = |key: &str| row[key].as_f64().unwrap();
        assert!((number("ratio") - number("sequential_micros") / number("parallel_micros")).abs() < 0.01);
        assert!(number("limit") >= 1.0 && number("limit") <= number("threads") * 1.01, "{row}");
        assert!(number("incarnations") >= number("txs") && number("peak_bytes") > 0.0, "{row}");
        assert!(number("cpu_ratio") > 0.0, "{row}");
    }
    let manual = include_str!("../../README.md");
    assert!(KEYS.iter().all(|key| manual.contains(&format!("`{key}`"))), "the manual lacks a key");
    let chain = rows.iter().find(|row| row["shape"] == "chain" && row["workload"] == "swaps").unwrap();
    assert!(chain["limits"]["any"].as_f64().unwrap() < 1.1, "{chain}");
}

#[test]
fn fixtures_have_a_row_for_each_block_and_a_sum() {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/blocks");
    let output = bench(&[samples.to_str().unwrap(), "--rounds", "2", "--threads", "2"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let table = text(&output.stdout);
    let fixtures = table.lines().filter(|line| line.contains(", block ")).count();
    let (latencies, others): (Vec<_>, Vec<_>) =
        table.lines().partition(|line| line.starts_with("core-to-core latency: "));
    assert!(fixtures > 0 && others.iter().any(|line| line.contains("geometric mean")), "{table}");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    assert_eq!(latencies.len(), usize::from(cores > 1), "{table}");
}

#[test]
fn with_lists_each_block_is_executed_a_third_time() {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/blocks");
    let arguments =
        ["transfers", samples.to_str().unwrap(), "--gas", "1M", "--rounds", "2", "--threads", "2"];
    let rows = rows(&bench(&[&arguments[..], &["--with-lists", "--json", "-"]].concat()));
    for row in &rows {
        let number = |key: &str| row[key].as_f64().unwrap();
        let ratio = number("sequential_micros") / number("with_list_micros");
        assert!((number("with_list_ratio") - ratio).abs() < 0.01, "{row}");
        assert!(number("with_list_incarnations") >= number("txs"), "{row}");
    }
}

#[test]
fn read_latency_delays_every_read_of_the_base() {
    let run = |latency| {
        let arguments = ["erc20", "--gas", "1M", "--rounds", "1", "--threads", "1", "--json", "-"];
        rows(&bench(&[&arguments[..], &["--read-latency-us", latency]].concat())).remove(0)
    };
    let (fast, slow) = (run("0"), run("200"));
    // Every transaction reads at least three accounts and slots that no other transaction reads.
    let least = slow["txs"].as_f64().unwrap() * 3.0 * 200.0;
    assert!(slow["sequential_micros"].as_f64().unwrap() > least, "{slow}");
    assert!(fast["sequential_micros"].as_f64().unwrap() < least, "{fast}");
    assert_eq!(slow["limit"], Value::Null);
}

#[test]
fn tables_fit_a_terminal() {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/blocks");
    for lists in [&[][..], &["--with-lists"], &["--split", "3"]] {
        let arguments =
            ["mixed", samples.to_str().unwrap(), "--gas", "1M", "--rounds", "1", "--threads", "2"];
        let output = bench(&[&arguments[..], lists].concat());
        let table = text(&output.stdout);
        let rows = table.lines().take_while(|line| !line.contains("sequential time /"));
        assert!(rows.clone().count() > 4 && rows.clone().all(|row| row.chars().count() <= 80), "{table}");
    }
}

#[test]
fn where_nothing_was_measured_there_is_no_table() {
    let folder = tempfile::tempdir().unwrap();
    let output = bench(&[folder.path().to_str().unwrap()]);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), String::new()));
}

#[test]
fn split_blocks_are_executed_as_streams_too() {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/blocks");
    let run = |arguments: &[&str]| {
        bench(&[&["--split", "1000", "--rounds", "3", "--threads", "2"], arguments].concat())
    };
    for row in rows(&run(&["transfers", "mixed", "--gas", "1M", "--json", "-"])) {
        let number = |key: &str| row[key].as_f64().unwrap();
        assert_eq!(row["parts"], row["txs"], "no part is empty: {row}");
        let (ratio, of_parallel) = (
            number("sequential_micros") / number("stream_micros"),
            number("parallel_micros") / number("stream_micros"),
        );
        assert!((number("stream_ratio") - ratio).abs() < 0.01, "{row}");
        assert!((number("parallel_to_stream") - of_parallel).abs() < 0.01, "{row}");
        assert!(number("stream_ratio_low") <= number("stream_ratio_high"), "{row}");
        assert!(number("stream_incarnations") >= number("txs"), "{row}");
    }
    let output = run(&[samples.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let table = text(&output.stdout);
    assert!(table.contains("in parts as streams, sequential time / parallel time of"), "{table}");
    assert!(table.contains("parallel time / time as streams:\n  total "), "{table}");
}

#[test]
fn a_block_cannot_be_cut_into_no_parts() {
    let output = bench(&["--split", "0"]);
    let message = text(&output.stderr);
    assert!(output.status.code() == Some(2) && message.contains("one part or more"), "{message}");
}

#[test]
fn zero_threads_are_refused_with_advice() {
    let output = bench(&["--threads", "0"]);
    assert!(
        text(&output.stderr).contains("the sequential side is always measured"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn invalid_arguments_are_rejected() {
    for arguments in [
        &["no-such-workload"][..],
        &["--gas", "0"],
        &["--gas", "1T"],
        &["--shape", "round"],
        &["--hot", "1.5"],
        &["--threads", "0"],
        &["--rounds", "0"],
        &["--senders", "0"],
    ] {
        let output = bench(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(!output.stderr.is_empty() && output.stdout.is_empty(), "{arguments:?}");
    }
}

/// The keys of a line of JSON of `bench chain`. The README of this crate describes each.
const CHAIN_KEYS: [&str; 22] = [
    "blocks",
    "chain",
    "execute_micros",
    "execute_share",
    "gas",
    "limit_micros",
    "one_by_one_cores",
    "one_by_one_micros",
    "prepare_micros",
    "prepare_share",
    "ratio",
    "read_micros",
    "read_share",
    "root_micros",
    "root_share",
    "rounds",
    "stream_cores",
    "stream_micros",
    "threads",
    "txs",
    "write_micros",
    "write_share",
];

#[test]
fn the_import_of_a_chain_is_measured_stage_by_stage() {
    let options = "chain --blocks 40 --gas 2M --accounts 1000 --threads 2 --rounds 1 --json -";
    let output = bench(&options.split(' ').collect::<Vec<_>>());
    let rows = rows(&output);
    let [row] = &rows[..] else { panic!("{rows:?}") };
    let mut keys: Vec<_> = row.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(keys, CHAIN_KEYS);
    let manual = include_str!("../../README.md");
    assert!(CHAIN_KEYS.iter().all(|key| manual.contains(&format!("`{key}`"))), "the manual lacks a key");
    let number = |key: &str| row[key].as_f64().unwrap();
    assert_eq!((number("blocks"), number("threads"), number("rounds")), (40.0, 2.0, 1.0));
    assert!(number("txs") > 40.0 && number("gas") > 40e6, "{row}");
    assert!((number("ratio") - number("one_by_one_micros") / number("stream_micros")).abs() < 0.01);
    let stages = ["read", "prepare", "execute", "root", "write"];
    let alone = stages.map(|stage| number(&format!("{stage}_micros")));
    assert!(alone.iter().all(|micros| *micros > 0.0), "{row}");
    // On more than two cores two threads share all stages, on one core one does all.
    let all = alone.iter().sum::<f64>();
    assert!((all / 2.0 - 1.0..=all + 1.0).contains(&number("limit_micros")), "{row}");
    assert!(stages.iter().all(|stage| (0.0..=1.01).contains(&number(&format!("{stage}_share")))), "{row}");
    let report = text(&output.stderr);
    assert!(report.contains("stage") && report.contains("of the limit"), "{report}");
}

#[test]
fn a_chain_that_is_refused_is_no_measurement() {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/blocks/transfers.json");
    for (arguments, message) in [
        (vec!["chain", samples.to_str().unwrap(), "--case", "no such case"], "no such case"),
        (vec!["chain", "--blocks", "0"], "at least 1"),
        (vec!["chain", samples.to_str().unwrap(), "--blocks", "7"], "cannot be used with"),
    ] {
        let output = bench(&arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains(message), "{}", text(&output.stderr));
    }
}
