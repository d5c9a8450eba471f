//! A state that keeps its tries has the root of the state computed from scratch.

use std::collections::BTreeMap;

use alloy_primitives::{Address, U256};
use proptest::{collection::vec, prelude::*};

use super::properties::{PlannedChange, changes, planned_changes, store};
use crate::{
    model::{account::Account, allocation::Allocation, changes::Life},
    stores::{memory::MemoryStore, rooted::RootedStore},
};

/// A step on the way through the states.
#[derive(Clone, Debug)]
enum Step {
    /// Changes are applied.
    Forward(BTreeMap<Address, PlannedChange>),
    /// The last changes are reverted, if there are any.
    Back,
    /// The roots are compared.
    Compare,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => planned_changes().prop_map(Step::Forward),
        2 => Just(Step::Back),
        2 => Just(Step::Compare),
    ];
    vec(step, 1..24)
}

fn walk(before: MemoryStore, steps: Vec<Step>) {
    let mut state = RootedStore::new(before);
    let mut undo = Vec::new();
    for step in steps.into_iter().chain([Step::Compare]) {
        match step {
            Step::Forward(planned) => {
                let changes = changes(state.store(), planned);
                undo.push(state.apply(&changes).unwrap());
            }
            Step::Back => {
                undo.pop().into_iter().for_each(|changes| drop(state.apply(&changes).unwrap()));
            }
            Step::Compare => assert_eq!(state.root(), state.store().root()),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_kept_root_is_that_from_scratch_through_changes_and_their_inverses(
        before in store(),
        steps in steps(),
    ) {
        walk(before, steps);
    }
}

/// A change of every account with an index that `step` divides: the slots below `slots` get new values, or zero.
fn wide_change(step: usize, slots: u64, seed: u64, life: Life) -> Step {
    let account = |index: u64| Account { balance: U256::from(index + seed), nonce: seed, ..Account::EMPTY };
    let slots =
        |index: u64| (0..slots).map(move |key| (U256::from(key), U256::from((key + index + seed) % 3)));
    let planned = (0..ACCOUNTS).step_by(step).map(|index| {
        let after = (index % 7 != seed % 7).then(|| account(index));
        (address(index), (after, life, slots(index).collect()))
    });
    Step::Forward(planned.collect())
}

const ACCOUNTS: u64 = 300;

fn address(index: u64) -> Address {
    Address::left_padding_from(&(index * 0x0101_0101).to_be_bytes())
}

#[test]
fn wide_changes_that_are_shared_among_threads_have_the_root_from_scratch() {
    let contract = Allocation {
        storage: (0..200).map(|key| (U256::from(key), U256::from(key + 1))).collect(),
        ..Allocation::default()
    };
    let before = MemoryStore::from_genesis((0..ACCOUNTS / 2).map(|index| (address(index), contract.clone())));
    let forwards = [
        wide_change(1, 3, 1, Life::Same),
        wide_change(100, 150, 2, Life::Same),
        wide_change(3, 90, 3, Life::New),
        wide_change(2, 5, 4, Life::Same),
    ];
    let ways = forwards.into_iter().flat_map(|forward| [forward, Step::Compare]);
    let back = [Step::Back, Step::Compare, Step::Back, Step::Back, Step::Compare, Step::Back];
    walk(before, [Step::Compare].into_iter().chain(ways).chain(back).collect());
}

#[test]
fn what_is_changed_and_reverted_between_two_roots_leaves_the_root() {
    let mut state = RootedStore::new(MemoryStore::new());
    let empty = state.root();
    let Step::Forward(planned) = wide_change(1, 3, 1, Life::Same) else {
        unreachable!("it is a forward step")
    };
    let undo = state.apply(&changes(&MemoryStore::new(), planned)).unwrap();
    state.apply(&undo).unwrap();
    assert_eq!(state.root(), empty);
}
