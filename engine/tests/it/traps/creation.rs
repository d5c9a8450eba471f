//! Contract creation: used addresses, creator nonces, and calls before and after a creation.

use alloy_hardforks::EthereumHardfork::*;
use alloy_primitives::{Address, B256, U256, keccak256};
use blockloom_state::Allocation;
use revm::{bytecode::opcode::*, context::TxEnv};

use super::{
    code::{Code, Word},
    scenario::*,
};

/// Counts its calls in slot 1.
fn counter() -> Code {
    Code::new().increment(1, 1)
}

fn counter_init() -> Code {
    Code::new().deploying(&counter())
}

/// Creates a counter, always at the same address, and writes the address into the slot that the call
/// data names.
fn creator2() -> Code {
    Code::new().create2(&counter_init().bytes(), 0).store_at_argument()
}

fn child() -> Address {
    CONTRACT.create2(B256::ZERO, keccak256(counter_init().bytes()))
}

#[test]
fn an_address_with_only_a_balance_is_free_for_exactly_one_creation() {
    for_each_fork(&forks(Petersburg, Osaka), |mut scenario| {
        scenario.contract(CONTRACT, &creator2(), &[(1, 7)]);
        scenario.call(sender(0), child(), 9);
        let first = scenario.call_with_words(sender(1), CONTRACT, &[U256::ZERO]);
        let second = scenario.call_with_words(sender(2), CONTRACT, &[U256::ONE]);
        scenario.call(sender(3), child(), 0);
        let after = scenario.execute();
        assert_eq!(after.slot(CONTRACT, 0), Word::from(child()).0, "{}", after.fork);
        assert_eq!(after.slot(CONTRACT, 1), U256::ZERO);
        assert!(after.succeeded(first) && after.succeeded(second));
        // A creation at a used address consumes the forwarded gas: all but a 64th.
        assert!(after.gas(second) > 350_000 && after.gas(first) < 150_000);
        assert_eq!((after.balance(child()), after.nonce(child())), (9, 1));
        assert_eq!((after.nonce(CONTRACT), after.slots(child())), (3, vec![(1, 1)]));
    });
}

#[test]
fn from_amsterdam_on_a_creation_costs_less_at_an_address_that_has_a_balance() {
    // The cost of a new account (EIP-8037).
    const NEW_ACCOUNT: u64 = 183_600;
    for gap in [0, 1, 9] {
        let gas_after_paying = |wei| {
            let mut scenario = Scenario::new(Amsterdam, gap);
            scenario.contract(CONTRACT, &creator2(), &[(0, 7)]);
            let payee = if wei == 0 { HEIR } else { child() };
            scenario.call(sender(0), payee, 9);
            let creating = scenario.call_with_words(sender(1), CONTRACT, &[U256::ZERO]);
            let after = scenario.execute();
            assert_eq!(after.slot(CONTRACT, 0), Word::from(child()).0);
            after.gas(creating)
        };
        assert_eq!(gas_after_paying(0) - gas_after_paying(9), NEW_ACCOUNT);
    }
}

#[test]
fn a_creation_fails_at_an_address_with_only_a_nonce() {
    for_each_fork(&forks(Petersburg, Osaka), |mut scenario| {
        scenario.contract(CONTRACT, &creator2(), &[(0, 7)]);
        scenario.base.insert(child(), Allocation { balance: word(RICH), ..Allocation::default() });
        // The holder of the key of this address sends before and after the creation.
        scenario.transfer(child(), HEIR, 1);
        scenario.call_with_words(sender(0), CONTRACT, &[U256::ZERO]);
        scenario.transfer(child(), HEIR, 1);
        let after = scenario.execute();
        assert_eq!(after.slot(CONTRACT, 0), U256::ZERO, "{}", after.fork);
        assert_eq!((after.nonce(CONTRACT), after.nonce(child()), after.balance(HEIR)), (2, 2, 2));
        assert_eq!(after.code(child()).len(), 0);
    });
}

#[test]
fn the_address_of_a_new_contract_can_no_longer_send() {
    for_each_fork(&forks(Petersburg, Osaka), |mut scenario| {
        scenario.contract(CONTRACT, &creator2(), &[]);
        scenario.base.insert(child(), Allocation { balance: word(RICH), ..Allocation::default() });
        scenario.call_with_words(sender(0), CONTRACT, &[U256::ZERO]);
        let sending = TxEnv { nonce: 1, ..scenario.to(child(), HEIR, 1) };
        let rejected = scenario.send_unchanged(sending);
        let (index, reason) = scenario.rejection();
        assert_eq!(index, rejected);
        assert_eq!(reason.to_string(), "reject transactions from senders with deployed code");
    });
}

#[test]
fn a_creator_that_many_transactions_call_creates_at_consecutive_nonces() {
    // Writes the number of the creation into the slot that the new address names.
    let creator =
        Code::new().increment(0, 1).push(0).ops([SLOAD]).create(&counter_init().bytes(), 0).ops([SSTORE]);
    for_each_fork(&FORKS, |mut scenario| {
        scenario.contract(CONTRACT, &creator, &[]);
        for i in 0..12 {
            scenario.call(sender(i), CONTRACT, 0);
        }
        // The eleventh contract exists when it is called. The thirteenth is never created.
        scenario.call(sender(12), CONTRACT.create(11), 0);
        scenario.call(sender(13), CONTRACT.create(13), 1);
        let after = scenario.execute();
        assert_eq!((after.nonce(CONTRACT), after.slot(CONTRACT, 0)), (13, word(12)), "{}", after.fork);
        for number in 1..=12 {
            let created = CONTRACT.create(number);
            assert_eq!(after.slot(CONTRACT, created), word(number));
            assert_eq!(after.code(created), counter().bytes());
            assert_eq!(after.nonce(created), u64::from(after.fork >= SpuriousDragon));
        }
        assert_eq!(after.slots(CONTRACT.create(11)), [(1, 1)]);
        assert_eq!((after.balance(CONTRACT.create(13)), after.nonce(CONTRACT.create(13))), (1, 0));
    });
}

#[test]
fn a_call_before_a_creation_finds_no_code_and_calls_after_it_find_the_contract() {
    for_each_fork(&FORKS, |mut scenario| {
        let created = sender(0).create(1);
        scenario.transfer(sender(0), HEIR, 1);
        let before = scenario.call(sender(1), created, 3);
        let creating = scenario.create(sender(0), &Code::new().sstore(1, 40).deploying(&counter()), 2);
        scenario.call(sender(2), created, 0);
        scenario.call(sender(1), created, 0);
        let after = scenario.execute();
        assert_eq!(after.gas(before), TRANSFER_GAS);
        assert!(after.succeeded(creating));
        assert_eq!(after.slots(created), [(1, 42)], "{}", after.fork);
        assert_eq!((after.balance(created), after.nonce(sender(0))), (5, 2));
    });
}

#[test]
fn a_failed_creation_still_advances_the_nonce() {
    let failing = Code::new().sstore(1, 1).ops([INVALID]);
    for_each_fork(&FORKS, |mut scenario| {
        let failed = scenario.create(sender(0), &failing, 5);
        scenario.call(sender(1), sender(0).create(0), 0);
        scenario.create(sender(0), &counter_init(), 5);
        scenario.call(sender(2), sender(0).create(1), 0);
        scenario.call(sender(3), sender(0).create(0), 1);
        let after = scenario.execute();
        assert!(!after.succeeded(failed));
        assert_eq!(after.gas(failed), 400_000);
        assert_eq!((after.balance(sender(0).create(0)), after.nonce(sender(0).create(0))), (1, 0));
        assert_eq!(after.slots(sender(0).create(0)), [], "{}", after.fork);
        assert_eq!(after.balance(sender(0).create(1)), 5);
        assert_eq!(after.slots(sender(0).create(1)), [(1, 1)]);
    });
}

#[test]
fn a_creation_with_an_empty_code_keeps_an_empty_account() {
    let created = sender(0).create(0);
    for_each_fork(&FORKS, |mut scenario| {
        scenario.base.insert(created, Allocation::default());
        let creating = scenario.create(sender(0), &Code::new().ops([STOP]), 0);
        let after = scenario.execute();
        assert!(after.succeeded(creating) && after.exists(created), "{}", after.fork);
        assert_eq!(after.nonce(created), u64::from(after.fork >= SpuriousDragon), "{}", after.fork);
    });
}

#[test]
fn a_creator_without_funds_creates_only_after_it_is_funded() {
    // Without value it creates with 5 wei, and writes the address into the slot that the call data names.
    let creating = Code::new().create(&counter_init().bytes(), 5).store_at_argument();
    let creator = Code::new().branch(Code::new().ops([CALLVALUE]), Code::new(), creating);
    for_each_fork(&FORKS, |mut scenario| {
        scenario.rich_contract(CONTRACT, 4, &creator, &[(0, 1), (2, 1)]);
        scenario.call_with_words(sender(0), CONTRACT, &[word(0)]);
        scenario.call(sender(1), CONTRACT, 1);
        scenario.call_with_words(sender(2), CONTRACT, &[word(1)]);
        scenario.call_with_words(sender(3), CONTRACT, &[word(2)]);
        let after = scenario.execute();
        let created = CONTRACT.create(1);
        assert_eq!(after.slot(CONTRACT, 0), U256::ZERO, "{}", after.fork);
        assert_eq!(after.slot(CONTRACT, 1), Word::from(created).0);
        assert_eq!(after.slot(CONTRACT, 2), U256::ZERO);
        // A creation without funds does not advance the nonce.
        assert_eq!((after.nonce(CONTRACT), after.balance(CONTRACT), after.balance(created)), (2, 0, 5));
    });
}

#[test]
fn a_creation_without_funds_succeeds_after_the_transaction_before_funds_it() {
    // From Amsterdam on a creation without funds ends before it reads anything. The creator is called
    // by another contract, because everything about a transaction's direct target is read.
    let creating = Code::new().create(&counter_init().bytes(), 5).push(1).ops([SSTORE]);
    let creator = Code::new().branch(Code::new().ops([CALLVALUE]), Code::new(), creating);
    let no_data = Code::new().push(0).push(0).push(0).push(0).push(0);
    let caller = no_data.push(CONTRACT).push(1_000_000).ops([CALL, POP]);
    for_each_fork(&[&FORKS[..], &[Amsterdam]].concat(), |mut scenario| {
        scenario.rich_contract(CONTRACT, 4, &creator, &[(0, 1)]);
        scenario.contract(OTHER, &caller, &[]);
        for i in 0..3 {
            let (to, value) = if i == 1 { (CONTRACT, 1) } else { (OTHER, 0) };
            let call = scenario.to(sender(i), to, value);
            scenario.send(TxEnv { gas_limit: 2_000_000, ..call });
        }
        let after = scenario.execute();
        assert_eq!(after.slot(CONTRACT, 1), Word::from(CONTRACT.create(1)).0, "{}", after.fork);
        assert_eq!((after.nonce(CONTRACT), after.balance(CONTRACT)), (2, 0));
    });
}

#[test]
fn a_created_contract_calls_a_contract_that_a_later_transaction_creates() {
    for_each_fork(&FORKS, |mut scenario| {
        let second = sender(1).create(0);
        let caller = Code::new().call(second, 0).store_at_argument();
        let first = sender(0).create(0);
        scenario.create(sender(0), &Code::new().deploying(&caller), 0);
        scenario.call_with_words(sender(2), first, &[word(7)]);
        scenario.create(sender(1), &counter_init(), 0);
        scenario.call_with_words(sender(3), first, &[word(8)]);
        let after = scenario.execute();
        assert_eq!(after.slots(first), [(7, 1), (8, 1)], "{}", after.fork);
        assert_eq!(after.slots(second), [(1, 1)]);
    });
}
