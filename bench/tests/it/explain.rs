//! `blockloom explain`: what it says of generated blocks, and the files that it writes.

use std::{collections::BTreeMap, fs, io::Read as _, path::Path};

use serde_json::Value;

use crate::command::{blockloom, text};

/// A folder with a generated chain of three blocks.
fn chain() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("chain").display().to_string();
    let output = blockloom(&["generate", "--blocks", "3", "--gas", "2M", "--accounts", "300", "--out", &out]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    folder
}

/// The standard output of `explain` with further arguments.
fn explain(folder: &Path, arguments: &[&str]) -> String {
    let chain = folder.join("chain").display().to_string();
    let all = [&["explain", &chain, "--threads", "2", "--rounds", "2"], arguments].concat();
    let output = blockloom(&all);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn each_block_is_explained_and_then_all_together() {
    let folder = chain();
    let report = explain(folder.path(), &[]);
    for part in [
        "block 1 (",
        "block 3 (",
        "on one thread",
        "limit by threads: 2: ",
        "any number: ",
        "time of all threads: ",
        "critical path: ",
        "hot accounts",
        "lost: ",
        "3 blocks, ",
    ] {
        assert!(report.contains(part), "{part}: {report}");
    }
    let one = explain(folder.path(), &["--block", "2", "--top", "1"]);
    assert!(one.contains("block 2 (") && !one.contains("block 1 ("), "{one}");
    assert!(one.len() < report.len() / 3);
}

#[test]
fn the_lines_of_json_say_the_same_and_more() {
    let folder = chain();
    let text = explain(folder.path(), &["--json", "-", "--top", "3"]);
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [first, _, third, all] = &lines[..] else { panic!("{text}") };
    assert_eq!([&first["block"], &third["block"], &all["blocks"]], [1, 3, 3]);
    let number = |value: &Value| value.as_f64().unwrap_or_else(|| panic!("{value} is no number"));
    for line in &lines[..3] {
        assert!(number(&line["limit"]) >= 1.0 && number(&line["limits"]["any"]) >= number(&line["limit"]));
        let path = line["critical_path"].as_array().unwrap();
        let gas: f64 = path.iter().map(|step| number(&step["gas"])).sum();
        assert!(gas > 0.0 && gas <= number(&line["gas"]), "{line}");
        // Each waits for the one before it.
        assert!(path.windows(2).all(|steps| steps[1]["waits_for"] == steps[0]["index"]), "{line}");
        assert!(path[0]["waits_for"].is_null(), "{line}");
        assert!(line["causes"].as_array().unwrap().len() <= 3);
    }
    let sum: u64 = lines[..3].iter().map(|line| line["txs"].as_u64().unwrap()).sum();
    assert_eq!(all["txs"], sum);
}

#[test]
fn a_trace_is_written_plain_and_in_gzip_and_has_each_run() {
    let folder = chain();
    let path = |name: &str| folder.path().join(name).display().to_string();
    explain(folder.path(), &["--block", "1", "--trace", &path("trace.json")]);
    let remarks = ["--trace", &path("trace.json.gz"), "--html", &path("page.html")];
    explain(folder.path(), &remarks);
    let plain = fs::read_to_string(path("trace.json")).unwrap();
    let mut packed = String::new();
    let file = fs::File::open(path("trace.json.gz")).unwrap();
    flate2::read::GzDecoder::new(file).read_to_string(&mut packed).unwrap();
    for text in [plain, packed] {
        let trace: Value = serde_json::from_str(&text).unwrap();
        assert_is_chrome_trace(&trace);
    }
    let page = fs::read_to_string(path("page.html")).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("Block 1"));
}

/// Asserts what the format's description asks of each event.
fn assert_is_chrome_trace(trace: &Value) {
    let events = trace["traceEvents"].as_array().unwrap();
    let mut committed = 0;
    for event in events {
        assert!(event["name"].is_string() && event["pid"].is_u64(), "{event}");
        let phase = event["ph"].as_str().unwrap();
        assert_eq!(phase == "M", event["ts"].is_null(), "{event}");
        match phase {
            "M" => assert!(event["args"]["name"].is_string(), "{event}"),
            "X" => {
                assert!(event["dur"].as_f64().unwrap() >= 0.0 && event["tid"].is_u64(), "{event}");
                let category = event["cat"].as_str().unwrap();
                committed += u64::from(category == "commit" || category == "run at the gate");
            }
            "s" | "f" => assert!(event["id"].is_u64() && event["tid"].is_u64(), "{event}"),
            "C" => assert!(event["args"].is_object(), "{event}"),
            _ => panic!("{event}"),
        }
    }
    assert_is_nested(events);
    let hashes = events.iter().filter(|event| event["args"]["hash"].is_string()).count();
    assert!(committed > 10 && hashes as u64 >= committed, "{committed} commits, {hashes} hashes");
}

/// Asserts that the slices of each track lie beside or inside each other, also as floating-point numbers are added.
fn assert_is_nested(events: &[Value]) {
    let mut ends: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    for event in events.iter().filter(|event| event["ph"] == "X") {
        let [start, length] = ["ts", "dur"].map(|key| event[key].as_f64().unwrap());
        let outer = ends.entry(event["tid"].as_u64().unwrap()).or_default();
        while outer.last().is_some_and(|end| *end <= start) {
            outer.pop();
        }
        assert!(outer.last().is_none_or(|end| start + length <= *end), "{event}");
        outer.push(start + length);
    }
}

#[test]
fn what_cannot_be_explained_is_named() {
    let folder = chain();
    let chain = folder.path().join("chain").display().to_string();
    let inside = folder.path().join("chain/page.html").display().to_string();
    let nowhere = folder.path().join("nowhere/page.html").display().to_string();
    for (arguments, why) in [
        (&["--block", "9"][..], "no block was explained"),
        (&["--min-txs", "100000"], "no block was explained"),
        (&["--html", &inside], "--html"),
        (&["--html", &nowhere], "nowhere/page.html: "),
        (&["--rounds", "0"], "--rounds"),
    ] {
        let output = blockloom(&[&["explain", &chain, "--threads", "2"], arguments].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains(why), "{arguments:?}: {}", text(&output.stderr));
    }
}
