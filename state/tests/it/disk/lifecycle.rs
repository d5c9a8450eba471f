//! Creating and opening stores, and adding blocks: errors, and the content after an error.

use std::{fs, path::Path};

use alloy_primitives::{Address, U256};
use blockloom_state::{Allocation, DiskConfig, DiskError, DiskStore, Genesis, Location};

use super::pair::{Edit, StorePair, address, allocations, block, changes, config, word};

#[test]
fn a_block_and_its_note_are_intact_after_reopening() {
    let mut pair = StorePair::new(config(1));
    pair.add(&[Edit::Write(3, 3, 3), Edit::Pay(200, 1)]);
    let pair = pair.reopen();
    let metadata = pair.disk.block_metadata(1).unwrap().unwrap();
    assert_eq!((metadata.hash, metadata.note), (block(1).hash, block(1).note));
    assert_eq!(metadata.root, pair.memory.root());
    pair.compare();
}

#[test]
fn the_encodings_of_blocks_are_kept_as_far_as_the_configuration_says() {
    let kept = |pair: &StorePair| {
        let is_kept = |number: &u64| match pair.disk.encoded_block(*number).unwrap() {
            Some(encoded) => encoded == block(*number).encoded,
            None => false,
        };
        (pair.disk.first_encoded_block().unwrap(), (0..=700).filter(is_kept).collect::<Vec<_>>())
    };
    for (kept_blocks, first) in [(None, 1), (Some(5), 596), (Some(1), 600)] {
        let mut pair = StorePair::new(DiskConfig { kept_blocks, ..config(7) });
        (1..=600).for_each(|wei| pair.add(&[Edit::Pay(1, wei)]));
        let mut pair = pair.reopen();
        assert_eq!(kept(&pair), (Some(first), (first..=600).collect()), "{kept_blocks:?}");
        // An undone block is not kept.
        pair.revert(2);
        assert_eq!(kept(&pair).1, (first..=598).collect::<Vec<_>>(), "{kept_blocks:?}");
    }
    let mut pair = StorePair::new(config(1));
    (1..=4).for_each(|wei| pair.add(&[Edit::Pay(1, wei)]));
    pair.config.kept_blocks = Some(0);
    let mut pair = pair.reopen();
    pair.add(&[Edit::Pay(1, 9)]);
    assert_eq!(kept(&pair), (None, Vec::new()), "blocks of which none shall be kept leave no gap behind");
}

#[test]
fn a_crash_loses_only_the_blocks_that_are_not_written_yet() {
    let mut pair = StorePair::new(config(3));
    (1..=5).for_each(|wei| pair.add(&[Edit::Pay(1, wei)]));
    let StorePair { folder, disk, .. } = pair;
    drop(disk);
    let disk = DiskStore::open(folder.path(), config(3)).unwrap();
    assert_eq!(disk.head().number, 3);
    disk.verify().unwrap();
}

#[test]
fn changes_that_do_not_apply_are_rejected_as_a_whole() {
    let pair = StorePair::new(config(1));
    let mut wrong = changes(&pair.memory, &[Edit::Pay(9, 4), Edit::Write(5, 2, 8), Edit::Write(6, 2, 8)]);
    for byte in [5, 6] {
        wrong.accounts.get_mut(&address(byte)).unwrap().slots.get_mut(&word(2)).unwrap().before = word(77);
    }
    let error = pair.disk.stage(&wrong).unwrap_err();
    let DiskError::Mismatch(mismatch) = error else { panic!("{error}") };
    assert_eq!(mismatch.location, Location::Slot(address(5), word(2)));
    pair.compare();
}

#[test]
fn dropped_staged_changes_change_nothing() {
    let pair = StorePair::new(config(1));
    let staged = pair.disk.stage(&changes(&pair.memory, &[Edit::Destroy(5), Edit::Write(6, 2, 8)])).unwrap();
    assert_ne!(staged.root(), pair.memory.root());
    drop(staged);
    pair.compare();
}

#[test]
fn a_block_with_the_wrong_number_is_rejected() {
    let pair = StorePair::new(config(1));
    for number in [0, 2, u64::MAX] {
        let staged = pair.disk.stage(&changes(&pair.memory, &[Edit::Pay(1, 2)])).unwrap();
        let error = pair.disk.commit(staged, block(number)).unwrap_err();
        assert!(matches!(error, DiskError::OutOfOrder { head: 0, .. }), "{error}");
    }
    pair.compare();
}

#[test]
fn an_unfinished_store_cannot_be_opened_and_can_be_created_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut genesis = Genesis::begin(folder.path(), config(1)).unwrap();
    genesis.add(address(1), Allocation::default()).unwrap();
    genesis.root().unwrap();
    drop(genesis);
    let error = DiskStore::open(folder.path(), config(1)).unwrap_err();
    assert!(matches!(error, DiskError::Incomplete { .. }), "{error}");
    let genesis = Genesis::begin(folder.path(), config(1)).unwrap();
    let store = genesis.finish(block(0)).unwrap();
    assert_eq!(store.verify().unwrap().accounts, 0);
}

/// Leaves a folder as an interrupted creation of a store leaves it.
type Interruption = fn(&Path);

#[test]
fn a_store_can_be_created_again_after_an_interruption_at_any_step() {
    let stops: [Interruption; 5] = [
        |path| fs::write(path.join("superblock.new"), "").unwrap(),
        |path| fs::write(path.join("superblock.new"), [7; 64]).unwrap(),
        |path| fs::remove_dir_all(sealed(path).join("state")).unwrap(),
        |path| fs::remove_file(sealed(path).join("state/version")).unwrap(),
        |path| fs::write(sealed(path).join("state/version"), "").unwrap(),
    ];
    for (position, stop) in stops.into_iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        stop(folder.path());
        let error = DiskStore::open(folder.path(), config(1)).unwrap_err();
        assert!(matches!(error, DiskError::Incomplete { .. }), "{position}: {error}");
        let genesis = Genesis::begin(folder.path(), config(1)).unwrap();
        genesis.finish(block(0)).unwrap().verify().unwrap();
        assert!(!folder.path().join("superblock.new").exists());
    }
}

/// Creates an empty unfinished store in a folder, and returns the folder.
fn sealed(path: &Path) -> &Path {
    drop(Genesis::begin(path, config(1)).unwrap());
    path
}

#[test]
fn a_duplicate_account_in_the_genesis_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let mut genesis = Genesis::begin(folder.path(), config(1)).unwrap();
    genesis.add(address(1), Allocation::default()).unwrap();
    let error = genesis.add(address(1), Allocation::default()).unwrap_err();
    assert!(matches!(error, DiskError::DuplicateAccount(found) if found == address(1)), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let mut genesis = Genesis::begin(folder.path(), config(1)).unwrap();
    genesis.add(address(1), Allocation { balance: word(1), ..Allocation::default() }).unwrap();
    // Enough further accounts that the first one is written to the file.
    for number in 0..60_000u64 {
        let other = Address::left_padding_from(&(number + 1000).to_be_bytes());
        genesis.add(other, Allocation::default()).unwrap();
    }
    let error = genesis.add(address(1), Allocation::default()).unwrap_err();
    assert!(matches!(error, DiskError::DuplicateAccount(found) if found == address(1)), "{error}");
    genesis.finish(block(0)).unwrap().verify().unwrap();
}

#[test]
fn a_store_is_not_created_in_a_folder_with_content() {
    let pair = StorePair::new(config(1));
    let path = pair.folder.path().to_owned();
    let begin = |path: &std::path::Path| Genesis::begin(path, config(1)).map(drop).unwrap_err();
    assert!(matches!(begin(&path), DiskError::InUse { .. }));
    let StorePair { folder, disk, .. } = pair;
    drop(disk);
    assert!(matches!(begin(&path), DiskError::AlreadyExists { .. }));
    drop(folder);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "content").unwrap();
    assert!(matches!(begin(folder.path()), DiskError::AlreadyExists { .. }));
    let missing = DiskStore::open(folder.path().join("nowhere"), config(1)).unwrap_err();
    assert!(matches!(missing, DiskError::NotFound { .. }), "{missing}");
}

#[test]
fn the_cache_answers_repeated_reads_and_respects_its_capacity() {
    use revm_database_interface::DatabaseRef;
    let pair = StorePair::new(DiskConfig { cache_bytes: 1 << 20, ..config(1) }).reopen();
    let read_all = || {
        for (address, allocation) in allocations() {
            pair.disk.basic_ref(address).unwrap();
            for key in allocation.storage.keys() {
                assert_ne!(pair.disk.storage_ref(address, *key).unwrap(), U256::ZERO);
            }
        }
    };
    let before = pair.disk.cache();
    read_all();
    let first = pair.disk.cache();
    assert!(first.misses > before.misses);
    read_all();
    let second = pair.disk.cache();
    assert_eq!(second.misses, first.misses);
    assert!(second.hits > first.hits && second.hit_rate() > first.hit_rate());
    for key in (0..20_000).map(word) {
        pair.disk.storage_ref(address(5), key).unwrap();
    }
    let full = pair.disk.cache();
    assert!(full.bytes <= full.capacity && full.capacity <= 1 << 20, "{full:?}");
}
