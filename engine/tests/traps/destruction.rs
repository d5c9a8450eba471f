//! Contracts that are destroyed, and what comes after them.

use alloy_hardforks::EthereumHardfork::*;
use alloy_primitives::{Address, B256, U256, keccak256};
use revm::bytecode::opcode::*;

use crate::{
    code::{Code, Word},
    scene::*,
};

/// The factory's init code gives this to slot 1.
const FRESH: u64 = 70;

/// Destroys itself if it is called with data; else it counts in slot 1 and writes one more than
/// slot 2 holds into slot 3.
fn mortal() -> Code {
    let count = Code::new().increment(1, 1).push(2).ops([SLOAD]).push(1).ops([ADD]).store_top(3);
    Code::new().branch(Code::new().ops([CALLDATASIZE]), Code::new().destroy(HEIR), count)
}

fn mortal_init() -> Code {
    Code::new().sstore(1, FRESH).deploying(&mortal())
}

/// Creates the mortal at the one address that it can have, and counts creations in slot 0.
fn factory() -> Code {
    let created = Code::new().create2(&mortal_init().bytes(), 0);
    created.ops([ISZERO, ISZERO]).push(0).ops([SLOAD, ADD]).store_top(0)
}

fn child() -> Address {
    CONTRACT.create2(B256::ZERO, keccak256(mortal_init().bytes()))
}

fn with_factory(scene: &mut Scene) {
    scene.contract(CONTRACT, &factory(), &[]);
    scene.rich_contract(child(), 100, &mortal(), &[(1, 5), (2, 9)]);
    scene.fund(HEIR, 1);
}

#[test]
fn a_contract_that_is_destroyed_and_created_again_starts_with_empty_storage() {
    everywhere(&forks(Petersburg, Osaka), |mut scene| {
        with_factory(&mut scene);
        scene.call(sender(0), child(), 0);
        scene.tell(sender(1), child(), &[U256::ONE]);
        scene.call(sender(2), child(), 3);
        let creating = scene.call(sender(3), CONTRACT, 0);
        let last = scene.call(sender(4), child(), 0);
        let after = scene.play();
        assert!(after.succeeded(creating) && after.succeeded(last));
        assert_eq!(after.balance(child()), 3);
        assert_eq!(after.balance(HEIR), 101);
        assert_eq!((after.nonce(CONTRACT), after.nonce(child())), (2, 1));
        if after.fork < Cancun {
            assert_eq!(after.slots(child()), [(1, FRESH + 1), (3, 1)], "{}", after.fork);
            assert_eq!(after.slots(CONTRACT), [(0, 1)]);
        } else {
            // EIP-6780: it lives on, so that the creation collides.
            assert_eq!(after.slots(child()), [(1, 8), (2, 9), (3, 10)], "{}", after.fork);
            assert_eq!(after.slots(CONTRACT), []);
        }
    });
}

#[test]
fn an_address_can_be_destroyed_and_created_over_and_over() {
    everywhere(&forks(Petersburg, Shanghai), |mut scene| {
        with_factory(&mut scene);
        for turn in 0..5 {
            scene.tell(sender(turn), child(), &[U256::ONE]);
            scene.call(sender(turn + 5), CONTRACT, 0);
            scene.call(sender(turn + 5), child(), 1);
        }
        let after = scene.play();
        assert_eq!(after.slots(child()), [(1, FRESH + 1), (3, 1)], "{}", after.fork);
        assert_eq!((after.slots(CONTRACT), after.nonce(CONTRACT)), (vec![(0, 5)], 6));
        assert_eq!((after.balance(child()), after.balance(HEIR)), (1, 105));
    });
}

#[test]
fn what_is_sent_to_a_destroyed_contract_makes_an_account_without_code_and_storage() {
    everywhere(&FORKS, |mut scene| {
        with_factory(&mut scene);
        let observer = Code::new().push(child()).ops([EXTCODESIZE]).store_where_told();
        scene.contract(OTHER, &observer, &[(0, 1), (1, 1)]);
        scene.tell(sender(0), OTHER, &[U256::ZERO]);
        scene.tell(sender(1), child(), &[U256::ONE]);
        let sending = scene.call(sender(2), child(), 5);
        scene.tell(sender(3), OTHER, &[U256::ONE]);
        let after = scene.play();
        let size = mortal().bytes().len() as u64;
        assert_eq!((after.balance(child()), after.balance(HEIR)), (5, 101));
        if after.fork < Cancun {
            assert_eq!(after.gas(sending), TRANSFER_GAS);
            assert_eq!((after.nonce(child()), after.code(child()).len()), (0, 0));
            assert_eq!(after.slots(child()), [], "{}", after.fork);
            assert_eq!(after.slots(OTHER), [(0, size)]);
        } else {
            assert_eq!((after.nonce(child()), after.code(child())), (1, mortal().bytes()));
            assert_eq!(after.slots(child()), [(1, 6), (2, 9), (3, 10)], "{}", after.fork);
            assert_eq!(after.slots(OTHER), [(0, size), (1, size)]);
        }
    });
}

#[test]
fn a_touch_brings_a_destroyed_contract_back_as_an_empty_account_before_eip_161_only() {
    everywhere(&forks(Frontier, Shanghai), |mut scene| {
        with_factory(&mut scene);
        scene.tell(sender(0), child(), &[U256::ONE]);
        scene.call(sender(1), child(), 0);
        let after = scene.play();
        assert_eq!(after.exists(child()), after.fork < SpuriousDragon, "{}", after.fork);
        assert_eq!((after.nonce(child()), after.slots(child())), (0, vec![]));
        assert_eq!(after.balance(HEIR), 101);
    });
}

#[test]
fn a_contract_may_live_for_one_transaction_only_and_come_back_in_the_next() {
    // EIP-6780 still destroys whoever was created in the same transaction.
    let init = Code::new().sstore(1, FRESH).deploying(&Code::new().increment(1, 1).destroy(HEIR));
    let created = Code::new().create2(&init.bytes(), 4);
    let factory = created.store_top(9).call(address_of(&init), 3).push(0).ops([SLOAD, ADD]).store_top(0);
    everywhere(&forks(Petersburg, Osaka), |mut scene| {
        scene.rich_contract(CONTRACT, 100, &factory, &[]);
        scene.fund(HEIR, 1);
        for turn in 0..6 {
            scene.call(sender(turn), CONTRACT, 0);
            scene.call(sender(turn), address_of(&init), 0);
        }
        let after = scene.play();
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
fn who_leaves_everything_to_itself_burns_it_before_cancun() {
    let burning = Code::new().branch(
        Code::new().ops([CALLDATASIZE]),
        Code::new().ops([ADDRESS, SELFDESTRUCT]),
        Code::new().increment(1, 1),
    );
    everywhere(&FORKS, |mut scene| {
        scene.rich_contract(CONTRACT, 100, &burning, &[(2, 9)]);
        scene.call(sender(0), CONTRACT, 10);
        scene.tell(sender(1), CONTRACT, &[U256::ONE]);
        scene.call(sender(2), CONTRACT, 5);
        let after = scene.play();
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
    // The outer contract calls the mortal one with data and then fails.
    let outer = Code::new().push(1).push(0).ops([MSTORE]).call_with(child(), 0, 32).ops([INVALID]);
    everywhere(&FORKS, |mut scene| {
        with_factory(&mut scene);
        scene.contract(OTHER, &outer, &[]);
        let failing = scene.call(sender(0), OTHER, 0);
        scene.call(sender(1), child(), 0);
        let after = scene.play();
        assert!(!after.succeeded(failing));
        assert_eq!(after.gas(failing), 400_000);
        assert_eq!((after.balance(child()), after.balance(HEIR)), (100, 1));
        assert_eq!(after.slots(child()), [(1, 6), (2, 9), (3, 10)], "{}", after.fork);
    });
}

#[test]
fn an_heir_that_is_destroyed_later_hands_on_what_it_inherited() {
    let grandheir = Address::repeat_byte(0x4f);
    everywhere(&FORKS, |mut scene| {
        scene.rich_contract(CONTRACT, 100, &Code::new().destroy(OTHER), &[]);
        scene.rich_contract(OTHER, 10, &Code::new().destroy(grandheir), &[(1, 1)]);
        scene.call(sender(0), CONTRACT, 1);
        scene.call(sender(1), OTHER, 2);
        scene.call(sender(2), CONTRACT, 3);
        let after = scene.play();
        assert_eq!(after.balance(grandheir), 113, "{}", after.fork);
        assert_eq!(after.exists(OTHER), after.fork >= Cancun);
        // Before Cancun the contract is gone when it gets 3; from then on it passes them on.
        let left = if after.fork < Cancun { (3, 0) } else { (0, 3) };
        assert_eq!((after.balance(CONTRACT), after.balance(OTHER)), left);
    });
}
