//! The arrows of the house: who may name whom.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The Rust files below a folder of the workspace, with their text.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder);
    let mut folders = vec![root];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                sources.push((path, text));
            }
        }
    }
    assert!(!sources.is_empty(), "{folder} has no Rust files");
    sources
}

/// The files below `folder`, but for those whose path contains `except`, that name one of `words`.
fn who_names(folder: &str, words: &[&str], except: &str) -> Vec<String> {
    let names = |text: &str| words.iter().any(|word| text.contains(word));
    let sources = sources(folder).into_iter();
    sources
        .filter(|(path, text)| !path.to_string_lossy().contains(except) && names(text))
        .map(|(path, _)| path.display().to_string())
        .collect()
}

const NOBODY: [String; 0] = [];
const NO_EXCEPTION: &str = "there is no such file";

#[test]
fn imports_point_downwards_only() {
    let above_state = ["blockloom_engine", "blockloom_fixtures", "blockloom_bench", "blockloom_fuzz"];
    assert_eq!(who_names("state/src", &above_state, NO_EXCEPTION), NOBODY);
    assert_eq!(who_names("engine/src", &above_state[1..], NO_EXCEPTION), NOBODY);
    assert_eq!(who_names("fixtures/src", &above_state[2..], NO_EXCEPTION), NOBODY);
    assert_eq!(who_names("bench/src", &["blockloom_fuzz"], NO_EXCEPTION), NOBODY);
    assert_eq!(who_names("fuzz/src", &["blockloom_bench"], NO_EXCEPTION), NOBODY);
}

#[test]
fn only_one_folder_names_the_interpreter() {
    let interpreter = ["MainBuilder", "MainContext", "revm::handler", "revm::interpreter", "journaled_state"];
    assert_eq!(who_names("engine/src", &interpreter, "/evm/"), NOBODY);
    assert_eq!(who_names("state/src", &["revm::", "revm_interpreter", "revm_handler"], NO_EXCEPTION), NOBODY);
}

#[test]
fn only_one_file_of_the_engine_names_rayon() {
    assert_eq!(who_names("engine/src", &["rayon"], "spread.rs"), NOBODY);
}

#[test]
fn there_are_two_clocks_and_each_has_one_file() {
    assert_eq!(who_names("engine/src", &["Instant", "SystemTime"], "trace.rs"), NOBODY);
    assert_eq!(who_names("state/src", &["Instant", "SystemTime"], "latency.rs"), NOBODY);
}

#[test]
fn every_file_starts_by_saying_what_it_is() {
    for folder in ["state/src", "engine/src", "fixtures/src", "bench/src", "fuzz/src"] {
        for (path, text) in sources(folder) {
            assert!(text.starts_with("//! "), "{} does not say what it is", path.display());
        }
    }
}
