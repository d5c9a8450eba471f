//! Making, opening and adding: what is refused, and what is left after a refusal.

use std::{fs, path::Path};

use alloy_primitives::{Address, U256};
use blockloom_state::{Allocation, DiskConfig, DiskError, DiskStore, Genesis, Location};

use crate::blocks::{Deed, Twins, address, allocations, block, changes, config, word};

#[test]
fn a_block_is_there_after_opening_again_with_what_was_noted_of_it() {
    let mut twins = Twins::new(config(1));
    twins.add(&[Deed::Write(3, 3, 3), Deed::Pay(200, 1)]);
    let twins = twins.reopen();
    let mark = twins.disk.mark(1).unwrap().unwrap();
    assert_eq!((mark.hash, mark.note), (block(1).hash, block(1).note));
    assert_eq!(mark.root, twins.memory.root());
    twins.compare();
}

#[test]
fn blocks_that_are_not_written_yet_are_gone_after_a_crash_and_no_others() {
    let mut twins = Twins::new(config(3));
    (1..=5).for_each(|wei| twins.add(&[Deed::Pay(1, wei)]));
    let Twins { folder, disk, .. } = twins;
    drop(disk);
    let disk = DiskStore::open(folder.path(), config(3)).unwrap();
    assert_eq!(disk.head().number, 3);
    disk.verify().unwrap();
}

#[test]
fn changes_that_do_not_fit_are_refused_whole() {
    let twins = Twins::new(config(1));
    let mut wrong = changes(&twins.memory, &[Deed::Pay(9, 4), Deed::Write(5, 2, 8), Deed::Write(6, 2, 8)]);
    for byte in [5, 6] {
        wrong.accounts.get_mut(&address(byte)).unwrap().slots.get_mut(&word(2)).unwrap().before = word(77);
    }
    let error = twins.disk.stage(&wrong).unwrap_err();
    let DiskError::Misfit(mismatch) = error else { panic!("{error}") };
    assert_eq!(mismatch.location, Location::Slot(address(5), word(2)));
    twins.compare();
}

#[test]
fn what_is_staged_and_dropped_leaves_no_trace() {
    let twins = Twins::new(config(1));
    let staged =
        twins.disk.stage(&changes(&twins.memory, &[Deed::Destroy(5), Deed::Write(6, 2, 8)])).unwrap();
    assert_ne!(staged.root(), twins.memory.root());
    drop(staged);
    twins.compare();
}

#[test]
fn a_block_that_does_not_follow_is_refused() {
    let mut twins = Twins::new(config(1));
    for number in [0, 2, u64::MAX] {
        let staged = twins.disk.stage(&changes(&twins.memory, &[Deed::Pay(1, 2)])).unwrap();
        let error = twins.disk.commit(staged, block(number)).unwrap_err();
        assert!(matches!(error, DiskError::OutOfOrder { head: 0, .. }), "{error}");
    }
    twins.compare();
}

#[test]
fn a_store_that_was_not_finished_is_not_opened_and_can_be_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let mut genesis = Genesis::begin(folder.path(), config(1)).unwrap();
    genesis.add(address(1), Allocation::default()).unwrap();
    genesis.root().unwrap();
    drop(genesis);
    let error = DiskStore::open(folder.path(), config(1)).unwrap_err();
    assert!(matches!(error, DiskError::Unfinished { .. }), "{error}");
    let genesis = Genesis::begin(folder.path(), config(1)).unwrap();
    let store = genesis.finish(block(0)).unwrap();
    assert_eq!(store.verify().unwrap().accounts, 0);
}

/// Takes the first steps of making a store, as far as somebody came who was stopped then.
type FirstSteps = fn(&Path);

#[test]
fn wherever_the_making_of_a_store_was_stopped_it_can_be_made_anew() {
    let stops: [FirstSteps; 5] = [
        |path| fs::write(path.join("seal.new"), "").unwrap(),
        |path| fs::write(path.join("seal.new"), [7; 64]).unwrap(),
        |path| fs::remove_dir_all(sealed(path).join("state")).unwrap(),
        |path| fs::remove_file(sealed(path).join("state/version")).unwrap(),
        |path| fs::write(sealed(path).join("state/version"), "").unwrap(),
    ];
    for (position, stop) in stops.into_iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        stop(folder.path());
        let error = DiskStore::open(folder.path(), config(1)).unwrap_err();
        assert!(matches!(error, DiskError::Unfinished { .. }), "{position}: {error}");
        let genesis = Genesis::begin(folder.path(), config(1)).unwrap();
        genesis.finish(block(0)).unwrap().verify().unwrap();
        assert!(!folder.path().join("seal.new").exists());
    }
}

/// A folder with a store in it that nothing was written into.
fn sealed(path: &Path) -> &Path {
    drop(Genesis::begin(path, config(1)).unwrap());
    path
}

#[test]
fn an_account_is_listed_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut genesis = Genesis::begin(folder.path(), config(1)).unwrap();
    genesis.add(address(1), Allocation::default()).unwrap();
    assert!(
        matches!(genesis.add(address(1), Allocation::default()), Err(DiskError::Twice(who)) if who == address(1))
    );
    let folder = tempfile::tempdir().unwrap();
    let mut genesis = Genesis::begin(folder.path(), config(1)).unwrap();
    genesis.add(address(1), Allocation { balance: word(1), ..Allocation::default() }).unwrap();
    // Enough others that the first one is in the file by now.
    for number in 0..60_000u64 {
        let other = Address::left_padding_from(&(number + 1000).to_be_bytes());
        genesis.add(other, Allocation::default()).unwrap();
    }
    assert!(
        matches!(genesis.add(address(1), Allocation::default()), Err(DiskError::Twice(who)) if who == address(1))
    );
    genesis.finish(block(0)).unwrap().verify().unwrap();
}

#[test]
fn nothing_is_made_where_there_is_something() {
    let twins = Twins::new(config(1));
    let path = twins.folder.path().to_owned();
    let begin = |path: &std::path::Path| Genesis::begin(path, config(1)).map(drop).unwrap_err();
    assert!(matches!(begin(&path), DiskError::InUse { .. }));
    let Twins { folder, disk, .. } = twins;
    drop(disk);
    assert!(matches!(begin(&path), DiskError::Occupied { .. }));
    drop(folder);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("letter"), "dear").unwrap();
    assert!(matches!(begin(folder.path()), DiskError::Occupied { .. }));
    let missing = DiskStore::open(folder.path().join("nowhere"), config(1)).unwrap_err();
    assert!(matches!(missing, DiskError::Absent { .. }), "{missing}");
}

#[test]
fn the_cache_answers_what_was_asked_before_and_stays_within_its_bounds() {
    use revm_database_interface::DatabaseRef;
    let twins = Twins::new(DiskConfig { cache_bytes: 1 << 20, ..config(1) }).reopen();
    let ask = || {
        for (address, allocation) in allocations() {
            twins.disk.basic_ref(address).unwrap();
            for key in allocation.storage.keys() {
                assert_ne!(twins.disk.storage_ref(address, *key).unwrap(), U256::ZERO);
            }
        }
    };
    let before = twins.disk.cache();
    ask();
    let first = twins.disk.cache();
    assert!(first.misses > before.misses);
    ask();
    let second = twins.disk.cache();
    assert_eq!(second.misses, first.misses);
    assert!(second.hits > first.hits && second.hit_rate() > first.hit_rate());
    for key in (0..20_000).map(word) {
        twins.disk.storage_ref(address(5), key).unwrap();
    }
    let full = twins.disk.cache();
    assert!(full.bytes <= full.capacity && full.capacity <= 1 << 20, "{full:?}");
}
