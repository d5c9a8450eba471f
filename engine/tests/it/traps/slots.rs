//! Storage slots that many transactions of a block read and write.

use alloy_hardforks::EthereumHardfork::*;
use alloy_primitives::U256;
use blockloom_state::Change;
use revm::bytecode::opcode::*;

use super::{code::Code, scenario::*};

#[test]
fn a_counter_that_every_transaction_increments_counts_all_of_them() {
    // It also logs the new count.
    let counter = Code::new().increment(0, 1).push(0).ops([SLOAD]).log();
    for fork in [Frontier, Berlin, Osaka] {
        let mut scenario = Scenario::new(fork, 0);
        scenario.contract(CONTRACT, &counter, &[]);
        let first = scenario.call(sender(0), CONTRACT, 0);
        for i in 1..200 {
            scenario.call(sender(i % 16), CONTRACT, 0);
        }
        let after = scenario.execute();
        assert_eq!(after.slots(CONTRACT), [(0, 200)]);
        for i in 0..200 {
            let logged = &after.logs(first + i)[0].data.data;
            assert_eq!(logged[..], word(i as u64 + 1).to_be_bytes::<32>());
        }
        // Only the first write turns a zero slot into a nonzero one.
        let saved = if fork < Berlin { 15_000 } else { 17_100 };
        assert_eq!(after.gas(first), after.gas(first + 1) + saved);
        assert_eq!(after.gas(first + 1), after.gas(first + 199));
    }
}

#[test]
fn a_counter_is_right_with_unrelated_transactions_in_between() {
    let counter = Code::new().increment(0, 1);
    for_each_fork(&[Byzantium, Cancun], |mut scenario| {
        scenario.contract(CONTRACT, &counter, &[(0, 5)]);
        for i in 0..40 {
            scenario.call(sender(i % 16), CONTRACT, 0);
        }
        assert_eq!(scenario.execute().slots(CONTRACT), [(0, 45)]);
    });
}

/// Writes the first word of the call data into slot 0.
fn writer() -> Code {
    Code::new().argument(0).store_top(0)
}

#[test]
fn the_gas_of_a_write_depends_on_the_value_that_earlier_transactions_left() {
    let table = [
        // Sets 5, writes 5 again, clears (refunded), sets 7, changes to 8.
        (Byzantium, [41_201, 26_201, 13_069, 41_201, 26_201]),
        (Istanbul, [41_149, 21_949, 13_069, 41_149, 26_149]),
        (Berlin, [43_249, 23_349, 13_069, 43_249, 26_149]),
        (London, [43_249, 23_349, 21_337, 43_249, 26_149]),
        (Osaka, [43_249, 23_349, 21_337, 43_249, 26_149]),
    ];
    for (fork, expected) in table {
        for_each_fork(&[fork], |mut scenario| {
            scenario.contract(CONTRACT, &writer(), &[]);
            let values = [5, 5, 0, 7, 8].into_iter().enumerate();
            let positions: Vec<_> = values
                .map(|(i, value)| scenario.call_with_words(sender(i), CONTRACT, &[word(value)]))
                .collect();
            let after = scenario.execute();
            let gas: Vec<_> = positions.iter().map(|position| after.gas(*position)).collect();
            assert_eq!(gas, expected, "{fork}");
            assert_eq!(after.slots(CONTRACT), [(0, 8)]);
        });
    }
}

#[test]
fn a_refund_depends_on_the_value_of_the_slot_before_the_transaction() {
    // Without data it writes 1 and then 9: a reset, if the slot held 9 before.
    let resetting =
        Code::new().branch(Code::new().ops([CALLDATASIZE]), writer(), Code::new().sstore(0, 1).sstore(0, 9));
    for fork in [Berlin, London, Prague] {
        for_each_fork(&[fork], |mut scenario| {
            scenario.contract(CONTRACT, &resetting, &[]);
            let mut positions = Vec::new();
            for (i, value) in [0, 9, 5, 9].into_iter().enumerate() {
                scenario.call_with_words(sender(i), CONTRACT, &[word(value)]);
                positions.push(scenario.call(sender(i + 4), CONTRACT, 0));
            }
            let after = scenario.execute();
            let gas: Vec<_> = positions.iter().map(|position| after.gas(*position)).collect();
            // The branch takes 2 + 3 + 10 more gas than the writes.
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
fn a_slot_that_is_written_and_reset_is_no_change_and_readers_see_each_value_in_between() {
    // With data it writes slot 0. Without data it copies slot 0 into a new slot, numbered by slot 1.
    let copying = Code::new().increment(1, 1).push(0).ops([SLOAD]).push(1).ops([SLOAD, SSTORE]);
    let code = Code::new().branch(Code::new().ops([CALLDATASIZE]), writer(), copying);
    for_each_fork(&FORKS, |mut scenario| {
        scenario.contract(CONTRACT, &code, &[(0, 3), (1, 10)]);
        for (i, value) in [8, 3, 3].into_iter().enumerate() {
            scenario.call(sender(i), CONTRACT, 0);
            scenario.call_with_words(sender(i + 5), CONTRACT, &[word(value)]);
        }
        scenario.call(sender(9), CONTRACT, 0);
        let after = scenario.execute();
        assert_eq!(after.slots(CONTRACT), [(0, 3), (1, 14), (11, 3), (12, 8), (13, 3), (14, 3)]);
        let changed = &after.outcome.changes.accounts[&CONTRACT].slots;
        assert!(!changed.contains_key(&U256::ZERO), "{}", after.fork);
        assert_eq!(changed[&word(1)], Change { before: word(10), after: word(14) });
    });
}

#[test]
fn no_transaction_sees_a_reverted_write() {
    let failing = Code::new().sstore(0, 77).ops([INVALID]);
    let code = Code::new().branch(
        Code::new().ops([CALLDATASIZE]),
        failing,
        Code::new().push(0).ops([SLOAD]).push(1).ops([SLOAD, ADD]).store_top(1),
    );
    for_each_fork(&FORKS, |mut scenario| {
        scenario.contract(CONTRACT, &code, &[(0, 3)]);
        for i in 0..4 {
            scenario.call_with_words(sender(i), CONTRACT, &[U256::ONE]);
            scenario.call(sender(i + 4), CONTRACT, 0);
        }
        assert_eq!(scenario.execute().slots(CONTRACT), [(0, 3), (1, 12)]);
    });
}

#[test]
fn the_slot_that_a_transaction_writes_can_depend_on_an_earlier_write() {
    // Slot 0 names a slot. The word of the call data goes into that slot, and into slot 0.
    let walking = Code::new().argument(0).ops([DUP1]).push(0).ops([SLOAD, SSTORE]).store_top(0);
    for_each_fork(&[Homestead, Shanghai], |mut scenario| {
        scenario.contract(CONTRACT, &walking, &[(0, 100)]);
        let words = [101, 107, 103, 100, 105, 101];
        for (i, next) in words.into_iter().enumerate() {
            scenario.call_with_words(sender(i), CONTRACT, &[word(next)]);
        }
        let expected = [(0, 101), (100, 105), (101, 107), (103, 100), (105, 101), (107, 103)];
        assert_eq!(scenario.execute().slots(CONTRACT), expected);
    });
}
