//! What access lists say about storage slots.

use revm::bytecode::opcode::*;

use super::{
    super::{code::Code, scenario::*},
    Listed, at,
};

#[test]
fn a_no_op_write_is_listed_as_a_read() {
    let code = Code::new().sstore(0, 5).sstore(2, 9).push(1).ops([SLOAD, POP]);
    for_each_fork(&FORKS, |mut scenario| {
        scenario.contract(CONTRACT, &code, &[(0, 5), (2, 3)]);
        let first = scenario.call(sender(0), CONTRACT, 0);
        scenario.call(sender(1), CONTRACT, 0);
        let expected =
            Listed { reads: vec![0, 1], writes: vec![(2, vec![(at(first), 9)])], ..Listed::default() };
        let after = scenario.execute();
        assert_eq!(after.listed(CONTRACT), Some(expected), "{}", after.fork);
    });
}

#[test]
fn a_slot_that_is_changed_and_changed_back_is_listed_at_both_indices() {
    let writer = Code::new().argument(0).store_top(0);
    for_each_fork(&FORKS, |mut scenario| {
        scenario.contract(CONTRACT, &writer, &[(0, 5)]);
        let change = scenario.call_with_words(sender(0), CONTRACT, &[word(7)]);
        scenario.call_with_words(sender(1), CONTRACT, &[word(7)]);
        let change_back = scenario.call_with_words(sender(2), CONTRACT, &[word(5)]);
        let expected =
            Listed { writes: vec![(0, vec![(at(change), 7), (at(change_back), 5)])], ..Listed::default() };
        let after = scenario.execute();
        assert_eq!(after.listed(CONTRACT), Some(expected), "{}", after.fork);
    });
}

#[test]
fn the_accesses_of_a_reverted_frame_are_listed() {
    let failing = Code::new().sstore(3, 1).push(HEIR).ops([BALANCE, POP, INVALID]);
    for_each_fork(&FORKS, |mut scenario| {
        scenario.contract(CONTRACT, &Code::new().call(OTHER, 0), &[]);
        scenario.contract(OTHER, &failing, &[(3, 8)]);
        scenario.call(sender(0), CONTRACT, 0);
        let after = scenario.execute();
        assert_eq!(after.listed(CONTRACT), Some(Listed::untouched()), "{}", after.fork);
        assert_eq!(after.listed(OTHER), Some(Listed::reading(&[3])));
        assert_eq!(after.listed(HEIR), Some(Listed::untouched()));
    });
}

#[test]
fn the_slots_of_a_failed_creation_are_listed_as_reads() {
    let init = Code::new().sstore(4, 1).push(5).ops([SLOAD, POP, INVALID]);
    let creating = Code::new().create(&init.bytes(), 0);
    for_each_fork(&FORKS, |mut scenario| {
        scenario.contract(CONTRACT, &creating, &[]);
        scenario.call(sender(0), CONTRACT, 0);
        let after = scenario.execute();
        assert_eq!(after.listed(CONTRACT.create(1)), Some(Listed::reading(&[4, 5])), "{}", after.fork);
    });
}
