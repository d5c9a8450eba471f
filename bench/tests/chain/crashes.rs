//! Killing the command at any moment of an import, and going on.

use std::{
    env, fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use alloy_primitives::keccak256;
use blockloom_state::{DiskConfig, DiskError, DiskStore};

use crate::scene::{Scene, command, told};

/// The variable that says how many times the command is killed.
const KILLS_VARIABLE: &str = "BLOCKLOOM_KILLS";

/// Long enough that there is something to be lost.
const BLOCKS: usize = 320;

/// How many blocks are written at once, in turn.
const AT_ONCE: [&str; 3] = ["1", "16", "5"];

/// A number from 0 to 1 for each turn, always the same.
fn share(turn: u64) -> f64 {
    f64::from(keccak256(turn.to_be_bytes())[0]) / 255.0
}

/// Where a store stands after a kill, if it was made yet: verified, and as the chain says.
fn check(scene: &Scene, folder: &Path) -> Option<u64> {
    let store = match DiskStore::open(folder, DiskConfig::default()) {
        Ok(store) => store,
        Err(DiskError::Absent { .. } | DiskError::Unfinished { .. }) => return None,
        Err(error) => panic!("{error}"),
    };
    let head = store.head();
    let header = &scene.headers[usize::try_from(head.number).unwrap()];
    assert_eq!((head.root, head.hash), (header.state_root, header.hash_slow()), "block {}", head.number);
    store.verify().unwrap_or_else(|error| panic!("after block {}: {error}", head.number));
    Some(head.number)
}

#[test]
fn an_import_that_is_killed_at_any_moment_goes_on_to_the_same_end() {
    let wanted: u64 = env::var(KILLS_VARIABLE).map_or(20, |kills| kills.parse().unwrap());
    let scene = Scene::new(BLOCKS);
    let start = Instant::now();
    let whole = scene.chain("whole", &["--import", "chain.json"]);
    let usual = start.elapsed();
    assert_eq!(whole.last_line(), scene.line(BLOCKS));

    let folder = scene.path("killed");
    let (mut kills, mut turn, mut ends) = (0, 0, Vec::new());
    while kills < wanted {
        turn += 1;
        let at_once = AT_ONCE[turn as usize % AT_ONCE.len()];
        let arguments = ["--import", "chain.json", "--blocks-per-write", at_once];
        let mut child = command(&folder, &arguments)
            .current_dir(scene.folder.path())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        // One in four early, while the first state is written or the store is opened.
        let most = if turn % 4 == 0 { usual / 8 } else { usual };
        thread::sleep(most.mul_f64(share(turn)).max(Duration::from_millis(1)));
        child.kill().unwrap();
        let ended = child.wait_with_output().unwrap();
        if ended.status.success() {
            // It was faster. What it made is right, and the next one begins anew.
            assert_eq!(told(ended).last_line(), scene.line(BLOCKS));
            fs::remove_dir_all(&folder).unwrap();
            continue;
        }
        kills += 1;
        ends.push(check(&scene, &folder));
    }
    println!("killed {kills} times, at blocks {ends:?}");
    let told = scene.chain("killed", &["--import", "chain.json", "--verify"]);
    assert_eq!(told.last_line(), scene.line(BLOCKS));
}
