//! New lives of contracts: what a run read of the old life does not hold in the new one.

use alloy_hardforks::EthereumHardfork::*;
use alloy_primitives::{Address, B256, U256, keccak256};
use blockloom_state::Allocation;
use revm::bytecode::opcode::*;

use super::{code::Code, scenario::*};

/// Creates a contract, always at the same address, and counts creations in slot 0.
fn factory(init: &Code) -> Code {
    Code::new().create2(&init.bytes(), 0).ops([ISZERO, ISZERO]).push(0).ops([SLOAD, ADD]).store_top(0)
}

fn child(init: &Code) -> Address {
    CONTRACT.create2(B256::ZERO, keccak256(init.bytes()))
}

/// With data it destroys itself. Without data it does something else.
fn mortal(living: Code) -> Code {
    Code::new().branch(Code::new().ops([CALLDATASIZE]), Code::new().destroy(HEIR), living)
}

/// Slot 3 becomes slot 2 plus one.
fn copying() -> Code {
    Code::new().push(2).ops([SLOAD]).push(1).ops([ADD]).store_top(3)
}

#[test]
fn a_slot_of_the_old_life_is_not_taken_from_the_base_in_the_new_one() {
    let init = Code::new().deploying(&mortal(copying()));
    for_each_fork(&forks(Petersburg, Shanghai), |mut scenario| {
        scenario.contract(CONTRACT, &factory(&init), &[]);
        scenario.contract(child(&init), &mortal(copying()), &[(2, 9)]);
        scenario.call_with_words(sender(0), child(&init), &[U256::ONE]);
        scenario.call(sender(1), CONTRACT, 0);
        scenario.call(sender(2), child(&init), 0);
        let after = scenario.execute_until(|statistics| statistics.stale_at_gate.slot > 0);
        assert_eq!(after.slots(child(&init)), [(3, 1)], "{}", after.fork);
        assert_eq!(after.slots(CONTRACT), [(0, 1)]);
    });
}

#[test]
fn a_slot_that_the_old_life_wrote_in_this_block_is_empty_in_the_new_one() {
    // It adds the value of a call to slot 2.
    let living = Code::new().push(2).ops([SLOAD, CALLVALUE, ADD]).store_top(2).ops(copying().bytes());
    let init = Code::new().deploying(&mortal(living.clone()));
    for_each_fork(&forks(Petersburg, Shanghai), |mut scenario| {
        scenario.contract(CONTRACT, &factory(&init), &[]);
        scenario.contract(child(&init), &mortal(living.clone()), &[(2, 5), (4, 4)]);
        scenario.call(sender(0), child(&init), 4);
        scenario.call_with_words(sender(1), child(&init), &[U256::ONE]);
        scenario.call(sender(2), CONTRACT, 0);
        scenario.call(sender(3), child(&init), 0);
        let after = scenario.execute_until(|statistics| statistics.stale_at_gate.slot > 0);
        assert_eq!(after.slots(child(&init)), [(3, 1)], "{}", after.fork);
        assert_eq!(after.balance(HEIR), 4);
    });
}

#[test]
fn a_creator_with_the_highest_nonce_creates_again_in_its_new_life() {
    let creating = Code::new().create(&Code::new().deploying(&copying()).bytes(), 0).store_top(1);
    let init = Code::new().deploying(&mortal(creating.clone()));
    for_each_fork(&forks(Petersburg, Shanghai), |mut scenario| {
        scenario.contract(CONTRACT, &factory(&init), &[]);
        let code = mortal(creating.clone()).bytes();
        let oldest = Allocation { nonce: u64::MAX, code, ..Allocation::default() };
        scenario.base.insert(child(&init), oldest);
        let refused = scenario.call(sender(0), child(&init), 0);
        scenario.call_with_words(sender(1), child(&init), &[U256::ONE]);
        scenario.call(sender(2), CONTRACT, 0);
        scenario.call(sender(3), child(&init), 0);
        let after = scenario.execute_until(|statistics| statistics.stale_at_gate.nonce > 0);
        assert!(after.succeeded(refused) && after.gas(refused) < 200_000, "{}", after.fork);
        assert_eq!(after.slot(child(&init), 1), super::code::Word::from(child(&init).create(1)).0);
        assert_eq!(after.nonce(child(&init)), 2);
    });
}
