//! Accounts with storage and neither nonce nor code: no contract is created there (EIP-7610) before a touch clears
//! them (EIP-161).

use alloy_hardforks::EthereumHardfork::*;
use alloy_primitives::{Address, B256, keccak256};
use blockloom_state::Allocation;
use revm::{bytecode::opcode::*, context::TxEnv};

use super::{code::Code, scenario::*};

fn counter_init() -> Code {
    Code::new().deploying(&Code::new().increment(1, 1))
}

/// Adds an account with this balance, and 5 in slot 7.
fn storage_only(scenario: &mut Scenario, address: Address, wei: u64) {
    let storage = [(word(7), word(5))].into();
    scenario.base.insert(address, Allocation { balance: word(wei), storage, ..Allocation::default() });
}

#[test]
fn a_contract_is_created_at_an_account_with_only_storage_once_a_touch_cleared_it() {
    for_each_fork(&FORKS, |mut scenario| {
        let address = sender(3).create(0);
        storage_only(&mut scenario, address, 0);
        scenario.transfer(sender(0), address, 0);
        let creating = scenario.create(sender(3), &counter_init(), 0);
        scenario.call(sender(1), address, 0);
        let after = scenario.execute_until(|statistics| statistics.gave_up > 0);
        let is_cleared = after.fork >= SpuriousDragon;
        assert_eq!(after.succeeded(creating), is_cleared, "{}", after.fork);
        assert_eq!(after.slots(address), if is_cleared { [(1, 1)] } else { [(7, 5)] });
        assert_eq!((after.nonce(address), after.nonce(sender(3))), (u64::from(is_cleared), 1));
    });
}

#[test]
fn a_creation_at_an_account_with_only_storage_leaves_its_nonce_alone() {
    // The creation consumes all but a 64th of the gas. The contract pays the account after that.
    let create = Code::new().create(&counter_init().bytes(), 0).store_top(0);
    for_each_fork(&[&forks(Tangerine, Osaka)[..], &[Amsterdam]].concat(), |mut scenario| {
        let address = CONTRACT.create(1);
        storage_only(&mut scenario, address, 0);
        scenario.rich_contract(CONTRACT, 9, &create.clone().call(address, 2), &[(0, 7)]);
        let elsewhere = scenario.create(sender(1), &counter_init(), 0);
        let call = TxEnv { gas_limit: 16_000_000, ..scenario.to(sender(0), CONTRACT, 0) };
        let call = scenario.send(call);
        let after = scenario.execute_until(|statistics| statistics.gave_up > 0);
        assert!(after.succeeded(call) && after.succeeded(elsewhere), "{}", after.fork);
        assert_eq!((after.nonce(address), after.balance(address)), (0, 2));
        assert_eq!((after.slots(address), after.slots(CONTRACT)), (vec![(7, 5)], vec![]));
        assert_eq!(after.nonce(CONTRACT), 2);
    });
}

#[test]
fn the_nonce_of_a_sender_with_storage_survives_a_creation_at_its_address() {
    let creator = Code::new().create2(&counter_init().bytes(), 0).store_top(0);
    let holder = CONTRACT.create2(B256::ZERO, keccak256(counter_init().bytes()));
    for_each_fork(&forks(Petersburg, Osaka), |mut scenario| {
        storage_only(&mut scenario, holder, RICH);
        scenario.contract(CONTRACT, &creator, &[(0, 7)]);
        scenario.call(holder, CONTRACT, 0);
        scenario.transfer(holder, HEIR, 1);
        let after = scenario.execute();
        assert_eq!((after.nonce(holder), after.balance(HEIR)), (2, 1), "{}", after.fork);
        assert_eq!((after.slots(holder), after.slots(CONTRACT)), (vec![(7, 5)], vec![]));
    });
}

/// The gas of a call of the contract with this code, nonce and balance of 4; then it reads the balance of the
/// address. With storage, that is an account with nothing else.
fn gas_of(mut scenario: Scenario, nonce: u64, code: &Code, address: Address, has_storage: bool) -> u64 {
    let code = code.clone().push(address).ops([BALANCE, POP]).bytes();
    scenario.base.insert(CONTRACT, Allocation { balance: word(4), nonce, code, ..Allocation::default() });
    if has_storage {
        storage_only(&mut scenario, address, 0);
    }
    let call = scenario.call(sender(0), CONTRACT, 0);
    let after = scenario.execute();
    assert!(after.succeeded(call), "{}", after.fork);
    after.gas(call)
}

#[test]
fn a_creation_that_is_refused_earlier_does_not_load_the_account_with_only_storage() {
    // The creator has not enough balance, or the highest nonce. The account is cold afterwards (EIP-2929).
    for (value, nonce) in [(5, 1), (0, u64::MAX)] {
        let create = Code::new().create(&counter_init().bytes(), value).ops([POP]);
        for fork in forks(Berlin, Osaka) {
            let gas = [true, false].map(|has_storage| {
                gas_of(Scenario::new(fork, 0), nonce, &create, CONTRACT.create(nonce), has_storage)
            });
            assert_eq!(gas[0], gas[1], "{fork}");
        }
    }
}

/// Calls itself until that fails.
fn descend() -> Code {
    Code::new().push(0).push(0).push(0).push(0).push(0).ops([ADDRESS, GAS, CALL])
}

/// Executes a call of the contract that has enough gas for the greatest call depth.
fn call_deeply(mut scenario: Scenario, code: &Code, storage: &[(u64, u64)]) -> (usize, After) {
    scenario.header.gas_limit = 100_000_000_000_000;
    scenario.contract(CONTRACT, code, storage);
    let call = scenario.to(sender(0), CONTRACT, 0);
    let call = scenario.send(TxEnv { gas_limit: 10_000_000_000_000, gas_price: 8, ..call });
    let after = scenario.execute();
    assert!(after.succeeded(call), "{}", after.fork);
    (call, after)
}

#[test]
fn a_creation_below_the_greatest_call_depth_does_not_load_the_account_with_only_storage() {
    let address = CONTRACT.create(1);
    let create = Code::new().create(&counter_init().bytes(), 0).ops([POP]).push(address).ops([BALANCE, POP]);
    let code = Code::new().branch(descend(), Code::new(), create);
    for fork in forks(Berlin, Prague) {
        let gas = [true, false].map(|has_storage| {
            let mut scenario = Scenario::new(fork, 0);
            if has_storage {
                storage_only(&mut scenario, address, 0);
            }
            let (call, after) = call_deeply(scenario, &code, &[]);
            assert_eq!(after.nonce(CONTRACT), 1, "{fork}");
            after.gas(call)
        });
        assert_eq!(gas[0], gas[1], "{fork}");
    }
}

#[test]
fn a_creation_at_the_greatest_call_depth_fails_at_an_account_with_only_storage() {
    // The last frame but one creates the contract. Slot 1 counts the frames that ended their calls.
    let is_last_but_one = Code::new().push(1).ops([SLOAD]).push(2).ops([EQ]);
    let create = Code::new().create(&counter_init().bytes(), 0).store_top(0);
    let count = descend().ops([POP]).increment(1, 1);
    let code = count.branch(is_last_but_one, create, Code::new());
    for fork in forks(Tangerine, Prague) {
        let address = CONTRACT.create(1);
        let mut scenario = Scenario::new(fork, 0);
        storage_only(&mut scenario, address, 0);
        let (_, after) = call_deeply(scenario, &code, &[(0, 7)]);
        assert_eq!((after.nonce(CONTRACT), after.slots(address)), (2, vec![(7, 5)]), "{fork}");
        assert_eq!(after.slots(CONTRACT), [(1, 1025)], "{fork}");
    }
}
