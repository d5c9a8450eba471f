//! Undoing blocks: as many as are kept, and another branch in their place.

use alloy_primitives::KECCAK256_EMPTY;
use blockloom_state::{Changes, DiskConfig, DiskError, DiskStore};
use revm_database_interface::DatabaseRef;

use crate::blocks::{Deed, Twins, address, block, changes, config};

/// Blocks that do something of everything, another for each number.
fn deeds(number: u64) -> Vec<Deed> {
    let byte = |factor: u64| u8::try_from(number * factor % 48).unwrap();
    vec![
        Deed::Pay(byte(5), number),
        Deed::Write(byte(7), byte(3) % 40, number + 1),
        Deed::Write(byte(7), byte(11) % 40, 0),
        Deed::Deploy(byte(13), byte(1)),
        if number.is_multiple_of(3) { Deed::Destroy(byte(17)) } else { Deed::Renew(byte(19)) },
        Deed::Write(byte(19), 1, number),
    ]
}

#[test]
fn every_number_of_blocks_up_to_those_that_are_kept_can_be_undone() {
    let mut twins = Twins::new(config(8));
    (1..=300).for_each(|number| twins.add(&deeds(number)));
    assert_eq!(twins.disk.undoable().unwrap(), 256);
    for blocks in [1, 2, 3, 7, 31, 100, 111] {
        twins.revert(blocks);
    }
    twins.compare();
    assert_eq!(twins.disk.undoable().unwrap(), 1);
    twins.revert(1);
    twins.compare();
    twins.reopen().compare();
}

#[test]
fn all_blocks_that_are_kept_can_be_undone_at_once_and_no_more() {
    let mut twins = Twins::new(config(1));
    (1..=270).for_each(|number| twins.add(&deeds(number)));
    let error = twins.disk.revert_to(270 - 257).unwrap_err();
    assert!(matches!(error, DiskError::TooFarBack { to: 13, head: 270, kept: 256 }), "{error}");
    twins.compare();
    twins.revert(256);
    twins.compare();
}

#[test]
fn another_branch_ends_where_it_ends_without_the_first_one() {
    for undone in [1, 5, 64, 256] {
        let mut both = Twins::new(config(4));
        let mut second = Twins::new(config(4));
        for number in 1..=10 {
            [&mut both, &mut second].into_iter().for_each(|twins| twins.add(&deeds(number)));
        }
        (1..=undone).for_each(|number| both.add(&deeds(number * 31 + 5)));
        both.revert(usize::try_from(undone).unwrap());
        for number in 1..=40 {
            [&mut both, &mut second].into_iter().for_each(|twins| twins.add(&deeds(number * 7 + 3)));
        }
        assert_eq!(both.disk.head(), second.disk.head());
        both.compare();
        let [mut both, second] = [both, second].map(|twins| twins.disk.verify().unwrap());
        // Codes are found by their content only, and stay.
        both.codes = second.codes;
        assert_eq!(both, second);
    }
}

#[test]
fn what_nobody_can_reach_any_more_is_taken_away() {
    let few = DiskConfig { undo_blocks: 3, ..config(1) };
    let mut twins = Twins::new(few);
    let slots: Vec<_> = (0..40).map(|key| Deed::Write(6, key, 5)).collect();
    twins.add(&slots);
    twins.add(&[Deed::Destroy(6)]);
    let full = twins.disk.kept().unwrap();
    (0..10).for_each(|wei| twins.add(&[Deed::Pay(1, wei)]));
    // Forty slots and what led to them are gone, and so are all blocks but the last ones.
    let kept = twins.disk.kept().unwrap();
    assert!(kept < full - 40, "{kept} of {full}");
    assert_eq!(twins.disk.undoable().unwrap(), 3);
    twins.compare();
}

#[test]
fn after_undoing_blocks_the_next_one_can_name_its_ancestors() {
    let mut twins = Twins::new(config(50));
    (1..=600).for_each(|wei| twins.add(&[Deed::Pay(1, wei)]));
    twins.revert(200);
    let head = twins.disk.head().number;
    for number in head - 255..=head {
        assert_eq!(twins.disk.block_hash_ref(number).unwrap(), block(number).hash, "{number} of {head}");
    }
}

#[test]
fn all_blocks_can_be_undone_if_somebody_wants_that() {
    let mut twins = Twins::new(DiskConfig { undo_blocks: u64::MAX, ..config(16) });
    (1..=300).for_each(|wei| twins.add(&[Deed::Pay(1, wei)]));
    twins.revert(300);
    twins.compare();
}

#[test]
fn only_blocks_that_are_there_can_be_gone_back_to() {
    let mut twins = Twins::new(config(10));
    twins.add(&[Deed::Pay(1, 4)]);
    let error = twins.disk.revert_to(2).unwrap_err();
    assert!(matches!(error, DiskError::OutOfOrder { number: 2, head: 1 }), "{error}");
    // Going back to the last block writes it.
    twins.disk.revert_to(1).unwrap();
    let Twins { folder, disk, .. } = twins;
    drop(disk);
    assert_eq!(DiskStore::open(folder.path(), config(10)).unwrap().head().number, 1);
}

#[test]
fn what_was_staged_before_a_branch_was_undone_is_refused_after_it() {
    for undo_blocks in [2, 256] {
        let mut twins = Twins::new(DiskConfig { undo_blocks, ..config(1) });
        (1..=5).for_each(|wei| twins.add(&[Deed::Pay(1, wei)]));
        let staged = twins.disk.stage(&changes(&twins.memory, &[Deed::Write(7, 1, 5)])).unwrap();
        twins.add(&[Deed::Write(7, 1, 9)]);
        twins.revert(1);
        let error = twins.disk.commit(staged, block(6)).unwrap_err();
        assert!(matches!(error, DiskError::StagedElsewhere { number: 6 }), "{error}");
        twins.compare();
    }
}

#[test]
fn whoever_keeps_fewer_blocks_than_before_loses_no_storage_that_can_be_gone_back_to() {
    let mut twins = Twins::new(DiskConfig { undo_blocks: 100_000, ..config(500) });
    twins.add(&[Deed::Write(6, 9, 5)]);
    (2..=4500).for_each(|number| add_nothing(&mut twins.disk, number));
    let (head, memory) = (twins.disk.head().clone(), twins.memory.clone());
    let destroyed = twins.disk.stage(&changes(&twins.memory, &[Deed::Destroy(6)])).unwrap();
    twins.disk.commit(destroyed, block(4501)).unwrap();
    (4502..=4900).for_each(|number| add_nothing(&mut twins.disk, number));
    twins.disk.flush().unwrap();
    let Twins { folder, disk, .. } = twins;
    drop(disk);
    let config = config(1);
    let mut disk = DiskStore::open(folder.path(), config).unwrap();
    add_nothing(&mut disk, 4901);
    disk.revert_to(4500).unwrap();
    assert_eq!(*disk.head(), head);
    Twins { folder, config, disk, memory, history: Vec::new() }.compare();
}

fn add_nothing(disk: &mut DiskStore, number: u64) {
    let staged = disk.stage(&Changes::default()).unwrap();
    disk.commit(staged, block(number)).unwrap();
}

#[test]
fn a_storage_that_was_emptied_and_then_forgotten_comes_back() {
    for blocks in [&[2][..], &[1, 1]] {
        let mut twins = Twins::new(config(1));
        twins.add(&[Deed::Write(1, 0, 0)]);
        twins.add(&[Deed::Pay(1, 5)]);
        for blocks in blocks {
            twins.revert(*blocks);
            twins.compare();
        }
    }
}

#[test]
fn a_storage_that_was_emptied_together_with_the_code_comes_back() {
    let mut twins = Twins::new(config(1));
    let emptied: Vec<_> = (0..4).map(|key| Deed::Write(4, key, 0)).collect();
    let mut undelegated = changes(&twins.memory, &emptied);
    let change = undelegated.accounts.get_mut(&address(4)).unwrap();
    change.account.after.as_mut().unwrap().code_hash = KECCAK256_EMPTY;
    let staged = twins.disk.stage(&undelegated).unwrap();
    twins.history.push(twins.memory.clone());
    twins.memory.apply(&undelegated).unwrap();
    assert_eq!(staged.root(), twins.memory.root());
    twins.disk.commit(staged, block(1)).unwrap();
    twins.add(&[Deed::Pay(4, 5)]);
    twins.revert(2);
    twins.compare();
}
