//! Random histories: blocks, undone blocks, closed and opened stores, in any order.

use alloy_primitives::U256;
use blockloom_state::{Changes, DiskError, Location};
use proptest::{collection::vec, prelude::*};

use crate::blocks::{Deed, Twins, address, changes, config, word};

/// One thing that happens to a store.
#[derive(Clone, Debug)]
enum Event {
    Block(Vec<Deed>),
    Revert(u8),
    Reopen,
}

fn deed() -> impl Strategy<Value = Deed> {
    let who = 0u8..48;
    let key = || 0u8..40;
    prop_oneof![
        3 => (who.clone(), 0u64..5).prop_map(|(who, wei)| Deed::Pay(who, wei)),
        1 => (who.clone(), 0u8..5).prop_map(|(who, code)| Deed::Deploy(who, code)),
        8 => (who.clone(), key(), 1u64..400).prop_map(|(who, key, value)| Deed::Write(who, key, value)),
        4 => (who.clone(), key()).prop_map(|(who, key)| Deed::Write(who, key, 0)),
        2 => who.clone().prop_map(Deed::Destroy),
        1 => who.prop_map(Deed::Renew),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        20 => vec(deed(), 0..120).prop_map(Event::Block),
        2 => (1u8..12).prop_map(Event::Revert),
        1 => Just(Event::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 200, ..ProptestConfig::default() })]

    /// About 225,000 deeds in all.
    #[test]
    fn a_store_on_disk_holds_what_one_in_memory_holds(
        events in vec(event(), 100..120), blocks_per_write in 1u64..20,
    ) {
        let mut twins = Twins::new(config(blocks_per_write));
        for event in events {
            match event {
                Event::Block(deeds) => twins.add(&deeds),
                Event::Revert(blocks) => twins.revert(usize::from(blocks).min(twins.history.len())),
                Event::Reopen => twins = twins.reopen(),
            }
        }
        twins.compare();
        twins.reopen().compare();
    }

    #[test]
    fn what_was_fed_step_by_step_ends_in_the_same_root(steps in vec(vec(deed(), 1..12), 1..20)) {
        let twins = Twins::new(config(1));
        let mut memory = twins.memory.clone();
        let all = steps.concat();
        let (_, fed) = twins.disk.feeding(|feed| {
            for step in &steps {
                let changes = changes(&memory, step);
                memory.apply(&changes).unwrap();
                feed.tell(changes);
            }
        });
        let changes = changes(&twins.memory, &all);
        let staged = twins.disk.stage_fed(&changes, fed).unwrap();
        prop_assert_eq!(staged.root(), memory.root());
        let mut twins = twins;
        twins.disk.commit(staged, crate::blocks::block(1)).unwrap();
        twins.memory = memory;
        twins.compare();
    }

    #[test]
    fn changes_that_are_added_up_come_to_what_they_do_one_by_one(
        steps in vec(vec(deed(), 1..12), 1..20),
    ) {
        let mut twins = Twins::new(config(1));
        let (before, mut all) = (twins.memory.clone(), Changes::default());
        for step in &steps {
            let changes = changes(&twins.memory, step);
            twins.memory.apply(&changes).unwrap();
            all.add_later(&changes);
            let staged = twins.disk.stage(&all).unwrap();
            prop_assert_eq!(staged.root(), twins.memory.root());
        }
        let mut at_once = before;
        at_once.apply(&all).unwrap();
        prop_assert_eq!(at_once.first_difference(&twins.memory), None);
        twins.disk.commit(twins.disk.stage(&all).unwrap(), crate::blocks::block(1)).unwrap();
        twins.compare();
    }

    /// Whoever feeds lies: it told of another block than the one that is staged.
    #[test]
    fn what_was_fed_wrongly_does_no_harm(lies in vec(deed(), 0..40), deeds in vec(deed(), 0..40)) {
        let mut twins = Twins::new(config(1));
        let ((), fed) = twins.disk.feeding(|feed| feed.tell(changes(&twins.memory, &lies)));
        let changes = changes(&twins.memory, &deeds);
        let staged = twins.disk.stage_fed(&changes, fed).unwrap();
        twins.memory.apply(&changes).unwrap();
        prop_assert_eq!(staged.root(), twins.memory.root());
        twins.disk.commit(staged, crate::blocks::block(1)).unwrap();
        twins.compare();
    }
}

#[test]
fn whoever_lies_about_what_stood_there_misleads_nobody() {
    let mut twins = Twins::new(config(1));
    twins.add(&(0..40).map(|key| Deed::Write(2, key, 5)).collect::<Vec<_>>());
    for key in 40..=255u8 {
        let truth = changes(&twins.memory, &[Deed::Write(2, key, 7)]);
        let mut lie = truth.clone();
        let slots = &mut lie.accounts.get_mut(&address(2)).unwrap().slots;
        slots.get_mut(&word(key.into())).unwrap().before = word(5);
        let ((), fed) = twins.disk.feeding(|feed| feed.tell(lie));
        let root = twins.disk.stage_fed(&truth, fed).unwrap().root();
        assert_eq!(root, twins.disk.stage(&truth).unwrap().root(), "key {key}");
    }
}

#[test]
fn whoever_claims_that_a_slot_held_something_else_is_refused() {
    let mut twins = Twins::new(config(1));
    twins.add(&(0..40).map(|key| Deed::Write(2, key, 5)).collect::<Vec<_>>());
    for (key, after) in (0..80u8).flat_map(|key| [0, 9].map(|after| (key, after))) {
        let others = [Deed::Write(2, key / 2 + 90, 1), Deed::Write(3, 1, 4)];
        let deeds = [Deed::Write(2, key, after)].into_iter().chain(others).collect::<Vec<_>>();
        let truth = changes(&twins.memory, &deeds);
        let Some(slot) = truth.accounts[&address(2)].slots.get(&word(key.into())) else { continue };
        for claim in [U256::ZERO, word(5), word(9), word(300), U256::MAX] {
            let mut lie = truth.clone();
            let slots = &mut lie.accounts.get_mut(&address(2)).unwrap().slots;
            slots.get_mut(&word(key.into())).unwrap().before = claim;
            match twins.disk.stage(&lie) {
                Ok(staged) => {
                    assert_eq!(claim, slot.before, "key {key}");
                    assert_eq!(staged.root(), twins.disk.stage(&truth).unwrap().root());
                }
                Err(DiskError::Misfit(mismatch)) => {
                    assert_ne!(claim, slot.before, "key {key}");
                    assert_eq!(mismatch.location, Location::Slot(address(2), word(key.into())));
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}
