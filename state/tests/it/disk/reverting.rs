//! Undoing blocks, up to the kept number, and adding another branch.

use alloy_primitives::KECCAK256_EMPTY;
use blockloom_state::{Changes, DiskConfig, DiskError, DiskStore};
use revm_database_interface::DatabaseRef;

use super::pair::{Edit, StorePair, address, block, changes, config};

/// A block with edits of all kinds, different for each number.
fn edits(number: u64) -> Vec<Edit> {
    let byte = |factor: u64| u8::try_from(number * factor % 48).unwrap();
    vec![
        Edit::Pay(byte(5), number),
        Edit::Write(byte(7), byte(3) % 40, number + 1),
        Edit::Write(byte(7), byte(11) % 40, 0),
        Edit::Deploy(byte(13), byte(1)),
        if number.is_multiple_of(3) { Edit::Destroy(byte(17)) } else { Edit::Recreate(byte(19)) },
        Edit::Write(byte(19), 1, number),
    ]
}

#[test]
fn any_number_of_kept_blocks_can_be_undone() {
    let mut pair = StorePair::new(config(8));
    (1..=300).for_each(|number| pair.add(&edits(number)));
    assert_eq!(pair.disk.undoable().unwrap(), 256);
    for blocks in [1, 2, 3, 7, 31, 100, 111] {
        pair.revert(blocks);
    }
    pair.compare();
    assert_eq!(pair.disk.undoable().unwrap(), 1);
    pair.revert(1);
    pair.compare();
    pair.reopen().compare();
}

#[test]
fn all_kept_blocks_can_be_undone_at_once_and_no_more() {
    let mut pair = StorePair::new(config(1));
    (1..=270).for_each(|number| pair.add(&edits(number)));
    let error = pair.disk.revert_to(270 - 257).unwrap_err();
    assert!(matches!(error, DiskError::TooFarBack { to: 13, head: 270, kept: 256 }), "{error}");
    pair.compare();
    pair.revert(256);
    pair.compare();
}

#[test]
fn an_undone_branch_does_not_affect_the_next_branch() {
    for undone in [1, 5, 64, 256] {
        let mut both = StorePair::new(config(4));
        let mut second = StorePair::new(config(4));
        for number in 1..=10 {
            [&mut both, &mut second].into_iter().for_each(|pair| pair.add(&edits(number)));
        }
        (1..=undone).for_each(|number| both.add(&edits(number * 31 + 5)));
        both.revert(usize::try_from(undone).unwrap());
        for number in 1..=40 {
            [&mut both, &mut second].into_iter().for_each(|pair| pair.add(&edits(number * 7 + 3)));
        }
        assert_eq!(both.disk.head(), second.disk.head());
        both.compare();
        let [mut both, second] = [both, second].map(|pair| pair.disk.verify().unwrap());
        // Codes are stored by their hash, and remain.
        both.codes = second.codes;
        assert_eq!(both, second);
    }
}

#[test]
fn unreachable_data_is_pruned() {
    let few = DiskConfig { undo_blocks: 3, kept_blocks: Some(3), ..config(1) };
    let mut pair = StorePair::new(few);
    let slots: Vec<_> = (0..40).map(|key| Edit::Write(6, key, 5)).collect();
    pair.add(&slots);
    pair.add(&[Edit::Destroy(6)]);
    let full = pair.disk.entry_count().unwrap();
    (0..10).for_each(|wei| pair.add(&[Edit::Pay(1, wei)]));
    // The forty slots, their trie nodes, and all blocks but the last three are pruned.
    let kept = pair.disk.entry_count().unwrap();
    assert!(kept < full - 40, "{kept} of {full}");
    assert_eq!(pair.disk.undoable().unwrap(), 3);
    pair.compare();
}

#[test]
fn the_hashes_of_the_ancestors_are_known_after_undoing_blocks() {
    let mut pair = StorePair::new(config(50));
    (1..=600).for_each(|wei| pair.add(&[Edit::Pay(1, wei)]));
    pair.revert(200);
    let head = pair.disk.head().number;
    for number in head - 255..=head {
        assert_eq!(pair.disk.block_hash_ref(number).unwrap(), block(number).hash, "{number} of {head}");
    }
}

#[test]
fn all_blocks_can_be_undone_if_all_are_kept() {
    let mut pair = StorePair::new(DiskConfig { undo_blocks: u64::MAX, ..config(16) });
    (1..=300).for_each(|wei| pair.add(&[Edit::Pay(1, wei)]));
    pair.revert(300);
    pair.compare();
}

#[test]
fn reverting_to_a_missing_block_is_an_error() {
    let mut pair = StorePair::new(config(10));
    pair.add(&[Edit::Pay(1, 4)]);
    let error = pair.disk.revert_to(2).unwrap_err();
    assert!(matches!(error, DiskError::OutOfOrder { number: 2, head: 1 }), "{error}");
    // Reverting to the head writes it.
    pair.disk.revert_to(1).unwrap();
    let StorePair { folder, disk, .. } = pair;
    drop(disk);
    assert_eq!(DiskStore::open(folder.path(), config(10)).unwrap().head().number, 1);
}

#[test]
fn changes_staged_before_a_branch_was_undone_are_rejected_afterwards() {
    for undo_blocks in [2, 256] {
        let mut pair = StorePair::new(DiskConfig { undo_blocks, ..config(1) });
        (1..=5).for_each(|wei| pair.add(&[Edit::Pay(1, wei)]));
        let staged = pair.disk.stage(&changes(&pair.memory, &[Edit::Write(7, 1, 5)])).unwrap();
        pair.add(&[Edit::Write(7, 1, 9)]);
        pair.revert(1);
        let error = pair.disk.commit(staged, block(6)).unwrap_err();
        assert!(matches!(error, DiskError::StagedOnOtherState { number: 6 }), "{error}");
        pair.compare();
    }
}

#[test]
fn with_fewer_kept_blocks_than_before_the_reachable_storage_is_intact() {
    let mut pair = StorePair::new(DiskConfig { undo_blocks: 100_000, ..config(500) });
    pair.add(&[Edit::Write(6, 9, 5)]);
    (2..=4500).for_each(|number| add_nothing(&mut pair.disk, number));
    let (head, memory) = (pair.disk.head(), pair.memory.clone());
    let destroyed = pair.disk.stage(&changes(&pair.memory, &[Edit::Destroy(6)])).unwrap();
    pair.disk.commit(destroyed, block(4501)).unwrap();
    (4502..=4900).for_each(|number| add_nothing(&mut pair.disk, number));
    pair.disk.flush().unwrap();
    let StorePair { folder, disk, .. } = pair;
    drop(disk);
    let config = config(1);
    let mut disk = DiskStore::open(folder.path(), config).unwrap();
    add_nothing(&mut disk, 4901);
    disk.revert_to(4500).unwrap();
    assert_eq!(disk.head(), head);
    StorePair { folder, config, disk, memory, history: Vec::new() }.compare();
}

fn add_nothing(disk: &mut DiskStore, number: u64) {
    let staged = disk.stage(&Changes::default()).unwrap();
    disk.commit(staged, block(number)).unwrap();
}

#[test]
fn a_cleared_and_pruned_storage_is_restored() {
    for blocks in [&[2][..], &[1, 1]] {
        let mut pair = StorePair::new(config(1));
        pair.add(&[Edit::Write(1, 0, 0)]);
        pair.add(&[Edit::Pay(1, 5)]);
        for blocks in blocks {
            pair.revert(*blocks);
            pair.compare();
        }
    }
}

#[test]
fn a_storage_that_was_cleared_together_with_the_code_is_restored() {
    let mut pair = StorePair::new(config(1));
    let emptied: Vec<_> = (0..4).map(|key| Edit::Write(4, key, 0)).collect();
    let mut undelegated = changes(&pair.memory, &emptied);
    let change = undelegated.accounts.get_mut(&address(4)).unwrap();
    change.account.after.as_mut().unwrap().code_hash = KECCAK256_EMPTY;
    let staged = pair.disk.stage(&undelegated).unwrap();
    pair.history.push(pair.memory.clone());
    pair.memory.apply(&undelegated).unwrap();
    assert_eq!(staged.root(), pair.memory.root());
    pair.disk.commit(staged, block(1)).unwrap();
    pair.add(&[Edit::Pay(4, 5)]);
    pair.revert(2);
    pair.compare();
}
