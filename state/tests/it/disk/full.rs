//! A store on a disk that is full.

use std::{
    env,
    path::Path,
    process::{Command, Stdio},
};

use alloy_primitives::Bytes;
use blockloom_state::{
    Account, AccountChange, Change, Changes, DiskError, DiskStore, Genesis, NewBlock, Operation,
};
use revm_database_interface::DatabaseRef;
use revm_state::Bytecode;

use super::pair::{address, block, config};

/// The environment variable with the folder of the small file system.
const SMALL_DISK: &str = "BLOCKLOOM_SMALL_DISK";

/// The exit code of the child process if it cannot mount a file system.
const NO_MOUNT: i32 = 77;

/// Mounts a small file system in a private namespace, and runs this test again on it.
#[test]
fn a_full_disk_is_an_error_and_the_last_block_is_intact() {
    if let Some(folder) = env::var_os(SMALL_DISK) {
        return fill(Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    let mount = "mount -t tmpfs -o size=100m tmpfs \"$1\" || exit 77; \
        exec \"$2\" --exact disk::full::a_full_disk_is_an_error_and_the_last_block_is_intact";
    let child = Command::new("unshare")
        .args(["--mount", "--map-root-user", "sh", "-c", mount, "sh"])
        .arg(folder.path())
        .arg(env::current_exe().unwrap())
        .env(SMALL_DISK, folder.path())
        .stdin(Stdio::null())
        .output();
    let Ok(output) = child else {
        eprintln!("skipped: there is no `unshare`");
        return;
    };
    let [stdout, stderr] = [&output.stdout[..], &output.stderr[..]].map(String::from_utf8_lossy);
    // A failing test has another exit code and more output.
    if output.status.code() == Some(NO_MOUNT) || stderr.starts_with("unshare: ") {
        eprintln!("skipped: mounting a file system failed: {stderr}");
        return;
    }
    assert!(output.status.success() && stdout.contains("1 passed"), "{stdout}{stderr}");
}

/// Adds blocks to a store until the disk is full.
fn fill(disk: &Path) {
    let path = disk.join("store");
    let mut store = Genesis::begin(&path, config(1)).unwrap().finish(block(0)).unwrap();
    let mut last = 0;
    let error = loop {
        match add(&mut store, last + 1) {
            Ok(()) => last += 1,
            Err(error) => break error,
        }
        assert!(last < 1000, "the disk should be full by now");
    };
    assert!(matches!(error, DiskError::Database { operation: Operation::Write, .. }), "{error}");
    assert!(last > 3, "some blocks fit on the disk");
    // The last block is intact in the open store, and after opening it again.
    assert_eq!(store.head().number, last);
    store.verify().unwrap();
    drop(store);
    let store = DiskStore::open(&path, config(1)).unwrap();
    assert_eq!(store.head().number, last);
    store.verify().unwrap();
}

/// Adds a block of about a megabyte: one account with a new code.
fn add(store: &mut DiskStore, number: u64) -> Result<(), DiskError> {
    let mut code = vec![0; 1 << 20];
    let mut seed = number;
    code.chunks_mut(8).for_each(|chunk| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        chunk.copy_from_slice(&seed.to_be_bytes());
    });
    let code = Bytecode::new_legacy(Bytes::from(code));
    let account = Account { code_hash: code.hash_slow(), nonce: 1, ..Account::EMPTY };
    let address = address(u8::try_from(number % 250).unwrap());
    let before = store.basic_ref(address)?.map(|info| Account::from(&info));
    let account_change = Change { before, after: Some(account) };
    let change = AccountChange { account: account_change, ..AccountChange::default() };
    let mut changes = Changes::default();
    changes.codes.insert(account.code_hash, code);
    changes.accounts.insert(address, change);
    let staged = store.stage(&changes)?;
    store.commit(staged, NewBlock { number, ..block(number) })
}
