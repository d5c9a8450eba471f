//! What readers find among the versions of an account, a balance and a slot.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::record::effect::BalanceEffect;

const FIRST: Incarnation = Incarnation::FIRST;

fn at(index: usize) -> AccessIndex {
    TxIndex::new(index).into()
}

fn word(value: u64) -> U256 {
    U256::from(value)
}

fn slot() -> SlotVersions {
    SlotVersions { base: Some(word(7)), ..SlotVersions::default() }
}

fn read(versions: &mut SlotVersions, reader: usize) -> Option<U256> {
    value(versions.read(TxIndex::new(reader), None, || AccessIndex::OPENING))
}

fn value(found: SlotLookup) -> Option<U256> {
    match found {
        SlotLookup::Value(value, _) => Some(value),
        SlotLookup::Predicted(_) | SlotLookup::ReadBase | SlotLookup::ReadBaseAgain => None,
    }
}

fn publish(versions: &mut SlotVersions, writer: usize, incarnation: Incarnation, value: u64) -> Vec<usize> {
    let mut stale = Vec::new();
    versions.publish(at(writer), incarnation, word(value), &mut stale);
    stale.into_iter().map(TxIndex::get).collect()
}

#[test]
fn a_reader_sees_the_newest_version_before_it() {
    let mut versions = slot();
    publish(&mut versions, 4, FIRST, 40);
    publish(&mut versions, 2, FIRST, 20);
    for (reader, value) in [(0, 7), (2, 7), (3, 20), (4, 20), (5, 40), (9, 40)] {
        assert_eq!(read(&mut versions, reader), Some(word(value)), "reader {reader}");
    }
}

#[test]
fn a_reader_of_another_value_becomes_stale_and_a_reader_of_an_equal_value_does_not() {
    let mut versions = slot();
    for reader in 0..6 {
        read(&mut versions, reader);
    }
    assert_eq!(publish(&mut versions, 2, FIRST, 7), [0; 0], "an equal value breaks nothing");
    assert_eq!(publish(&mut versions, 3, FIRST, 8), [4, 5]);
    read(&mut versions, 4);
    assert_eq!(publish(&mut versions, 2, FIRST.next(), 9), [3], "transaction 4 saw the version of 3");
    assert_eq!(publish(&mut versions, 3, FIRST.next(), 8), [0; 0]);
}

#[test]
fn a_prediction_makes_readers_wait_until_it_is_fulfilled_or_withdrawn() {
    let mut versions = slot();
    publish(&mut versions, 2, FIRST, 20);
    versions.predict(at(2), FIRST.next());
    assert_eq!(read(&mut versions, 3), Some(word(20)), "another run is stale");
    versions.predict(at(2), FIRST);
    assert_eq!(
        versions.read(TxIndex::new(5), None, || AccessIndex::OPENING),
        SlotLookup::Predicted(TxIndex::new(2))
    );
    assert_eq!(publish(&mut versions, 2, FIRST.next(), 21), [3]);
    assert_eq!(read(&mut versions, 5), Some(word(21)));
    let mut stale = Vec::new();
    versions.withdraw(at(2), FIRST.next().next(), &mut stale);
    assert_eq!(stale, [TxIndex::new(5)]);
    assert_eq!(read(&mut versions, 5), Some(word(7)));
}

#[test]
fn a_new_life_hides_earlier_versions() {
    let mut versions = slot();
    publish(&mut versions, 2, FIRST, 20);
    let born = Some(at(3));
    assert_eq!(value(versions.read(TxIndex::new(4), born, || AccessIndex::OPENING)), Some(U256::ZERO));
    publish(&mut versions, 3, FIRST, 30);
    assert_eq!(value(versions.read(TxIndex::new(5), born, || AccessIndex::OPENING)), Some(word(30)));
}

#[test]
fn readers_below_the_frontier_are_removed_when_there_is_no_room() {
    let (mut slot, mut account) = (slot(), AccountVersions::new(None, None));
    let mut calls = [0; 2];
    for reader in 0..10_000usize {
        let frontier = at(reader.saturating_sub(8));
        let [of_slot, of_account] = calls.each_mut().map(|calls| {
            move || {
                *calls += 1;
                frontier
            }
        });
        slot.read(TxIndex::new(reader), None, of_slot);
        account.add_reader(TxIndex::new(reader), ExactRead::Nonce(0), of_account);
    }
    let capacities = [slot.readers.capacity(), account.published.as_ref().unwrap().readers.capacity()];
    assert!(capacities.iter().all(|capacity| *capacity < 64), "{capacities:?}");
    assert!(calls.iter().all(|calls| *calls < 5_000), "{calls:?}");

    // The others are still told that they are stale.
    let unfinished: Vec<_> = (9_991..10_000).map(TxIndex::new).collect();
    let (mut of_slot, mut of_account) = (Vec::new(), Vec::new());
    slot.publish(at(9_990), FIRST, word(8), &mut of_slot);
    let effect = AccountEffect { nonce: Some(1), ..gain(0) };
    account.publish(at(9_990), FIRST, effect, || at(9_990), &mut of_account);
    assert_eq!([of_slot, of_account], [unfinished.clone(), unfinished]);
}

fn gain(amount: u64) -> AccountEffect {
    AccountEffect {
        life_change: LifeChange::Continues,
        balance: BalanceEffect::Add(word(amount)),
        nonce: None,
        code: None,
    }
}

#[test]
fn additions_add_up_and_final_versions_are_removed() {
    let mut versions = AccountVersions::new(None, None);
    let balance = |versions: &AccountVersions, reader| {
        versions.before(at(reader)).0.map_or(U256::ZERO, |info| info.balance)
    };
    let count = |versions: &AccountVersions| versions.published.as_ref().unwrap().versions.len();
    for writer in 0..100 {
        let frontier = writer / 10 * 10;
        versions.publish(at(writer), FIRST, gain(1), || at(frontier), &mut Vec::new());
        for reader in frontier..writer + 2 {
            assert_eq!(balance(&versions, reader), word(reader as u64), "{reader} of {writer}");
        }
        assert!(count(&versions) <= FINAL_VERSIONS + 10, "after {writer}");
    }
    versions.withdraw(at(99), FIRST.next(), &mut Vec::new());
    assert_eq!(balance(&versions, 100), word(99));

    // They are removed when more of them are final, and not with each version.
    let mut versions = AccountVersions::new(None, None);
    let counts = [16, 17, 18].map(|writer| {
        (0..=writer).for_each(|writer| {
            versions.publish(at(writer), FIRST, gain(1), || at(writer), &mut Vec::new());
        });
        count(&versions)
    });
    assert_eq!(counts, [FINAL_VERSIONS + 1, 2, 3]);
}

#[test]
fn a_run_withdraws_its_version_of_an_earlier_run_and_no_other() {
    let (mut account, mut slot) = (AccountVersions::new(None, None), slot());
    let second = FIRST.next();
    for writer in [1, 3, 5] {
        account.publish(at(writer), second, gain(1), || at(0), &mut Vec::new());
        publish(&mut slot, writer, second, 10 * writer as u64);
    }
    for (incarnation, gains, value) in [(FIRST, 2, 30), (second, 2, 30), (second.next(), 1, 10)] {
        account.withdraw(at(3), incarnation, &mut Vec::new());
        slot.withdraw(at(3), incarnation, &mut Vec::new());
        for (reader, gains, value) in [(2, 1, 10), (4, gains, value), (6, gains + 1, 50)] {
            assert_eq!(account.before(at(reader)).0.unwrap().balance, word(gains), "{incarnation:?}");
            assert_eq!(read(&mut slot, reader), Some(word(value)), "{incarnation:?}");
        }
    }
    // There is no version of transaction 2.
    account.withdraw(at(2), second.next(), &mut Vec::new());
    slot.withdraw(at(2), second.next(), &mut Vec::new());
    assert_eq!(account.before(at(6)).0.unwrap().balance, word(2));
    assert_eq!(read(&mut slot, 6), Some(word(50)));
}

#[test]
fn only_the_readers_of_a_withdrawn_version_become_stale() {
    let mut versions = slot();
    [1, 3].iter().for_each(|writer| drop(publish(&mut versions, *writer, FIRST, 8)));
    assert_eq!([2, 4].map(|reader| read(&mut versions, reader)), [Some(word(8)); 2]);
    for (writer, reader) in [(3, 4), (1, 2)] {
        let mut stale = Vec::new();
        versions.withdraw(at(writer), FIRST.next(), &mut stale);
        assert_eq!(stale, [TxIndex::new(reader)]);
    }
}

#[test]
fn only_the_version_of_the_stale_run_becomes_a_prediction() {
    let mut versions = slot();
    [1, 3, 5].iter().for_each(|writer| drop(publish(&mut versions, *writer, FIRST, 8)));
    versions.predict(at(2), FIRST);
    versions.predict(at(3), FIRST);
    let is_predicted = |reader| read(&mut versions, reader).is_none();
    assert_eq!([2, 4, 6].map(is_predicted), [false, true, false]);
}

#[test]
fn a_reader_of_an_exact_balance_becomes_stale_when_it_changes() {
    let mut versions = AccountVersions::new(Some(AccountInfo::from_balance(word(5))), None);
    let publish = |versions: &mut AccountVersions, writer, amount| {
        let mut stale = Vec::new();
        versions.publish(at(writer), FIRST, gain(amount), || at(0), &mut stale);
        stale.into_iter().map(TxIndex::get).collect::<Vec<_>>()
    };
    for reader in [2, 4] {
        versions.add_reader(TxIndex::new(reader), ExactRead::Balance(word(5)), || at(0));
        versions.add_reader(TxIndex::new(reader), ExactRead::Nonce(0), || at(0));
    }
    assert_eq!(publish(&mut versions, 1, 0), [0; 0], "an equal balance breaks nothing");
    assert_eq!(publish(&mut versions, 3, 1), [4]);
    assert_eq!(publish(&mut versions, 1, 2), [2]);
}

#[test]
fn a_destroyed_account_is_absent_until_it_is_created_again() {
    let mut versions = AccountVersions::new(Some(AccountInfo::from_balance(word(5))), None);
    let stale = &mut Vec::new();
    versions.publish(
        at(1),
        FIRST,
        AccountEffect { life_change: LifeChange::Ends, ..gain(0) },
        || at(0),
        stale,
    );
    let reborn = AccountEffect { life_change: LifeChange::Begins, nonce: Some(1), ..gain(3) };
    versions.publish(at(3), FIRST, reborn, || at(0), stale);
    assert_eq!(versions.before(at(1)).0.unwrap().balance, word(5));
    assert_eq!(versions.before(at(2)), (None, Origin::Block));
    let reborn = versions.before(at(4)).0.unwrap();
    assert_eq!((reborn.balance, reborn.nonce), (word(3), 1));
    let lives = [1, 2, 3, 4].map(|reader| versions.life_before(at(reader)));
    assert_eq!(lives, [None, Some(at(1)), Some(at(1)), Some(at(3))]);
}

fn effect() -> impl Strategy<Value = AccountEffect> {
    let balance = prop_oneof![
        Just(BalanceEffect::Keep),
        (0..3u64).prop_map(|gain| BalanceEffect::Add(word(gain))),
        (0..3u64).prop_map(|loss| BalanceEffect::Subtract(word(loss))),
        (0..3u64).prop_map(|new| BalanceEffect::Set(word(new))),
    ];
    let life_change = prop_oneof![3 => Just(LifeChange::Continues), 1 => Just(LifeChange::Begins), 1 => Just(LifeChange::Ends)];
    (balance, prop::option::of(0..3u64), life_change)
        .prop_map(|(balance, nonce, life_change)| AccountEffect { life_change, balance, nonce, code: None })
}

proptest! {
    #[test]
    fn a_reader_of_an_account_sees_the_latest_effects_of_all_writers_before_it(
        runs in prop::collection::vec((0..6usize, prop::option::weighted(0.8, effect())), 0..24),
    ) {
        let base = Some(AccountInfo::from_balance(word(5)));
        let mut versions = AccountVersions::new(base.clone(), None);
        let (mut model, mut incarnation) = (BTreeMap::new(), FIRST);
        for (writer, effect) in runs {
            incarnation = incarnation.next();
            if let Some(effect) = effect {
                versions.publish(at(writer), incarnation, effect.clone(), || at(0), &mut Vec::new());
                model.insert(writer, effect);
            } else {
                versions.withdraw(at(writer), incarnation, &mut Vec::new());
                model.remove(&writer);
            }
            for reader in 0..8 {
                let mut seen = base.clone();
                model.range(..reader).for_each(|(_, effect)| effect.apply(&mut seen));
                prop_assert_eq!(versions.before(at(reader)).0, seen.as_ref(), "reader {}", reader);
            }
        }
    }
}
