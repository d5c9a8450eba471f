//! Tables at a terminal of 80 columns: none is wider, whatever the names are.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::Value;

use crate::{
    command::blockloom,
    pty::{Session, lines},
};

const WIDTH: usize = 80;

/// As long as names in the official suites.
const LONG: &str = "a_name_as_long_as_those_of_the_folders_in_the_official_suites_and_then_a_bit_longer";

/// Makes a folder with samples, in two sets; folders, files and cases have long names.
fn samples(folder: &Path) {
    let blocks = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/blocks");
    for set in ["first", "second"] {
        let set = folder.join("samples").join(format!("{LONG}_{set}"));
        fs::create_dir_all(&set).unwrap();
        for name in ["contracts", "transfers"] {
            let sample = fs::read_to_string(blocks.join(name).with_extension("json")).unwrap();
            let fixture: BTreeMap<String, Value> = serde_json::from_str(&sample).unwrap();
            let long = |(case, content)| (format!("{LONG}_{case}"), content);
            let fixture: BTreeMap<_, _> = fixture.into_iter().map(long).collect();
            fs::write(set.join(format!("{LONG}_{name}.json")), serde_json::to_string(&fixture).unwrap())
                .unwrap();
        }
    }
}

/// The tables in what a command prints at a terminal: each line that starts with `header`, and the lines after it that
/// end with a number.
fn tables(arguments: &[&str], folder: &Path, header: &str) -> Vec<String> {
    let (status, output) = Session::start(arguments, folder).end();
    assert_eq!(status.code(), Some(0), "{arguments:?}: {output}");
    let mut is_table = false;
    let mut table = lines(&output);
    table.retain(|line| {
        let is_row = line.ends_with(|c: char| c.is_ascii_digit() || c == '-');
        is_table = line.starts_with(header) || (is_table && is_row);
        is_table
    });
    table
}

#[test]
fn every_table_fits_a_terminal() {
    let folder = tempfile::tempdir().unwrap();
    samples(folder.path());
    let bench = ["bench", "mixed", "samples", "--gas", "1M", "--rounds", "3", "--threads", "2"];
    let cases: [(&[&str], &str, usize); 5] = [
        (&["replay", "samples"], "set ", 4),
        (&["replay", "samples", "--compare", "--rounds", "3"], "set ", 4),
        // A second table has the times with the lists.
        (&["replay", "samples", "--compare", "--rounds", "3", "--with-lists", "lists"], "set ", 8),
        (&bench, "workload ", 4),
        (&[&bench[..], &["--with-lists"]].concat(), "workload ", 4),
    ];
    let lists = folder.path().join("lists");
    let samples = folder.path().join("samples");
    let output = blockloom(&["list", samples.to_str().unwrap(), "--out", lists.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    for (arguments, header, least) in cases {
        let table = tables(arguments, folder.path(), header);
        let is_shortened = table.iter().any(|row| row.starts_with('…'));
        assert!(table.len() >= least && is_shortened, "{arguments:?}: {table:#?}");
        assert!(table.iter().all(|row| row.chars().count() <= WIDTH), "{arguments:?}: {table:#?}");
    }
}

#[test]
fn the_table_of_lists_fits_a_terminal() {
    let folder = tempfile::tempdir().unwrap();
    samples(folder.path());
    let (status, output) = Session::start(&["list", "samples"], folder.path()).end();
    assert_eq!(status.code(), Some(0), "{output}");
    let table: Vec<_> = lines(&output).into_iter().filter(|line| !line.starts_with("blockloom: ")).collect();
    assert!(table.len() > 4 && table[1].contains('…'), "{table:#?}");
    assert!(table.iter().all(|row| row.chars().count() <= WIDTH), "{table:#?}");
}

#[test]
fn where_nothing_was_read_there_is_no_table() {
    let folder = tempfile::tempdir().unwrap();
    for command in ["replay", "list", "bench"] {
        let output = blockloom(&[command, folder.path().to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(2), "{command}");
        let report = String::from_utf8(output.stdout).unwrap();
        let has_table = ["set ", "workload ", "   block "].iter().any(|header| report.contains(header));
        assert!(!has_table, "{command}: {report}");
    }
}
