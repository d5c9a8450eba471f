//! Random histories: adding blocks, undoing blocks, and reopening the store, in any order.

use alloy_primitives::{B256, KECCAK256_EMPTY, U256};
use blockloom_state::{Account, Change, Changes, DiskError, Location};
use proptest::{collection::vec, prelude::*};

use super::pair::{Edit, StorePair, address, changes, config, word};

/// One event in the history of a store.
#[derive(Clone, Debug)]
enum Event {
    Block(Vec<Edit>),
    Revert(u8),
    Reopen,
}

/// A wrong statement about an account, before or after some changes.
#[derive(Clone, Copy, Debug)]
enum WrongStatement {
    Absent,
    Richer,
    NoCode,
    OtherCode,
    Removed,
    Kept,
}

fn wrong_statement() -> impl Strategy<Value = WrongStatement> {
    proptest::sample::select(vec![
        WrongStatement::Absent,
        WrongStatement::Richer,
        WrongStatement::NoCode,
        WrongStatement::OtherCode,
        WrongStatement::Removed,
        WrongStatement::Kept,
    ])
}

impl WrongStatement {
    fn apply(self, Change { before, after }: &mut Change<Option<Account>>) {
        let account = before.unwrap_or_default();
        match self {
            Self::Absent => *before = None,
            Self::Richer => *before = Some(Account { balance: account.balance + word(1), ..account }),
            Self::NoCode => *before = Some(Account { code_hash: KECCAK256_EMPTY, ..account }),
            Self::OtherCode => *before = Some(Account { code_hash: B256::repeat_byte(3), ..account }),
            Self::Removed => *after = None,
            Self::Kept => drop(after.get_or_insert_default()),
        }
    }
}

/// An edit of one of `accounts` accounts and `keys` slots. Of seven writes `clearing` clear a slot.
fn edit_among(accounts: u8, keys: u8, clearing: u32) -> impl Strategy<Value = Edit> {
    let (account, key) = (move || 0..accounts, move || 0..keys);
    prop_oneof![
        6 => (account(), 0u64..5).prop_map(|(account, wei)| Edit::Pay(account, wei)),
        2 => (account(), 0u8..5).prop_map(|(account, code)| Edit::Deploy(account, code)),
        3 * (7 - clearing) =>
            (account(), key(), 1u64..400).prop_map(|(account, key, value)| Edit::Write(account, key, value)),
        3 * clearing => (account(), key()).prop_map(|(account, key)| Edit::Write(account, key, 0)),
        4 => account().prop_map(Edit::Destroy),
        2 => account().prop_map(Edit::Recreate),
    ]
}

fn edit() -> impl Strategy<Value = Edit> {
    edit_among(48, 40, 2)
}

fn event(edit: impl Strategy<Value = Edit>, most: usize) -> impl Strategy<Value = Event> {
    prop_oneof![
        20 => vec(edit, 0..most).prop_map(Event::Block),
        2 => (1u8..12).prop_map(Event::Revert),
        1 => Just(Event::Reopen),
    ]
}

/// Applies the events to a store on disk and to one in memory, and compares them.
fn replay(events: Vec<Event>, blocks_per_write: u64) {
    let mut pair = StorePair::new(config(blocks_per_write));
    for event in events {
        match event {
            Event::Block(edits) => pair.add(&edits),
            Event::Revert(blocks) => pair.revert(usize::from(blocks).min(pair.history.len())),
            Event::Reopen => pair = pair.reopen(),
        }
    }
    pair.compare();
    pair.reopen().compare();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 200, ..ProptestConfig::default() })]

    /// About 225,000 edits in all.
    #[test]
    fn a_store_on_disk_equals_a_store_in_memory(
        events in vec(event(edit(), 120), 100..120), blocks_per_write in 1u64..20,
    ) {
        replay(events, blocks_per_write);
    }

    /// Few accounts and slots, so that whole storages are cleared, filled, pruned and restored.
    #[test]
    fn cleared_storages_are_restored(
        events in vec(event(edit_among(6, 5, 4), 4), 60..120), blocks_per_write in 1u64..20,
    ) {
        replay(events, blocks_per_write);
    }

    /// Where the trie proves the previous accounts, they are not read.
    #[test]
    fn wrong_previous_accounts_are_rejected_as_in_memory(
        first in vec(vec(edit(), 0..30), 0..4),
        edits in vec(edit(), 1..80),
        statements in vec((0u8..60, wrong_statement()), 0..4),
        is_streamed in any::<bool>(),
    ) {
        let mut pair = StorePair::new(config(1));
        first.iter().for_each(|edits| pair.add(edits));
        let mut changes = changes(&pair.memory, &edits);
        for (byte, statement) in statements {
            statement.apply(&mut changes.accounts.entry(address(byte)).or_default().account);
        }
        let mut memory = pair.memory.clone();
        let expected = memory.apply(&changes);
        let sent_changes = is_streamed.then(|| changes.clone());
        let ((), streamed) =
            pair.disk.stream_root(|stream| sent_changes.into_iter().for_each(|changes| stream.send(changes)));
        match (pair.disk.stage_streamed(&changes, streamed), expected) {
            (Ok(staged), Ok(_)) => {
                prop_assert_eq!(staged.root(), memory.root());
                pair.disk.commit(staged, super::pair::block(first.len() as u64 + 1)).unwrap();
                pair.history.push(std::mem::replace(&mut pair.memory, memory));
                pair.compare();
                pair.revert(pair.history.len());
                pair.compare();
            }
            (Err(DiskError::Mismatch(found)), Err(expected)) => prop_assert_eq!(*found, *expected),
            (staged, expected) => {
                let staged = staged.map(|staged| staged.root());
                prop_assert!(false, "{staged:?} on disk, {:?} in memory", expected.map(drop));
            }
        }
    }

    #[test]
    fn changes_streamed_step_by_step_lead_to_the_same_root(steps in vec(vec(edit(), 1..12), 1..20)) {
        let pair = StorePair::new(config(1));
        let mut memory = pair.memory.clone();
        let all = steps.concat();
        let (_, streamed) = pair.disk.stream_root(|stream| {
            for step in &steps {
                let changes = changes(&memory, step);
                memory.apply(&changes).unwrap();
                stream.send(changes);
            }
        });
        let changes = changes(&pair.memory, &all);
        let staged = pair.disk.stage_streamed(&changes, streamed).unwrap();
        prop_assert_eq!(staged.root(), memory.root());
        let mut pair = pair;
        pair.disk.commit(staged, super::pair::block(1)).unwrap();
        pair.memory = memory;
        pair.compare();
    }

    #[test]
    fn merged_changes_have_the_effect_of_their_steps(
        steps in vec(vec(edit(), 1..12), 1..20),
    ) {
        let mut pair = StorePair::new(config(1));
        let (before, mut all) = (pair.memory.clone(), Changes::default());
        for step in &steps {
            let changes = changes(&pair.memory, step);
            pair.memory.apply(&changes).unwrap();
            all.add_later(&changes);
            let staged = pair.disk.stage(&all).unwrap();
            prop_assert_eq!(staged.root(), pair.memory.root());
        }
        let mut at_once = before;
        at_once.apply(&all).unwrap();
        prop_assert_eq!(at_once.first_difference(&pair.memory), None);
        pair.disk.commit(pair.disk.stage(&all).unwrap(), super::pair::block(1)).unwrap();
        pair.compare();
    }

    /// The streamed changes belong to another block than the staged one.
    #[test]
    fn wrong_streamed_changes_do_not_affect_the_root(
        wrong_edits in vec(edit(), 0..40), edits in vec(edit(), 0..40),
    ) {
        let mut pair = StorePair::new(config(1));
        let ((), streamed) = pair.disk.stream_root(|stream| stream.send(changes(&pair.memory, &wrong_edits)));
        let changes = changes(&pair.memory, &edits);
        let staged = pair.disk.stage_streamed(&changes, streamed).unwrap();
        pair.memory.apply(&changes).unwrap();
        prop_assert_eq!(staged.root(), pair.memory.root());
        pair.disk.commit(staged, super::pair::block(1)).unwrap();
        pair.compare();
    }
}

#[test]
fn wrong_previous_values_in_streamed_changes_do_not_affect_the_root() {
    let mut pair = StorePair::new(config(1));
    pair.add(&(0..40).map(|key| Edit::Write(2, key, 5)).collect::<Vec<_>>());
    for key in 40..=255u8 {
        let truth = changes(&pair.memory, &[Edit::Write(2, key, 7)]);
        let mut wrong = truth.clone();
        let slots = &mut wrong.accounts.get_mut(&address(2)).unwrap().slots;
        slots.get_mut(&word(key.into())).unwrap().before = word(5);
        let ((), streamed) = pair.disk.stream_root(|stream| stream.send(wrong));
        let root = pair.disk.stage_streamed(&truth, streamed).unwrap().root();
        assert_eq!(root, pair.disk.stage(&truth).unwrap().root(), "key {key}");
    }
}

#[test]
fn a_wrong_previous_slot_value_is_rejected() {
    let mut pair = StorePair::new(config(1));
    pair.add(&(0..40).map(|key| Edit::Write(2, key, 5)).collect::<Vec<_>>());
    for (key, after) in (0..80u8).flat_map(|key| [0, 9].map(|after| (key, after))) {
        let others = [Edit::Write(2, key / 2 + 90, 1), Edit::Write(3, 1, 4)];
        let edits = [Edit::Write(2, key, after)].into_iter().chain(others).collect::<Vec<_>>();
        let truth = changes(&pair.memory, &edits);
        let Some(slot) = truth.accounts[&address(2)].slots.get(&word(key.into())) else { continue };
        for claim in [U256::ZERO, word(5), word(9), word(300), U256::MAX] {
            let mut wrong = truth.clone();
            let slots = &mut wrong.accounts.get_mut(&address(2)).unwrap().slots;
            slots.get_mut(&word(key.into())).unwrap().before = claim;
            match pair.disk.stage(&wrong) {
                Ok(staged) => {
                    assert_eq!(claim, slot.before, "key {key}");
                    assert_eq!(staged.root(), pair.disk.stage(&truth).unwrap().root());
                }
                Err(DiskError::Mismatch(mismatch)) => {
                    assert_ne!(claim, slot.before, "key {key}");
                    assert_eq!(mismatch.location, Location::Slot(address(2), word(key.into())));
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}
