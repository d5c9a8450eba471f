//! Contracts that are created: at taken addresses, by creators that advance, and before they are called.

use alloy_hardforks::EthereumHardfork::*;
use alloy_primitives::{Address, B256, U256, keccak256};
use blockloom_state::Allocation;
use revm::{bytecode::opcode::*, context::TxEnv};

use crate::{
    code::{Code, Word},
    scene::*,
};

/// Counts how often it is called.
fn counter() -> Code {
    Code::new().increment(1, 1)
}

fn counter_init() -> Code {
    Code::new().deploying(&counter())
}

/// Creates a counter at the one address that it can have; writes the address to the slot it is told.
fn creator2() -> Code {
    Code::new().create2(&counter_init().bytes(), 0).store_where_told()
}

fn child() -> Address {
    CONTRACT.create2(B256::ZERO, keccak256(counter_init().bytes()))
}

#[test]
fn an_address_that_only_has_a_balance_is_free_and_is_taken_from_then_on() {
    everywhere(&forks(Petersburg, Osaka), |mut scene| {
        scene.contract(CONTRACT, &creator2(), &[(1, 7)]);
        scene.call(sender(0), child(), 9);
        let first = scene.tell(sender(1), CONTRACT, &[U256::ZERO]);
        let second = scene.tell(sender(2), CONTRACT, &[U256::ONE]);
        scene.call(sender(3), child(), 0);
        let after = scene.play();
        assert_eq!(after.slot(CONTRACT, 0), Word::from(child()).0, "{}", after.fork);
        assert_eq!(after.slot(CONTRACT, 1), U256::ZERO);
        assert!(after.succeeded(first) && after.succeeded(second));
        // A collision takes the gas that was handed on: all but a 64th.
        assert!(after.gas(second) > 350_000 && after.gas(first) < 150_000);
        assert_eq!((after.balance(child()), after.nonce(child())), (9, 1));
        assert_eq!((after.nonce(CONTRACT), after.slots(child())), (3, vec![(1, 1)]));
    });
}

#[test]
fn from_amsterdam_on_a_creation_costs_less_at_an_address_that_was_paid_before() {
    // What EIP-8037 takes for a new account.
    const NEW_ACCOUNT: u64 = 183_600;
    for gap in [0, 1, 9] {
        let gas_after_paying = |wei| {
            let mut scene = Scene::new(Amsterdam, gap);
            scene.contract(CONTRACT, &creator2(), &[(0, 7)]);
            let payee = if wei == 0 { HEIR } else { child() };
            scene.call(sender(0), payee, 9);
            let creating = scene.tell(sender(1), CONTRACT, &[U256::ZERO]);
            let after = scene.play();
            assert_eq!(after.slot(CONTRACT, 0), Word::from(child()).0);
            after.gas(creating)
        };
        assert_eq!(gas_after_paying(0) - gas_after_paying(9), NEW_ACCOUNT);
    }
}

#[test]
fn an_address_with_nothing_but_a_nonce_is_taken() {
    everywhere(&forks(Petersburg, Osaka), |mut scene| {
        scene.contract(CONTRACT, &creator2(), &[(0, 7)]);
        scene.base.insert(child(), Allocation { balance: word(RICH), ..Allocation::default() });
        // Somebody who has the key to the address sends first, and again later.
        scene.transfer(child(), HEIR, 1);
        scene.tell(sender(0), CONTRACT, &[U256::ZERO]);
        scene.transfer(child(), HEIR, 1);
        let after = scene.play();
        assert_eq!(after.slot(CONTRACT, 0), U256::ZERO, "{}", after.fork);
        assert_eq!((after.nonce(CONTRACT), after.nonce(child()), after.balance(HEIR)), (2, 2, 2));
        assert_eq!(after.code(child()).len(), 0);
    });
}

#[test]
fn whoever_has_the_key_to_a_new_contract_cannot_send_any_more() {
    everywhere(&forks(Petersburg, Osaka), |mut scene| {
        scene.contract(CONTRACT, &creator2(), &[]);
        scene.base.insert(child(), Allocation { balance: word(RICH), ..Allocation::default() });
        scene.tell(sender(0), CONTRACT, &[U256::ZERO]);
        let sending = TxEnv { nonce: 1, ..scene.to(child(), HEIR, 1) };
        let refused = scene.send_as_it_is(sending);
        let (index, reason) = scene.refusal();
        assert_eq!(index, refused);
        assert_eq!(reason.to_string(), "reject transactions from senders with deployed code");
    });
}

#[test]
fn each_transaction_that_lets_a_contract_create_finds_its_nonce_advanced() {
    // Writes the number of the creation under the address of the created.
    let creator =
        Code::new().increment(0, 1).push(0).ops([SLOAD]).create(&counter_init().bytes(), 0).ops([SSTORE]);
    everywhere(&FORKS, |mut scene| {
        scene.contract(CONTRACT, &creator, &[]);
        for turn in 0..12 {
            scene.call(sender(turn), CONTRACT, 0);
        }
        // The last but one address is called when it exists, the one after the last before it could.
        scene.call(sender(12), CONTRACT.create(11), 0);
        scene.call(sender(13), CONTRACT.create(13), 1);
        let after = scene.play();
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
fn a_contract_is_called_before_it_exists_and_right_after() {
    everywhere(&FORKS, |mut scene| {
        let created = sender(0).create(1);
        scene.transfer(sender(0), HEIR, 1);
        let before = scene.call(sender(1), created, 3);
        let creating = scene.create(sender(0), &Code::new().sstore(1, 40).deploying(&counter()), 2);
        scene.call(sender(2), created, 0);
        scene.call(sender(1), created, 0);
        let after = scene.play();
        assert_eq!(after.gas(before), TRANSFER_GAS);
        assert!(after.succeeded(creating));
        assert_eq!(after.slots(created), [(1, 42)], "{}", after.fork);
        assert_eq!((after.balance(created), after.nonce(sender(0))), (5, 2));
    });
}

#[test]
fn a_creation_that_fails_still_moves_the_next_one_to_another_address() {
    let failing = Code::new().sstore(1, 1).ops([INVALID]);
    everywhere(&FORKS, |mut scene| {
        let failed = scene.create(sender(0), &failing, 5);
        scene.call(sender(1), sender(0).create(0), 0);
        scene.create(sender(0), &counter_init(), 5);
        scene.call(sender(2), sender(0).create(1), 0);
        scene.call(sender(3), sender(0).create(0), 1);
        let after = scene.play();
        assert!(!after.succeeded(failed));
        assert_eq!(after.gas(failed), 400_000);
        assert_eq!((after.balance(sender(0).create(0)), after.nonce(sender(0).create(0))), (1, 0));
        assert_eq!(after.slots(sender(0).create(0)), [], "{}", after.fork);
        assert_eq!(after.balance(sender(0).create(1)), 5);
        assert_eq!(after.slots(sender(0).create(1)), [(1, 1)]);
    });
}

#[test]
fn a_creator_that_becomes_rich_enough_creates_and_before_it_does_not() {
    // Creates with 5 wei if it has them; writes what it created to the slot it is told.
    let creating = Code::new().create(&counter_init().bytes(), 5).store_where_told();
    let creator = Code::new().branch(Code::new().ops([CALLVALUE]), Code::new(), creating);
    everywhere(&FORKS, |mut scene| {
        scene.rich_contract(CONTRACT, 4, &creator, &[(0, 1), (2, 1)]);
        scene.tell(sender(0), CONTRACT, &[word(0)]);
        scene.call(sender(1), CONTRACT, 1);
        scene.tell(sender(2), CONTRACT, &[word(1)]);
        scene.tell(sender(3), CONTRACT, &[word(2)]);
        let after = scene.play();
        let created = CONTRACT.create(1);
        assert_eq!(after.slot(CONTRACT, 0), U256::ZERO, "{}", after.fork);
        assert_eq!(after.slot(CONTRACT, 1), Word::from(created).0);
        assert_eq!(after.slot(CONTRACT, 2), U256::ZERO);
        // Who is too poor to create keeps its nonce.
        assert_eq!((after.nonce(CONTRACT), after.balance(CONTRACT), after.balance(created)), (2, 0, 5));
    });
}

#[test]
fn a_creation_that_could_not_be_paid_is_paid_for_just_before() {
    // From Amsterdam on a creation that cannot be paid ends before it has begun. The creator is called
    // by another contract, for at whom a transaction is sent is looked at in every way there.
    let creating = Code::new().create(&counter_init().bytes(), 5).push(1).ops([SSTORE]);
    let creator = Code::new().branch(Code::new().ops([CALLVALUE]), Code::new(), creating);
    let no_data = Code::new().push(0).push(0).push(0).push(0).push(0);
    let caller = no_data.push(CONTRACT).push(1_000_000).ops([CALL, POP]);
    everywhere(&[&FORKS[..], &[Amsterdam]].concat(), |mut scene| {
        scene.rich_contract(CONTRACT, 4, &creator, &[(0, 1)]);
        scene.contract(OTHER, &caller, &[]);
        for turn in 0..3 {
            let (to, value) = if turn == 1 { (CONTRACT, 1) } else { (OTHER, 0) };
            let call = scene.to(sender(turn), to, value);
            scene.send(TxEnv { gas_limit: 2_000_000, ..call });
        }
        let after = scene.play();
        assert_eq!(after.slot(CONTRACT, 1), Word::from(CONTRACT.create(1)).0, "{}", after.fork);
        assert_eq!((after.nonce(CONTRACT), after.balance(CONTRACT)), (2, 0));
    });
}

#[test]
fn a_contract_that_one_transaction_creates_calls_one_that_another_creates() {
    everywhere(&FORKS, |mut scene| {
        let second = sender(1).create(0);
        let caller = Code::new().call(second, 0).store_where_told();
        let first = sender(0).create(0);
        scene.create(sender(0), &Code::new().deploying(&caller), 0);
        scene.tell(sender(2), first, &[word(7)]);
        scene.create(sender(1), &counter_init(), 0);
        scene.tell(sender(3), first, &[word(8)]);
        let after = scene.play();
        assert_eq!(after.slots(first), [(7, 1), (8, 1)], "{}", after.fork);
        assert_eq!(after.slots(second), [(1, 1)]);
    });
}
