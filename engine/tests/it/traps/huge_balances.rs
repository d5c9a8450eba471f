//! Balances near 2^256: a transfer that overflows, or does not, because of an earlier transaction.

use alloy_hardforks::EthereumHardfork::*;
use alloy_primitives::{Address, TxKind, U256};
use blockloom_state::Allocation;
use revm::{bytecode::opcode::*, context::TxEnv};

use super::{code::Code, scenario::*};

/// Two of it are more than a balance can hold.
fn half() -> U256 {
    U256::ONE << 255
}

/// A sender that can give the half and pay for its gas.
fn magnate(scenario: &mut Scenario, number: usize) -> Address {
    let address = sender(20 + number);
    scenario.endow(address, half() + word(RICH));
    address
}

fn give(scenario: &mut Scenario, from: Address, to: Address, value: U256) -> usize {
    let transaction = TxEnv { value, ..scenario.to(from, to, 0) };
    scenario.send(transaction)
}

/// Passes the half on, and writes into slot 0 whether that worked.
fn passing_on(to: Address) -> Code {
    let call = Code::new().push(0).push(0).push(0).push(0).push(half()).push(to).push(60_000).ops([CALL]);
    call.store_top(0)
}

/// Adds a contract that has the half, and 7 in slot 0.
fn rich_contract(scenario: &mut Scenario, address: Address, code: &Code) {
    let storage = [(word(0), word(7))].into();
    scenario.base.insert(address, Allocation { balance: half(), nonce: 1, code: code.bytes(), storage });
}

#[test]
fn the_second_of_two_huge_transfers_to_one_account_overflows() {
    for_each_fork(&FORKS, |mut scenario| {
        let [first, second] = [0, 1].map(|number| magnate(&mut scenario, number));
        let first = give(&mut scenario, first, HEIR, half());
        let second = give(&mut scenario, second, HEIR, half());
        let after = scenario.execute_until(|statistics| statistics.stale_at_gate.balance > 0);
        assert!(after.succeeded(first) && !after.succeeded(second), "{}", after.fork);
        assert_eq!(after.wei(HEIR), half());
    });
}

#[test]
fn a_huge_inner_transfer_overflows_after_another_transfer() {
    for_each_fork(&FORKS, |mut scenario| {
        let giver = magnate(&mut scenario, 0);
        rich_contract(&mut scenario, CONTRACT, &passing_on(HEIR));
        scenario.fund(HEIR, 1);
        give(&mut scenario, giver, HEIR, half() - U256::ONE);
        let call = scenario.call(sender(0), CONTRACT, 0);
        let after = scenario.execute_until(|statistics| statistics.stale_at_gate.balance > 0);
        assert!(after.succeeded(call), "{}", after.fork);
        assert_eq!((after.slot(CONTRACT, 0), after.wei(HEIR)), (U256::ZERO, half()));
    });
}

#[test]
fn a_huge_inner_transfer_fits_after_its_recipient_has_paid() {
    for_each_fork(&FORKS, |mut scenario| {
        // Called without value, the recipient passes the half on.
        let recipient = Code::new().branch(Code::new().ops([CALLVALUE]), Code::new(), passing_on(HEIR));
        rich_contract(&mut scenario, OTHER, &recipient);
        rich_contract(&mut scenario, CONTRACT, &passing_on(OTHER));
        scenario.call(sender(0), OTHER, 0);
        scenario.call(sender(1), CONTRACT, 0);
        let after = scenario.execute_until(|statistics| statistics.stale_at_gate.balance > 0);
        assert_eq!(after.slots(CONTRACT), [(0, 1)], "{}", after.fork);
        assert_eq!([CONTRACT, OTHER, HEIR].map(|address| after.wei(address)), [U256::ZERO, half(), half()]);
    });
}

#[test]
fn an_inheritance_overflows_after_a_huge_transfer() {
    // Before EIP-161 revm drops the touch of an account that ends up empty.
    for_each_fork(&forks(SpuriousDragon, Osaka), |mut scenario| {
        let giver = magnate(&mut scenario, 0);
        rich_contract(&mut scenario, CONTRACT, &Code::new().destroy(HEIR));
        scenario.fund(HEIR, 1);
        give(&mut scenario, giver, HEIR, half() - U256::ONE);
        scenario.call(sender(0), CONTRACT, 0);
        let after = scenario.execute_until(|statistics| statistics.stale_at_gate.balance > 0);
        // The interpreter wraps around.
        assert_eq!(after.wei(HEIR), U256::ZERO, "{}", after.fork);
    });
}

#[test]
fn a_creation_with_a_huge_value_overflows_after_a_transfer_to_its_address() {
    for_each_fork(&FORKS, |mut scenario| {
        let [giver, creator] = [0, 1].map(|number| magnate(&mut scenario, number));
        let created = creator.create(0);
        scenario.fund(created, 1);
        give(&mut scenario, giver, created, half() - U256::ONE);
        let data = Code::new().deploying(&Code::new().increment(1, 1)).bytes();
        let creation = scenario.to(creator, created, 0);
        let creation = scenario.send(TxEnv { kind: TxKind::Create, value: half(), data, ..creation });
        let after = scenario.execute_until(|statistics| statistics.gave_up > 0);
        assert!(!after.succeeded(creation), "{}", after.fork);
        assert_eq!((after.wei(created), after.code(created).len()), (half(), 0));
    });
}

#[test]
fn an_inner_creation_with_a_huge_value_overflows_after_a_transfer_to_its_address() {
    let init = Code::new().deploying(&Code::new().increment(1, 1)).bytes();
    let create =
        Code::new().memory(&init).push(init.len() as u64).push(0).push(half()).ops([CREATE]).store_top(0);
    for_each_fork(&[&forks(Tangerine, Osaka)[..], &[Amsterdam]].concat(), |mut scenario| {
        let giver = magnate(&mut scenario, 0);
        let created = CONTRACT.create(1);
        rich_contract(&mut scenario, CONTRACT, &create);
        scenario.fund(created, 1);
        give(&mut scenario, giver, created, half() - U256::ONE);
        let call = TxEnv { gas_limit: 10_000_000, ..scenario.to(sender(0), CONTRACT, 0) };
        let call = scenario.send(call);
        let after = scenario.execute_until(|statistics| statistics.gave_up > 0);
        assert!(after.succeeded(call), "{}", after.fork);
        assert_eq!((after.wei(created), after.code(created).len()), (half(), 0));
        assert_eq!(after.slots(CONTRACT), []);
    });
}
