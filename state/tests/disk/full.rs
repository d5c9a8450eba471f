//! A store on a disk that is full.

use std::{
    env,
    path::Path,
    process::{Command, Stdio},
};

use alloy_primitives::Bytes;
use blockloom_state::{
    Account, AccountChange, Change, Changes, DiskError, DiskStore, Doing, Genesis, NewBlock,
};
use revm_database_interface::DatabaseRef;
use revm_state::Bytecode;

use crate::blocks::{address, block, config};

/// Where the child process finds little room.
const ROOM: &str = "BLOCKLOOM_ROOM";

/// How the child process ends if nothing can be mounted.
const NO_MOUNT: i32 = 77;

/// Mounts a small file system that nobody else sees, and runs this very test on it.
#[test]
fn a_full_disk_is_an_error_and_the_last_block_is_intact() {
    if let Some(room) = env::var_os(ROOM) {
        return fill(Path::new(&room));
    }
    let folder = tempfile::tempdir().unwrap();
    let mount = "mount -t tmpfs -o size=100m tmpfs \"$1\" || exit 77; exec \"$2\" --exact full::a_full_disk_is_an_error_and_the_last_block_is_intact";
    let child = Command::new("unshare")
        .args(["--mount", "--map-root-user", "sh", "-c", mount, "sh"])
        .arg(folder.path())
        .arg(env::current_exe().unwrap())
        .env(ROOM, folder.path())
        .stdin(Stdio::null())
        .output();
    let Ok(output) = child else {
        eprintln!("skipped: there is no `unshare` here");
        return;
    };
    let [out, told] = [&output.stdout[..], &output.stderr[..]].map(String::from_utf8_lossy);
    // A test that fails ends with another code, and says more.
    if output.status.code() == Some(NO_MOUNT) || told.starts_with("unshare: ") {
        eprintln!("skipped: a file system cannot be mounted here: {told}");
        return;
    }
    assert!(output.status.success() && out.contains("1 passed"), "{out}{told}");
}

/// Adds blocks to a store until there is no room left.
fn fill(room: &Path) {
    let path = room.join("store");
    let mut store = Genesis::begin(&path, config(1)).unwrap().finish(block(0)).unwrap();
    let mut last = 0;
    let error = loop {
        match add(&mut store, last + 1) {
            Ok(()) => last += 1,
            Err(error) => break error,
        }
        assert!(last < 1000, "the disk should be full by now");
    };
    assert!(matches!(error, DiskError::Database { doing: Doing::Write, .. }), "{error}");
    assert!(last > 3, "there is room for some blocks");
    // Whoever goes on with the store finds the last block, and whoever opens it again does.
    assert_eq!(store.head().number, last);
    store.verify().unwrap();
    drop(store);
    let store = DiskStore::open(&path, config(1)).unwrap();
    assert_eq!(store.head().number, last);
    store.verify().unwrap();
}

/// Adds a block that takes about a megabyte: a code that nobody had before.
fn add(store: &mut DiskStore, number: u64) -> Result<(), DiskError> {
    let mut code = vec![0; 1 << 20];
    let mut seed = number;
    code.chunks_mut(8).for_each(|chunk| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        chunk.copy_from_slice(&seed.to_be_bytes());
    });
    let code = Bytecode::new_legacy(Bytes::from(code));
    let account = Account { code_hash: code.hash_slow(), nonce: 1, ..Account::EMPTY };
    let who = address(u8::try_from(number % 250).unwrap());
    let before = store.basic_ref(who)?.map(|info| Account::from(&info));
    let account_change = Change { before, after: Some(account) };
    let change = AccountChange { account: account_change, ..AccountChange::default() };
    let mut changes = Changes::default();
    changes.codes.insert(account.code_hash, code);
    changes.accounts.insert(who, change);
    let staged = store.stage(&changes)?;
    store.commit(staged, NewBlock { number, ..block(number) })
}
