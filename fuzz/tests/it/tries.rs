//! The official trie tests with hashed keys: all keys in the tries of a state are hashes.

use std::{collections::BTreeMap, fs};

use alloy_primitives::{B256, Bytes, hex, keccak256};
use blockloom_fuzz::suites::Suites;
use blockloom_state::MemoryTrie;
use serde::Deserialize;

/// The insertions and removals, in a fixed order or in any order, and the final root.
#[derive(Debug, Deserialize)]
struct Case {
    #[serde(rename = "in")]
    updates: Updates,
    root: B256,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Updates {
    InOrder(Vec<(String, Option<String>)>),
    InAnyOrder(BTreeMap<String, Option<String>>),
}

/// The files with hashed keys. Of the others, two have keys of any length, and one does not test roots.
const FILES: [(&str, usize); 3] = [
    ("hex_encoded_securetrie_test.json", 3),
    ("trieanyorder_secureTrie.json", 7),
    ("trietest_secureTrie.json", 3),
];

#[test]
fn the_official_trie_tests_end_with_their_roots() {
    let suites = Suites::find().unwrap();
    let Some(folder) = suites.suite("trie-tests") else {
        eprintln!("skipped: there are no trie tests; {suites}");
        return;
    };
    for (file, count) in FILES {
        let text = fs::read_to_string(folder.join(file)).unwrap();
        let cases: BTreeMap<String, Case> = serde_json::from_str(&text).unwrap();
        assert!(cases.len() >= count, "{file} has {} cases", cases.len());
        for (name, Case { updates, root }) in cases {
            for updates in orders(updates) {
                assert_eq!(root_of(&updates), root, "{file}, {name}");
            }
        }
    }
}

/// The orders in which the updates are made.
fn orders(updates: Updates) -> Vec<Vec<(String, Option<String>)>> {
    match updates {
        Updates::InOrder(updates) => vec![updates],
        Updates::InAnyOrder(updates) => {
            let forward: Vec<_> = updates.into_iter().collect();
            let backward = forward.iter().rev().cloned().collect();
            let mut rotated = forward.clone();
            rotated.rotate_left(forward.len() / 2);
            vec![forward, backward, rotated]
        }
    }
}

/// The root after all updates. Computes the root after each of them as well, which must not change the
/// result.
fn root_of(updates: &[(String, Option<String>)]) -> B256 {
    let mut trie = MemoryTrie::new();
    for (key, value) in updates {
        let key = keccak256(bytes(key));
        match value.as_deref().map(bytes).filter(|value| !value.is_empty()) {
            Some(value) => trie.insert(key, value.to_vec()),
            None => trie.remove(key),
        }
        trie.root();
    }
    trie.root()
}

/// Hex digits are decoded; other text is taken as bytes.
fn bytes(text: &str) -> Bytes {
    match text.strip_prefix("0x") {
        Some(digits) => hex::decode(digits).unwrap().into(),
        None => text.as_bytes().to_vec().into(),
    }
}
