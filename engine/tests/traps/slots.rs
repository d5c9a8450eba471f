//! Storage slots that one transaction after the other reads and writes.

use alloy_hardforks::EthereumHardfork::*;
use alloy_primitives::U256;
use blockloom_state::Change;
use revm::bytecode::opcode::*;

use crate::{code::Code, scene::*};

#[test]
fn a_slot_that_every_transaction_increments_counts_them_all() {
    // It also logs what it counted to.
    let counter = Code::new().increment(0, 1).push(0).ops([SLOAD]).log();
    for fork in [Frontier, Berlin, Osaka] {
        let mut scene = Scene::new(fork, 0);
        scene.contract(CONTRACT, &counter, &[]);
        let first = scene.call(sender(0), CONTRACT, 0);
        for turn in 1..200 {
            scene.call(sender(turn % 16), CONTRACT, 0);
        }
        let after = scene.play();
        assert_eq!(after.slots(CONTRACT), [(0, 200)]);
        for turn in 0..200 {
            let logged = &after.logs(first + turn)[0].data.data;
            assert_eq!(logged[..], word(turn as u64 + 1).to_be_bytes::<32>());
        }
        // Only the first one makes something out of nothing.
        let saved = if fork < Berlin { 15_000 } else { 17_100 };
        assert_eq!(after.gas(first), after.gas(first + 1) + saved);
        assert_eq!(after.gas(first + 1), after.gas(first + 199));
    }
}

#[test]
fn a_chain_is_counted_as_well_when_others_come_in_between() {
    let counter = Code::new().increment(0, 1);
    everywhere(&[Byzantium, Cancun], |mut scene| {
        scene.contract(CONTRACT, &counter, &[(0, 5)]);
        for turn in 0..40 {
            scene.call(sender(turn % 16), CONTRACT, 0);
        }
        assert_eq!(scene.play().slots(CONTRACT), [(0, 45)]);
    });
}

/// Writes the word that it is told into slot 0.
fn writer() -> Code {
    Code::new().argument(0).store_top(0)
}

#[test]
fn what_a_write_costs_depends_on_what_earlier_transactions_left() {
    let table = [
        // Sets 5, writes 5 again, clears (refunded), sets 7, changes to 8.
        (Byzantium, [41_201, 26_201, 13_069, 41_201, 26_201]),
        (Istanbul, [41_149, 21_949, 13_069, 41_149, 26_149]),
        (Berlin, [43_249, 23_349, 13_069, 43_249, 26_149]),
        (London, [43_249, 23_349, 21_337, 43_249, 26_149]),
        (Osaka, [43_249, 23_349, 21_337, 43_249, 26_149]),
    ];
    for (fork, expected) in table {
        everywhere(&[fork], |mut scene| {
            scene.contract(CONTRACT, &writer(), &[]);
            let values = [5, 5, 0, 7, 8].into_iter().enumerate();
            let positions: Vec<_> =
                values.map(|(turn, value)| scene.tell(sender(turn), CONTRACT, &[word(value)])).collect();
            let after = scene.play();
            let gas: Vec<_> = positions.iter().map(|position| after.gas(*position)).collect();
            assert_eq!(gas, expected, "{fork}");
            assert_eq!(after.slots(CONTRACT), [(0, 8)]);
        });
    }
}

#[test]
fn a_refund_depends_on_the_value_that_the_slot_had_before_the_transaction() {
    // Writes 1 and then 9: that is a reset if 9 was there before.
    let resetting =
        Code::new().branch(Code::new().ops([CALLDATASIZE]), writer(), Code::new().sstore(0, 1).sstore(0, 9));
    for fork in [Berlin, London, Prague] {
        everywhere(&[fork], |mut scene| {
            scene.contract(CONTRACT, &resetting, &[]);
            let mut positions = Vec::new();
            for (turn, value) in [0, 9, 5, 9].into_iter().enumerate() {
                scene.tell(sender(turn), CONTRACT, &[word(value)]);
                positions.push(scene.call(sender(turn + 4), CONTRACT, 0));
            }
            let after = scene.play();
            let gas: Vec<_> = positions.iter().map(|position| after.gas(*position)).collect();
            // The jump around the writer takes 2 + 3 + 10 more than the writes.
            let writes = |cost: u64| 21_000 + 2 + 3 + 10 + 12 + cost;
            let (set, reset) = (2_100 + 20_000 + 100, 2_100 + 2_900 + 100);
            assert_eq!(
                gas,
                [writes(set), writes(reset) - 2_800, writes(reset), writes(reset) - 2_800],
                "{fork}"
            );
            assert_eq!(after.slots(CONTRACT), [(0, 9)]);
        });
    }
}

#[test]
fn a_slot_that_is_written_and_reset_is_no_change_and_readers_see_every_value_on_the_way() {
    // With data it writes slot 0; else it copies slot 0 to where nobody wrote before: the next slot.
    let copying = Code::new().increment(1, 1).push(0).ops([SLOAD]).push(1).ops([SLOAD, SSTORE]);
    let code = Code::new().branch(Code::new().ops([CALLDATASIZE]), writer(), copying);
    everywhere(&FORKS, |mut scene| {
        scene.contract(CONTRACT, &code, &[(0, 3), (1, 10)]);
        for (turn, value) in [8, 3, 3].into_iter().enumerate() {
            scene.call(sender(turn), CONTRACT, 0);
            scene.tell(sender(turn + 5), CONTRACT, &[word(value)]);
        }
        scene.call(sender(9), CONTRACT, 0);
        let after = scene.play();
        assert_eq!(after.slots(CONTRACT), [(0, 3), (1, 14), (11, 3), (12, 8), (13, 3), (14, 3)]);
        let changed = &after.outcome.changes.accounts[&CONTRACT].slots;
        assert!(!changed.contains_key(&U256::ZERO), "{}", after.fork);
        assert_eq!(changed[&word(1)], Change { before: word(10), after: word(14) });
    });
}

#[test]
fn a_write_that_is_reverted_is_seen_by_nobody() {
    let failing = Code::new().sstore(0, 77).ops([INVALID]);
    let code = Code::new().branch(
        Code::new().ops([CALLDATASIZE]),
        failing,
        Code::new().push(0).ops([SLOAD]).push(1).ops([SLOAD, ADD]).store_top(1),
    );
    everywhere(&FORKS, |mut scene| {
        scene.contract(CONTRACT, &code, &[(0, 3)]);
        for turn in 0..4 {
            scene.tell(sender(turn), CONTRACT, &[U256::ONE]);
            scene.call(sender(turn + 4), CONTRACT, 0);
        }
        assert_eq!(scene.play().slots(CONTRACT), [(0, 3), (1, 12)]);
    });
}

#[test]
fn which_slot_is_written_may_depend_on_what_another_transaction_wrote() {
    // Follows a chain through storage: the slot that slot 0 names gets the caller's word, and slot 0
    // names that word next.
    let walking = Code::new().argument(0).ops([DUP1]).push(0).ops([SLOAD, SSTORE]).store_top(0);
    everywhere(&[Homestead, Shanghai], |mut scene| {
        scene.contract(CONTRACT, &walking, &[(0, 100)]);
        let words = [101, 107, 103, 100, 105, 101];
        for (turn, next) in words.into_iter().enumerate() {
            scene.tell(sender(turn), CONTRACT, &[word(next)]);
        }
        let expected = [(0, 101), (100, 105), (101, 107), (103, 100), (105, 101), (107, 103)];
        assert_eq!(scene.play().slots(CONTRACT), expected);
    });
}
