//! CSV and Markdown beside JSON: the same rows, with the same values.

use std::{fs, path::Path, process::Output};

use serde_json::Value;

use crate::command::{command, text};

/// Fields of JSON that are no single values; CSV leaves them out.
const NESTED: [&str; 2] = ["limits", "transactions"];

fn run(folder: &Path, line: &str) -> Output {
    command().args(line.split(' ')).current_dir(folder).output().unwrap()
}

/// The cells of CSV, line by line.
fn csv(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut cell, mut is_quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if is_quoted && chars.peek() == Some(&'"') => cell.extend(chars.next()),
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => row.push(std::mem::take(&mut cell)),
            '\n' if !is_quoted => {
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            c => cell.push(c),
        }
    }
    assert!(row.is_empty() && cell.is_empty() && !is_quoted, "the last line has no end");
    rows
}

/// Whether a cell has the value of a field.
fn is_same(cell: &str, value: &Value) -> bool {
    match value {
        Value::Null => cell.is_empty(),
        Value::Bool(flag) => cell == flag.to_string(),
        Value::Number(number) => cell.parse::<f64>().ok() == number.as_f64(),
        Value::String(text) => cell == text,
        Value::Array(sentences) => {
            let sentences: Vec<_> = sentences.iter().map(|sentence| sentence.as_str().unwrap()).collect();
            cell == sentences.join("; ")
        }
        Value::Object(_) => false,
    }
}

/// Compares the rows of CSV with the lines of JSON; returns the rows.
fn check_rows(csv_text: &str, json: &str) -> Vec<Vec<String>> {
    let lines: Vec<&str> = json.lines().filter(|line| !line.starts_with("{\"summary\"")).collect();
    let mut rows = csv(csv_text);
    let header = rows.remove(0);
    assert_eq!(rows.len(), lines.len());
    for (row, line) in rows.iter().zip(&lines) {
        let fields: Value = serde_json::from_str(line).unwrap();
        let fields = fields.as_object().unwrap();
        let flat = fields.keys().filter(|name| !NESTED.contains(&name.as_str())).count();
        assert_eq!((row.len(), header.len()), (flat, flat), "{line}");
        let mut last = 0;
        for (name, cell) in header.iter().zip(row) {
            assert!(is_same(cell, &fields[name]), "{name}: CSV has {cell}, JSON {}", fields[name]);
            let place = line.find(&format!("\"{name}\":")).unwrap();
            assert!(place >= last, "{name} has another place in JSON");
            last = place;
        }
    }
    rows
}

/// The rows of a table in Markdown, which a reader splits at pipes that are not escaped.
fn markdown(text: &str) -> Vec<Vec<String>> {
    let cells = |line: &str| {
        let (mut cells, mut cell, mut chars) = (Vec::new(), String::new(), line.chars());
        while let Some(c) = chars.next() {
            match c {
                '\\' => cell.extend(chars.next()),
                '|' => cells.push(std::mem::take(&mut cell).trim().to_owned()),
                c => cell.push(c),
            }
        }
        assert!(cell.is_empty() && cells.remove(0).is_empty(), "{line}");
        cells
    };
    text.lines().map(cells).collect()
}

#[test]
fn every_block_of_replay_has_the_same_values_in_csv_and_json() {
    let folder = tempfile::tempdir().unwrap();
    for options in ["--rounds 2", "--compare --rounds 3", "--compare --rounds 3 --with-lists --transactions"]
    {
        let output = run(folder.path(), &format!("replay --threads 2 --json a.json --csv a.csv {options}"));
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let [rows, json] =
            ["a.csv", "a.json"].map(|file| fs::read_to_string(folder.path().join(file)).unwrap());
        assert!(check_rows(&rows, &json).len() > 5, "{rows}");
    }
}

#[test]
fn every_row_of_bench_has_the_same_values_in_csv_and_json() {
    let folder = tempfile::tempdir().unwrap();
    for options in ["", " --with-lists"] {
        let line = "bench transfers --shape independent,chain --gas 1M --threads 1,2 --rounds 3 --json a.json --csv a.csv";
        let output = run(folder.path(), &format!("{line}{options}"));
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let [rows, json] =
            ["a.csv", "a.json"].map(|file| fs::read_to_string(folder.path().join(file)).unwrap());
        assert_eq!(check_rows(&rows, &json).len(), 4, "{rows}");
    }
}

#[test]
fn a_name_with_commas_quotes_and_pipes_is_one_cell() {
    let folder = tempfile::tempdir().unwrap();
    let name = "a, \"quoted\" | name.json";
    let blocks = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/blocks");
    let sample = fs::read_to_string(blocks.join("transfers.json")).unwrap();
    fs::create_dir(folder.path().join("in|put")).unwrap();
    fs::write(folder.path().join("in|put").join(name), sample).unwrap();
    let output = run(folder.path(), "replay in|put --json a.json --csv a.csv --markdown a.md");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let [rows, json, table] =
        ["a.csv", "a.json", "a.md"].map(|file| fs::read_to_string(folder.path().join(file)).unwrap());
    let rows = check_rows(&rows, &json);
    assert!(rows.iter().all(|row| row[0].ends_with(name)), "{rows:?}");
    assert_eq!(markdown(&table)[2][0], "in|put", "{table}");
}

#[test]
fn markdown_has_the_tables_of_the_report() {
    let folder = tempfile::tempdir().unwrap();
    for line in
        ["replay --markdown a.md", "bench transfers --gas 1M --rounds 3 --threads 1,2 --markdown a.md"]
    {
        let output = run(folder.path(), line);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let table = markdown(&fs::read_to_string(folder.path().join("a.md")).unwrap());
        assert!(table.len() > 2 && table.iter().all(|row| row.len() == table[0].len()), "{table:?}");
        assert_eq!(table[1][..2], [":---", "---:"]);
        let report = text(&output.stdout);
        let printed = |row: &[String]| {
            let words: Vec<_> = row.iter().flat_map(|cell| cell.split_whitespace()).collect();
            report.lines().any(|line| line.split_whitespace().eq(words.iter().copied()))
        };
        assert!(printed(&table[0]) && table[2..].iter().all(|row| printed(row)), "{table:?}\n{report}");
    }
}

#[test]
fn one_file_may_be_standard_output_and_the_report_makes_way() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), "replay --csv -");
    let rows = csv(&text(&output.stdout));
    assert!(rows.len() > 9 && rows.iter().all(|row| row.len() == rows[0].len()), "{rows:?}");
    assert!(text(&output.stderr).contains("samples"), "the table goes to standard error");
    let output = run(folder.path(), "bench transfers --gas 1M --rounds 2 --markdown -");
    assert!(text(&output.stdout).starts_with("| workload |"), "{}", text(&output.stdout));
    let output = run(folder.path(), "replay --csv - --markdown -");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("only one of --json, --csv and --markdown"));
    let output = run(folder.path(), "replay --json rows --markdown ./rows");
    assert_eq!(output.status.code(), Some(2));
    let error = text(&output.stderr);
    assert!(error.contains("--markdown ./rows: --json writes this file"), "{error}");
    assert!(!folder.path().join("rows").exists());
}

#[test]
fn a_file_that_cannot_be_written_is_named_with_its_option() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("input")).unwrap();
    for (line, message) in [
        ("replay --csv there/is/none.csv", "--csv there/is/none.csv: "),
        ("bench --markdown there/is/none.md", "--markdown there/is/none.md: "),
        ("replay input --csv input/a.csv", "--csv input/a.csv: this path is inside the input input"),
        ("bench input --markdown input/a.md", "--markdown input/a.md: this path is inside the input input"),
    ] {
        let output = run(folder.path(), line);
        assert_eq!(output.status.code(), Some(2), "{line}");
        assert!(text(&output.stderr).contains(message), "{line}: {}", text(&output.stderr));
    }
    let full = Path::new("/dev/full");
    if full.exists() {
        for line in ["replay --csv /dev/full", "bench transfers --gas 1M --rounds 2 --csv /dev/full"] {
            let output = run(folder.path(), line);
            assert_eq!(output.status.code(), Some(2), "{line}");
            assert!(text(&output.stderr).contains("--csv /dev/full: "), "{line}: {}", text(&output.stderr));
        }
    }
}
