//! Undoing blocks: as many as are kept, and another branch in their place.

use blockloom_state::{DiskConfig, DiskError};

use crate::blocks::{Deed, Twins, config};

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
    assert_eq!(twins.disk.undoable(), 256);
    for blocks in [1, 2, 3, 7, 31, 100, 111] {
        twins.revert(blocks);
    }
    twins.compare();
    assert_eq!(twins.disk.undoable(), 1);
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
    let full = twins.disk.kept();
    (0..10).for_each(|wei| twins.add(&[Deed::Pay(1, wei)]));
    // Forty slots and what led to them are gone, and so are all blocks but the last ones.
    assert!(twins.disk.kept() < full - 40, "{} of {full}", twins.disk.kept());
    assert_eq!(twins.disk.undoable(), 3);
    twins.compare();
}
