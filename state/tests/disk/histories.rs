//! Random histories: blocks, undone blocks, closed and opened stores, in any order.

use alloy_primitives::{B256, KECCAK256_EMPTY, U256};
use blockloom_state::{Account, Change, Changes, DiskError, Location};
use proptest::{collection::vec, prelude::*};

use crate::blocks::{Deed, Twins, address, changes, config, word};

/// One thing that happens to a store.
#[derive(Clone, Debug)]
enum Event {
    Block(Vec<Deed>),
    Revert(u8),
    Reopen,
}

/// What is said wrongly of an account before some changes, or of what becomes of it.
#[derive(Clone, Copy, Debug)]
enum Lie {
    Absent,
    Richer,
    Plain,
    OtherCode,
    Ended,
    Kept,
}

fn lie() -> impl Strategy<Value = Lie> {
    proptest::sample::select(vec![
        Lie::Absent,
        Lie::Richer,
        Lie::Plain,
        Lie::OtherCode,
        Lie::Ended,
        Lie::Kept,
    ])
}

impl Lie {
    fn tell(self, Change { before, after }: &mut Change<Option<Account>>) {
        let account = before.unwrap_or_default();
        match self {
            Self::Absent => *before = None,
            Self::Richer => *before = Some(Account { balance: account.balance + word(1), ..account }),
            Self::Plain => *before = Some(Account { code_hash: KECCAK256_EMPTY, ..account }),
            Self::OtherCode => *before = Some(Account { code_hash: B256::repeat_byte(3), ..account }),
            Self::Ended => *after = None,
            Self::Kept => drop(after.get_or_insert_default()),
        }
    }
}

/// What happens to some of so many accounts and slots; of seven writes so many empty a slot.
fn deed_among(people: u8, keys: u8, emptying: u32) -> impl Strategy<Value = Deed> {
    let (who, key) = (move || 0..people, move || 0..keys);
    prop_oneof![
        6 => (who(), 0u64..5).prop_map(|(who, wei)| Deed::Pay(who, wei)),
        2 => (who(), 0u8..5).prop_map(|(who, code)| Deed::Deploy(who, code)),
        3 * (7 - emptying) =>
            (who(), key(), 1u64..400).prop_map(|(who, key, value)| Deed::Write(who, key, value)),
        3 * emptying => (who(), key()).prop_map(|(who, key)| Deed::Write(who, key, 0)),
        4 => who().prop_map(Deed::Destroy),
        2 => who().prop_map(Deed::Renew),
    ]
}

fn deed() -> impl Strategy<Value = Deed> {
    deed_among(48, 40, 2)
}

fn event(deed: impl Strategy<Value = Deed>, most: usize) -> impl Strategy<Value = Event> {
    prop_oneof![
        20 => vec(deed, 0..most).prop_map(Event::Block),
        2 => (1u8..12).prop_map(Event::Revert),
        1 => Just(Event::Reopen),
    ]
}

/// Lets events happen to a store on disk and to one in memory.
fn live_through(events: Vec<Event>, blocks_per_write: u64) {
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 200, ..ProptestConfig::default() })]

    /// About 225,000 deeds in all.
    #[test]
    fn a_store_on_disk_holds_what_one_in_memory_holds(
        events in vec(event(deed(), 120), 100..120), blocks_per_write in 1u64..20,
    ) {
        live_through(events, blocks_per_write);
    }

    /// So few accounts and slots that whole storages are emptied, filled, forgotten and come back.
    #[test]
    fn storages_that_are_emptied_come_back(
        events in vec(event(deed_among(6, 5, 4), 4), 60..120), blocks_per_write in 1u64..20,
    ) {
        live_through(events, blocks_per_write);
    }

    /// What changes say of the accounts before them is not read where the trie vouches for it.
    #[test]
    fn lies_about_accounts_are_refused_as_in_memory(
        first in vec(vec(deed(), 0..30), 0..4),
        deeds in vec(deed(), 1..80),
        lies in vec((0u8..60, lie()), 0..4),
        is_fed in any::<bool>(),
    ) {
        let mut twins = Twins::new(config(1));
        first.iter().for_each(|deeds| twins.add(deeds));
        let mut changes = changes(&twins.memory, &deeds);
        for (who, lie) in lies {
            lie.tell(&mut changes.accounts.entry(address(who)).or_default().account);
        }
        let mut memory = twins.memory.clone();
        let expected = memory.apply(&changes);
        let told = is_fed.then(|| changes.clone());
        let ((), fed) = twins.disk.feeding(|feed| told.into_iter().for_each(|changes| feed.tell(changes)));
        match (twins.disk.stage_fed(&changes, fed), expected) {
            (Ok(staged), Ok(_)) => {
                prop_assert_eq!(staged.root(), memory.root());
                twins.disk.commit(staged, crate::blocks::block(first.len() as u64 + 1)).unwrap();
                twins.history.push(std::mem::replace(&mut twins.memory, memory));
                twins.compare();
                twins.revert(twins.history.len());
                twins.compare();
            }
            (Err(DiskError::Misfit(found)), Err(expected)) => prop_assert_eq!(*found, *expected),
            (staged, expected) => {
                let staged = staged.map(|staged| staged.root());
                prop_assert!(false, "{staged:?} on disk, {:?} in memory", expected.map(drop));
            }
        }
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
