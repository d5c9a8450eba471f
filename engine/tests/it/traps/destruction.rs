//! Destroyed contracts, and what happens at their addresses afterwards.

use alloy_hardforks::EthereumHardfork::*;
use alloy_primitives::{Address, B256, U256, keccak256};
use revm::bytecode::opcode::*;

use super::{
    code::{Code, Word},
    scenario::*,
};

/// The value of slot 1 after a creation by the factory.
const FRESH: u64 = 70;

/// With data it destroys itself. Without data it counts in slot 1 and writes the value of slot 2 plus
/// one into slot 3.
fn destructible() -> Code {
    let count = Code::new().increment(1, 1).push(2).ops([SLOAD]).push(1).ops([ADD]).store_top(3);
    Code::new().branch(Code::new().ops([CALLDATASIZE]), Code::new().destroy(HEIR), count)
}

fn destructible_init() -> Code {
    Code::new().sstore(1, FRESH).deploying(&destructible())
}

/// Creates the destructible contract, always at the same address, and counts creations in slot 0.
fn factory() -> Code {
    let created = Code::new().create2(&destructible_init().bytes(), 0);
    created.ops([ISZERO, ISZERO]).push(0).ops([SLOAD, ADD]).store_top(0)
}

fn child() -> Address {
    CONTRACT.create2(B256::ZERO, keccak256(destructible_init().bytes()))
}

fn with_factory(scenario: &mut Scenario) {
    scenario.contract(CONTRACT, &factory(), &[]);
    scenario.rich_contract(child(), 100, &destructible(), &[(1, 5), (2, 9)]);
    scenario.fund(HEIR, 1);
}

#[test]
fn a_contract_that_is_destroyed_and_recreated_starts_with_empty_storage() {
    for_each_fork(&forks(Petersburg, Osaka), |mut scenario| {
        with_factory(&mut scenario);
        scenario.call(sender(0), child(), 0);
        scenario.call_with_words(sender(1), child(), &[U256::ONE]);
        scenario.call(sender(2), child(), 3);
        let creating = scenario.call(sender(3), CONTRACT, 0);
        let last = scenario.call(sender(4), child(), 0);
        let after = scenario.execute();
        assert!(after.succeeded(creating) && after.succeeded(last));
        assert_eq!(after.balance(child()), 3);
        assert_eq!(after.balance(HEIR), 101);
        assert_eq!((after.nonce(CONTRACT), after.nonce(child())), (2, 1));
        if after.fork < Cancun {
            assert_eq!(after.slots(child()), [(1, FRESH + 1), (3, 1)], "{}", after.fork);
            assert_eq!(after.slots(CONTRACT), [(0, 1)]);
        } else {
            // EIP-6780: the contract still exists, so the creation fails.
            assert_eq!(after.slots(child()), [(1, 8), (2, 9), (3, 10)], "{}", after.fork);
            assert_eq!(after.slots(CONTRACT), []);
        }
    });
}

#[test]
fn an_address_can_be_destroyed_and_recreated_many_times() {
    for_each_fork(&forks(Petersburg, Shanghai), |mut scenario| {
        with_factory(&mut scenario);
        for i in 0..5 {
            scenario.call_with_words(sender(i), child(), &[U256::ONE]);
            scenario.call(sender(i + 5), CONTRACT, 0);
            scenario.call(sender(i + 5), child(), 1);
        }
        let after = scenario.execute();
        assert_eq!(after.slots(child()), [(1, FRESH + 1), (3, 1)], "{}", after.fork);
        assert_eq!((after.slots(CONTRACT), after.nonce(CONTRACT)), (vec![(0, 5)], 6));
        assert_eq!((after.balance(child()), after.balance(HEIR)), (1, 105));
    });
}

#[test]
fn a_transfer_to_a_destroyed_contract_creates_an_account_without_code_and_storage() {
    for_each_fork(&FORKS, |mut scenario| {
        with_factory(&mut scenario);
        let observer = Code::new().push(child()).ops([EXTCODESIZE]).store_at_argument();
        scenario.contract(OTHER, &observer, &[(0, 1), (1, 1)]);
        scenario.call_with_words(sender(0), OTHER, &[U256::ZERO]);
        scenario.call_with_words(sender(1), child(), &[U256::ONE]);
        let sending = scenario.call(sender(2), child(), 5);
        scenario.call_with_words(sender(3), OTHER, &[U256::ONE]);
        let after = scenario.execute();
        let size = destructible().bytes().len() as u64;
        assert_eq!((after.balance(child()), after.balance(HEIR)), (5, 101));
        if after.fork < Cancun {
            assert_eq!(after.gas(sending), TRANSFER_GAS);
            assert_eq!((after.nonce(child()), after.code(child()).len()), (0, 0));
            assert_eq!(after.slots(child()), [], "{}", after.fork);
            assert_eq!(after.slots(OTHER), [(0, size)]);
        } else {
            assert_eq!((after.nonce(child()), after.code(child())), (1, destructible().bytes()));
            assert_eq!(after.slots(child()), [(1, 6), (2, 9), (3, 10)], "{}", after.fork);
            assert_eq!(after.slots(OTHER), [(0, size), (1, size)]);
        }
    });
}

#[test]
fn a_touch_recreates_a_destroyed_contract_as_an_empty_account_before_eip_161_only() {
    for_each_fork(&forks(Frontier, Shanghai), |mut scenario| {
        with_factory(&mut scenario);
        scenario.call_with_words(sender(0), child(), &[U256::ONE]);
        scenario.call(sender(1), child(), 0);
        let after = scenario.execute();
        assert_eq!(after.exists(child()), after.fork < SpuriousDragon, "{}", after.fork);
        assert_eq!((after.nonce(child()), after.slots(child())), (0, vec![]));
        assert_eq!(after.balance(HEIR), 101);
    });
}

#[test]
fn a_contract_can_be_created_and_destroyed_within_each_of_many_transactions() {
    // EIP-6780 still destroys contracts that were created in the same transaction.
    let init = Code::new().sstore(1, FRESH).deploying(&Code::new().increment(1, 1).destroy(HEIR));
    let created = Code::new().create2(&init.bytes(), 4);
    let factory = created.store_top(9).call(address_of(&init), 3).push(0).ops([SLOAD, ADD]).store_top(0);
    for_each_fork(&forks(Petersburg, Osaka), |mut scenario| {
        scenario.rich_contract(CONTRACT, 100, &factory, &[]);
        scenario.fund(HEIR, 1);
        for i in 0..6 {
            scenario.call(sender(i), CONTRACT, 0);
            scenario.call(sender(i), address_of(&init), 0);
        }
        let after = scenario.execute();
        assert_eq!(after.slot(CONTRACT, 0), word(6), "{}", after.fork);
        assert_eq!(after.slot(CONTRACT, 9), Word::from(address_of(&init)).0);
        assert!(!after.exists(address_of(&init)));
        assert_eq!((after.balance(CONTRACT), after.balance(HEIR)), (100 - 6 * 7, 1 + 6 * 7));
        assert_eq!(after.nonce(CONTRACT), 7);
    });
}

fn address_of(init: &Code) -> Address {
    CONTRACT.create2(B256::ZERO, keccak256(init.bytes()))
}

#[test]
fn a_contract_that_destroys_itself_in_its_own_favour_burns_its_balance_before_cancun() {
    let burning = Code::new().branch(
        Code::new().ops([CALLDATASIZE]),
        Code::new().ops([ADDRESS, SELFDESTRUCT]),
        Code::new().increment(1, 1),
    );
    for_each_fork(&FORKS, |mut scenario| {
        scenario.rich_contract(CONTRACT, 100, &burning, &[(2, 9)]);
        scenario.call(sender(0), CONTRACT, 10);
        scenario.call_with_words(sender(1), CONTRACT, &[U256::ONE]);
        scenario.call(sender(2), CONTRACT, 5);
        let after = scenario.execute();
        if after.fork < Cancun {
            assert_eq!((after.balance(CONTRACT), after.nonce(CONTRACT)), (5, 0), "{}", after.fork);
            assert_eq!(after.slots(CONTRACT), []);
        } else {
            assert_eq!((after.balance(CONTRACT), after.nonce(CONTRACT)), (115, 1), "{}", after.fork);
            assert_eq!(after.slots(CONTRACT), [(1, 2), (2, 9)]);
        }
    });
}

#[test]
fn a_destruction_that_is_reverted_destroys_nothing() {
    // Calls the destructible contract with data and then fails.
    let outer = Code::new().push(1).push(0).ops([MSTORE]).call_with(child(), 0, 32).ops([INVALID]);
    for_each_fork(&FORKS, |mut scenario| {
        with_factory(&mut scenario);
        scenario.contract(OTHER, &outer, &[]);
        let failing = scenario.call(sender(0), OTHER, 0);
        scenario.call(sender(1), child(), 0);
        let after = scenario.execute();
        assert!(!after.succeeded(failing));
        assert_eq!(after.gas(failing), 400_000);
        assert_eq!((after.balance(child()), after.balance(HEIR)), (100, 1));
        assert_eq!(after.slots(child()), [(1, 6), (2, 9), (3, 10)], "{}", after.fork);
    });
}

#[test]
fn an_heir_that_is_destroyed_later_passes_its_inheritance_on() {
    let second_heir = Address::repeat_byte(0x4f);
    for_each_fork(&FORKS, |mut scenario| {
        scenario.rich_contract(CONTRACT, 100, &Code::new().destroy(OTHER), &[]);
        scenario.rich_contract(OTHER, 10, &Code::new().destroy(second_heir), &[(1, 1)]);
        scenario.call(sender(0), CONTRACT, 1);
        scenario.call(sender(1), OTHER, 2);
        scenario.call(sender(2), CONTRACT, 3);
        let after = scenario.execute();
        assert_eq!(after.balance(second_heir), 113, "{}", after.fork);
        assert_eq!(after.exists(OTHER), after.fork >= Cancun);
        // Before Cancun the contract no longer exists when it receives 3 wei. From Cancun on it sends them on.
        let left = if after.fork < Cancun { (3, 0) } else { (0, 3) };
        assert_eq!((after.balance(CONTRACT), after.balance(OTHER)), left);
    });
}
