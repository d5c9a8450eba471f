//! The arrows of the house: which crate, which folder and which file may import which, and whether the documents name
//! only what exists.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// The rooms of a crate from the bottom to the top. A room is a folder or a file of `src`; it may import the rooms
/// before it. `lib` re-exports, and is left out.
const STATE: [&str; 11] =
    ["sync", "model", "record", "keccak", "trie", "root", "bal", "mv", "run", "commit", "stores"];
const ENGINE: [&str; 14] = [
    "tuning",
    "policy",
    "threads",
    "block",
    "parallel",
    "toy",
    "evm",
    "rules",
    "commit",
    "prefetch",
    "analysis",
    "engine",
    "alloy_evm",
    "lib",
];

/// It imports nothing, and every room of the engine may import it: a room of its own.
const TUNING_FILE: &str = "policy/tuning.rs";

/// The longest file, in lines without its tests.
const MAX_FILE_LINES: usize = 400;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The Rust files below a folder of the workspace, with their text. Paths are relative to the folder.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let top = root().join(folder);
    let mut folders = vec![top.clone()];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                sources.push((path.strip_prefix(&top).unwrap().to_owned(), text));
            }
        }
    }
    assert!(!sources.is_empty(), "{folder} has no Rust files");
    sources
}

/// A file without its unit tests.
fn without_tests(text: &str) -> &str {
    let Some(end) = text.find("\nmod tests") else { return text };
    text[..end].rfind("#[cfg(").map_or(text, |attribute| &text[..attribute])
}

fn is_test_file(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "tests.rs")
        || path.components().any(|part| part.as_os_str() == "tests")
}

/// The room of a file: its top folder, or its own name.
fn room(path: &Path) -> String {
    if path == Path::new(TUNING_FILE) {
        return "tuning".to_owned();
    }
    let first = path.iter().next().unwrap().to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

/// The first names after `crate::` in a file: those in a group of braces as well.
fn imported_rooms(text: &str) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    let code =
        text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let code = code.replace("policy::tuning", "tuning");
    for (at, found) in code.match_indices("crate::") {
        let rest = &code[at + found.len()..];
        match rest.strip_prefix('{') {
            Some(group) => rooms.extend(heads(group)),
            None => rooms.extend(name(rest)),
        }
    }
    rooms
}

fn name(text: &str) -> Option<String> {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    (end > 0).then(|| text[..end].to_owned())
}

/// The first name of each entry of a group in braces, of which the opening one is cut off.
fn heads(group: &str) -> Vec<String> {
    let (mut depth, mut heads, mut is_head) = (0, Vec::new(), true);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => is_head = true,
            c if depth == 0 && is_head && (c.is_alphabetic() || c == '_') => {
                heads.extend(name(&group[at..]));
                is_head = false;
            }
            _ => {}
        }
    }
    heads
}

/// The arrows between the rooms of a crate, each with a file that has it.
fn arrows(folder: &str) -> BTreeMap<(String, String), PathBuf> {
    let sources: Vec<_> = sources(folder).into_iter().filter(|(path, _)| !is_test_file(path)).collect();
    let rooms: BTreeSet<_> = sources.iter().map(|(path, _)| room(path)).collect();
    let mut arrows = BTreeMap::new();
    for (path, text) in &sources {
        let from = room(path);
        for to in imported_rooms(without_tests(text)) {
            if to != from && rooms.contains(&to) {
                arrows.insert((from.clone(), to), path.clone());
            }
        }
    }
    arrows
}

/// The files below `folder`, but for those whose path contains `except`, that name one of `words`.
fn files_naming(folder: &str, words: &[&str], except: &str) -> Vec<String> {
    let names = |text: &str| words.iter().any(|word| text.contains(word));
    let sources = sources(folder).into_iter();
    sources
        .filter(|(path, _)| !is_test_file(path))
        .map(|(path, text)| (path.display().to_string(), text))
        .filter(|(path, text)| !path.contains(except) && names(without_tests(text)))
        .map(|(path, _)| path)
        .collect()
}

const NONE: [String; 0] = [];
const NO_EXCEPTION: &str = "there is no such file";

#[test]
fn crates_import_downwards_only() {
    let above_state = ["blockloom_engine", "blockloom_fixtures", "blockloom_bench", "blockloom_fuzz"];
    assert_eq!(files_naming("state/src", &above_state, NO_EXCEPTION), NONE);
    // The toys are tests.
    assert_eq!(files_naming("engine/src", &above_state[1..], "toy/"), NONE);
    assert_eq!(files_naming("fixtures/src", &above_state[2..], NO_EXCEPTION), NONE);
    assert_eq!(files_naming("bench/src", &["blockloom_fuzz"], NO_EXCEPTION), NONE);
    assert_eq!(files_naming("fuzz/src", &["blockloom_bench"], NO_EXCEPTION), NONE);
}

#[test]
fn the_workspace_needs_no_reth() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    assert!(lock.contains("name = \"blockloom-engine\""));
    assert!(!lock.contains("name = \"reth-") && !lock.contains("name = \"blockloom-reth\""));
}

fn check_order(folder: &str, order: &[&str]) {
    let level = |room: &str| order.iter().position(|known| *known == room);
    for ((from, to), file) in arrows(folder) {
        if from == "lib" {
            continue;
        }
        let [Some(above), Some(below)] = [level(&from), level(&to)] else {
            panic!("{folder}: {from} or {to} has no place in the order of rooms");
        };
        assert!(below < above, "{folder}: {} imports {to}, which stands above {from}", file.display());
    }
}

#[test]
fn folders_of_state_import_downwards_only() {
    check_order("state/src", &STATE);
}

#[test]
fn folders_of_the_engine_import_downwards_only() {
    check_order("engine/src", &ENGINE);
}

#[test]
fn no_circle_crosses_a_folder_of_the_other_crates() {
    for folder in ["fixtures/src", "bench/src", "fuzz/src"] {
        let mut arrows: Vec<_> = arrows(folder).into_keys().collect();
        // Rooms that import nothing are taken away until none is left.
        loop {
            let froms: BTreeSet<_> = arrows.iter().map(|(from, _)| from.clone()).collect();
            let before = arrows.len();
            arrows.retain(|(_, to)| froms.contains(to));
            if arrows.len() == before {
                break;
            }
        }
        assert!(arrows.is_empty(), "{folder}: these imports form a circle: {arrows:?}");
    }
}

#[test]
fn imports_name_the_module_and_not_the_front_of_the_crate() {
    for folder in ["state/src", "engine/src"] {
        for (path, text) in sources(folder) {
            let types = imported_rooms(&text).into_iter().filter(|name| name.starts_with(char::is_uppercase));
            assert_eq!(types.collect::<Vec<_>>(), NONE, "{folder}/{}", path.display());
        }
    }
}

#[test]
fn only_one_folder_names_the_interpreter() {
    let interpreter = ["MainBuilder", "MainContext", "revm::handler", "revm::interpreter", "journaled_state"];
    assert_eq!(files_naming("engine/src", &interpreter, "evm/"), NONE);
    assert_eq!(
        files_naming("state/src", &["revm::", "revm_interpreter", "revm_handler"], NO_EXCEPTION),
        NONE
    );
}

#[test]
fn the_scheduler_and_the_gate_know_no_evm() {
    assert_eq!(
        files_naming("engine/src/parallel", &["use revm", "alloy_evm", "crate::evm"], NO_EXCEPTION),
        NONE
    );
}

#[test]
fn only_one_file_of_the_engine_names_rayon() {
    assert_eq!(files_naming("engine/src", &["use rayon", "rayon::"], "threads/pool.rs"), NONE);
}

#[test]
fn there_are_two_clocks_and_each_has_one_file() {
    assert_eq!(files_naming("engine/src", &["Instant", "SystemTime"], "threads/clock.rs"), NONE);
    assert_eq!(files_naming("state/src", &["Instant", "SystemTime"], "mv/latency.rs"), NONE);
}

#[test]
fn the_files_with_unsafe_code_are_those_that_contributing_names() {
    let text = fs::read_to_string(root().join("CONTRIBUTING.md")).unwrap();
    for folder in ["state", "engine", "engine/reth", "fixtures", "bench", "fuzz"] {
        for (path, source) in sources(&format!("{folder}/src")) {
            if source.contains("expect(unsafe_code") || source.contains("allow(unsafe_code") {
                let path = format!("`{folder}/src/{}`", path.display());
                assert!(text.contains(&path), "CONTRIBUTING.md does not name {path}");
            }
        }
    }
}

#[test]
fn every_file_starts_with_what_it_is_and_is_short() {
    for folder in ["state/src", "engine/src", "engine/reth/src", "fixtures/src", "bench/src", "fuzz/src"] {
        for (path, text) in sources(folder) {
            assert!(text.starts_with("//! "), "{folder}/{} does not say what it is", path.display());
            let lines = without_tests(&text).lines().count();
            let is_short = lines <= MAX_FILE_LINES || is_test_file(&path);
            assert!(is_short, "{folder}/{} has {lines} lines", path.display());
        }
    }
}

#[test]
fn the_package_with_the_command_has_the_name_of_the_command() {
    let manifest = fs::read_to_string(root().join("bench/Cargo.toml")).unwrap();
    let section =
        |header: &str| manifest.split("\n[").find(|part| part.trim_start_matches('[').starts_with(header));
    for header in ["package]", "bin]]"] {
        let section = section(header).unwrap();
        assert!(section.contains("\nname = \"blockloom\"\n"), "{section}");
    }
}

/// The code spans of a document.
fn code_spans(text: &str) -> impl Iterator<Item = &str> {
    let prose = text.split("```").step_by(2);
    prose.flat_map(|part| part.split('`').skip(1).step_by(2))
}

#[test]
fn architecture_names_only_what_exists() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let folders = ["state/src", "engine/src", "engine/reth/src", "fixtures/src", "bench/src", "fuzz/src"];
    let code: String = folders.iter().flat_map(|folder| sources(folder)).map(|(_, text)| text).collect();
    let words: BTreeSet<&str> = code.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    let mut paths = 0;
    for span in code_spans(&text) {
        let is_path = span.contains('/') && !span.contains([' ', '*', '<', '(']);
        if is_path {
            paths += 1;
            assert!(root().join(span).exists(), "ARCHITECTURE.md names {span}, which does not exist");
        } else if span.chars().all(|c| c.is_alphanumeric() || "_:".contains(c)) {
            for part in span.split("::").filter(|part| !part.is_empty()) {
                assert!(words.contains(part), "ARCHITECTURE.md names {span}, which no source has");
            }
        }
    }
    assert!(paths > 20, "only {paths} paths were found");
}

#[test]
fn architecture_names_every_folder_of_the_two_main_crates() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    for (folder, rooms) in [("state/src", &STATE[..]), ("engine/src", &ENGINE[..])] {
        for room in rooms {
            let path = root().join(folder).join(room);
            let is_named = text.contains(&format!("`{folder}/{room}"));
            assert!(!path.is_dir() || is_named, "ARCHITECTURE.md does not name {folder}/{room}");
        }
    }
}
