//! Several traps combined in one block.

use alloy_hardforks::EthereumHardfork::*;
use alloy_primitives::{Address, B256, U256, keccak256};
use revm::bytecode::opcode::*;

use super::{
    code::{Code, Word},
    scenario::*,
};

/// With data it destroys itself in favour of the heir. Without data it counts in slot 1.
fn destructible() -> Code {
    let count = Code::new().increment(1, 1);
    Code::new().branch(Code::new().ops([CALLDATASIZE]), Code::new().destroy(HEIR), count)
}

fn init() -> Code {
    Code::new().sstore(2, 5).deploying(&destructible())
}

fn destructible_address() -> Address {
    CONTRACT.create2(B256::ZERO, keccak256(init().bytes()))
}

#[test]
fn a_coinbase_is_created_paid_destroyed_and_recreated_in_its_own_block() {
    for_each_fork(&forks(Petersburg, Shanghai), |mut scenario| {
        let coinbase = destructible_address();
        scenario.header.beneficiary = coinbase;
        scenario.contract(CONTRACT, &Code::new().create2(&init().bytes(), 0).store_top(0), &[]);
        let reading = Code::new().push(coinbase).ops([EXTCODESIZE]).store_at_argument();
        scenario.contract(OTHER, &reading, &[]);
        scenario.fund(HEIR, 1);

        scenario.call_with_words(sender(0), OTHER, &[word(1)]);
        scenario.call(sender(1), CONTRACT, 0);
        scenario.call_with_words(sender(2), OTHER, &[word(2)]);
        scenario.call(sender(3), coinbase, 11);
        let destroying = scenario.call_with_words(sender(4), coinbase, &[U256::ONE]);
        scenario.call_with_words(sender(5), OTHER, &[word(3)]);
        scenario.call(sender(6), CONTRACT, 0);
        scenario.call(sender(7), coinbase, 0);
        let tip = scenario.tip();
        let after = scenario.execute();

        let inherited = 11 + after.gas_before(destroying) * tip;
        let later = (after.all_gas() - after.gas_before(destroying + 1)) * tip;
        let size = destructible().bytes().len() as u64;
        assert_eq!(after.balance(HEIR), 1 + inherited, "{}", after.fork);
        assert_eq!((after.balance(coinbase), after.nonce(coinbase)), (later, 1));
        assert_eq!(after.slots(coinbase), [(1, 1), (2, 5)]);
        assert_eq!(after.slots(OTHER), [(2, size)]);
        assert_eq!((after.nonce(CONTRACT), after.slot(CONTRACT, 0)), (3, Word::from(coinbase).0));
    });
}

const CREATOR: Address = Address::repeat_byte(0x5e);
const CALLER: Address = Address::repeat_byte(0x5f);
/// The maximal gas cost of one transaction of a scenario.
const MAX_GAS_COST: u64 = 400_000 * PRICE;

/// A destruction funds the creator of a contract, and a transfer funds its caller. Returns the positions
/// of the creation and of the call.
fn send_funding_chain(scenario: &mut Scenario) -> (usize, usize) {
    scenario.rich_contract(CONTRACT, 2 * MAX_GAS_COST, &Code::new().destroy(CREATOR), &[(1, 1)]);
    scenario.call(sender(0), CONTRACT, 7);
    let init = Code::new().sstore(3, 30).deploying(&Code::new().increment(3, 1));
    let creating = scenario.create(CREATOR, &init, 1);
    scenario.transfer(sender(1), CALLER, MAX_GAS_COST);
    (creating, scenario.call(CALLER, CREATOR.create(0), 0))
}

#[test]
fn a_sender_funded_by_a_transfer_calls_a_contract_whose_creator_was_funded_by_a_destruction() {
    for_each_fork(&FORKS, |mut scenario| {
        let (creating, calling) = send_funding_chain(&mut scenario);
        let after = scenario.execute();
        let created = CREATOR.create(0);
        assert_eq!(after.slots(created), [(3, 31)], "{}", after.fork);
        assert_eq!(after.balance(created), 1);
        assert_eq!(after.balance(CREATOR), 2 * MAX_GAS_COST + 7 - 1 - after.gas(creating) * PRICE);
        assert_eq!(after.balance(CALLER), MAX_GAS_COST - after.gas(calling) * PRICE);
        assert_eq!(after.exists(CONTRACT), after.fork >= Cancun);
    });
}

#[test]
fn a_caller_without_funds_at_the_end_of_a_funding_chain_makes_the_block_invalid() {
    for_each_fork(&FORKS, |mut scenario| {
        send_funding_chain(&mut scenario);
        scenario.add_unrelated_transfers(3);
        // Its balance lacks the cost of its call.
        let unfunded = scenario.to(CALLER, CREATOR.create(0), 1);
        let rejected = scenario.send_next(unfunded);
        let (index, reason) = scenario.rejection();
        assert_eq!(index, rejected);
        assert!(reason.to_string().starts_with("lack of funds"), "{reason}");
    });
}
