//! Imports that are killed at random moments and continued.

use std::{
    env, fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use alloy_primitives::keccak256;
use blockloom_state::{DiskConfig, DiskError, DiskStore};

use super::chain_file::{ChainFile, command, result};

/// The environment variable for the number of kills.
const KILLS_VARIABLE: &str = "BLOCKLOOM_KILLS";

/// Enough blocks that a kill can lose some.
const BLOCKS: usize = 320;

/// The numbers of blocks per write, in rotation.
const BLOCKS_PER_WRITE: [&str; 3] = ["1", "16", "5"];

/// A reproducible number from 0 to 1 for each attempt.
fn share(attempt: u64) -> f64 {
    f64::from(keccak256(attempt.to_be_bytes())[0]) / 255.0
}

/// The last block of a store after a kill, verified against the chain; `None` if the store was not finished.
fn check(chain_file: &ChainFile, folder: &Path) -> Option<u64> {
    let store = match DiskStore::open(folder, DiskConfig::default()) {
        Ok(store) => store,
        Err(DiskError::NotFound { .. } | DiskError::Incomplete { .. }) => return None,
        Err(error) => panic!("{error}"),
    };
    let head = store.head();
    let header = &chain_file.headers[usize::try_from(head.number).unwrap()];
    assert_eq!((head.root, head.hash), (header.state_root, header.hash_slow()), "block {}", head.number);
    store.verify().unwrap_or_else(|error| panic!("after block {}: {error}", head.number));
    Some(head.number)
}

#[test]
fn an_import_that_is_killed_at_any_moment_continues_to_the_same_state() {
    let wanted: u64 = env::var(KILLS_VARIABLE).map_or(20, |kills| kills.parse().unwrap());
    let chain_file = ChainFile::new(BLOCKS);
    let start = Instant::now();
    let whole = chain_file.chain("whole", &["--import", "chain.json"]);
    let whole_time = start.elapsed();
    assert_eq!(whole.last_line(), chain_file.line(BLOCKS));

    let folder = chain_file.path("killed");
    let (mut kills, mut attempt, mut ends) = (0, 0, Vec::new());
    while kills < wanted {
        attempt += 1;
        let blocks_per_write = BLOCKS_PER_WRITE[attempt as usize % BLOCKS_PER_WRITE.len()];
        let arguments = ["--import", "chain.json", "--blocks-per-write", blocks_per_write];
        let mut child = command(&folder, &arguments)
            .current_dir(chain_file.folder.path())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        // One attempt in four is killed early, while the genesis is written or the store is opened.
        let most = if attempt % 4 == 0 { whole_time / 8 } else { whole_time };
        thread::sleep(most.mul_f64(share(attempt)).max(Duration::from_millis(1)));
        child.kill().unwrap();
        let ended = child.wait_with_output().unwrap();
        if ended.status.success() {
            // The import ended before the kill. Its result is correct; the next attempt starts from scratch.
            assert_eq!(result(ended).last_line(), chain_file.line(BLOCKS));
            fs::remove_dir_all(&folder).unwrap();
            continue;
        }
        kills += 1;
        ends.push(check(&chain_file, &folder));
    }
    println!("killed {kills} times, at blocks {ends:?}");
    let result = chain_file.chain("killed", &["--import", "chain.json", "--verify"]);
    assert_eq!(result.last_line(), chain_file.line(BLOCKS));
}
