//! Delegations (EIP-7702): set, used, cleared, by others and by the authority itself.

use alloy_eips::eip7702::{Authorization, RecoveredAuthority, RecoveredAuthorization, SignedAuthorization};
use alloy_hardforks::EthereumHardfork::*;
use alloy_primitives::{Address, U256, keccak256};
use revm::{
    bytecode::opcode::*,
    context::TxEnv,
    context_interface::{either::Either, result::InvalidTransaction},
};

use crate::{
    code::{Code, Word},
    scene::*,
};

pub(crate) const AUTHORITY: Address = Address::repeat_byte(0xa7);

/// A transaction that delegates on behalf of `authority`, whose nonce is stated.
pub(crate) fn delegating(
    scene: &Scene,
    from: Address,
    to: Address,
    authority: Address,
    code: Address,
    nonce: u64,
) -> TxEnv {
    TxEnv {
        tx_type: 4,
        gas_priority_fee: Some(u128::from(PRICE - BASE_FEE)),
        authorization_list: vec![authorization(1, authority, code, nonce)],
        ..scene.to(from, to, 0)
    }
}

/// What `authority` signed for a chain.
pub(crate) fn authorization(
    chain: u64,
    authority: Address,
    code: Address,
    nonce: u64,
) -> Either<SignedAuthorization, RecoveredAuthorization> {
    let authorization = Authorization { chain_id: word(chain), address: code, nonce };
    let authority = RecoveredAuthority::Valid(authority);
    Either::Right(RecoveredAuthorization::new_unchecked(authorization, authority))
}

fn delegate(scene: &mut Scene, from: Address, authority: Address, code: Address, nonce: u64) -> usize {
    let transaction = delegating(scene, from, HEIR, authority, code, nonce);
    scene.send(transaction)
}

pub(crate) fn designation(code: Address) -> Vec<u8> {
    [&[0xef, 0x01, 0x00], code.as_slice()].concat()
}

fn with_counter(scene: &mut Scene) {
    scene.contract(CONTRACT, &Code::new().increment(1, 1), &[]);
    scene.contract(OTHER, &Code::new().increment(1, 100), &[]);
    scene.fund(AUTHORITY, RICH);
    scene.fund(HEIR, 1);
}

#[test]
fn a_delegation_is_set_used_moved_and_cleared_in_one_block() {
    everywhere(&[Prague, Osaka], |mut scene| {
        with_counter(&mut scene);
        scene.call(sender(1), AUTHORITY, 1);
        delegate(&mut scene, sender(0), AUTHORITY, CONTRACT, 0);
        scene.call(sender(2), AUTHORITY, 1);
        scene.call(sender(3), AUTHORITY, 1);
        delegate(&mut scene, sender(0), AUTHORITY, OTHER, 1);
        scene.call(sender(4), AUTHORITY, 1);
        delegate(&mut scene, sender(5), AUTHORITY, Address::ZERO, 2);
        let last = scene.call(sender(6), AUTHORITY, 1);
        let after = scene.play();
        assert_eq!(after.slots(AUTHORITY), [(1, 102)], "{}", after.fork);
        assert_eq!((after.slots(CONTRACT), after.slots(OTHER)), (vec![], vec![]));
        assert_eq!((after.nonce(AUTHORITY), after.code(AUTHORITY).len()), (3, 0));
        assert_eq!(after.balance(AUTHORITY), RICH + 5);
        assert_eq!(after.gas(last), TRANSFER_GAS);
    });
}

#[test]
fn who_sponsors_itself_uses_up_two_nonces() {
    everywhere(&[Prague, Osaka], |mut scene| {
        with_counter(&mut scene);
        scene.transfer(AUTHORITY, HEIR, 1);
        let own = delegating(&scene, AUTHORITY, AUTHORITY, AUTHORITY, CONTRACT, 2);
        scene.send(own);
        *scene.nonce(AUTHORITY) += 1;
        scene.call(sender(0), AUTHORITY, 0);
        let next = scene.transfer(AUTHORITY, HEIR, 1);
        let after = scene.play();
        assert!(after.succeeded(next), "whose code is a delegation may send");
        assert_eq!((after.nonce(AUTHORITY), after.balance(HEIR)), (4, 3), "{}", after.fork);
        assert_eq!(after.slots(AUTHORITY), [(1, 2)]);
        assert_eq!(after.code(AUTHORITY)[..], designation(CONTRACT));
    });
}

#[test]
fn an_authority_that_sends_later_must_count_its_delegations() {
    everywhere(&[Prague, Osaka], |mut scene| {
        with_counter(&mut scene);
        delegate(&mut scene, sender(0), AUTHORITY, CONTRACT, 0);
        *scene.nonce(AUTHORITY) = 1;
        scene.transfer(AUTHORITY, HEIR, 1);
        delegate(&mut scene, sender(0), AUTHORITY, OTHER, 2);
        let stale = TxEnv { nonce: 2, ..scene.to(AUTHORITY, HEIR, 1) };
        let refused = scene.send_as_it_is(stale);
        let reason = InvalidTransaction::NonceTooLow { tx: 2, state: 3 };
        assert_eq!(scene.refusal(), (refused, reason.into()));
    });
}

#[test]
fn an_authorization_counts_only_with_the_nonce_that_earlier_transactions_left() {
    everywhere(&[Prague, Osaka], |mut scene| {
        with_counter(&mut scene);
        let early = delegate(&mut scene, sender(0), AUTHORITY, CONTRACT, 3);
        for _ in 0..3 {
            scene.transfer(AUTHORITY, HEIR, 1);
        }
        let right = delegate(&mut scene, sender(1), AUTHORITY, CONTRACT, 3);
        let late = delegate(&mut scene, sender(2), AUTHORITY, OTHER, 3);
        let after = scene.play();
        assert_eq!((after.nonce(AUTHORITY), after.code(AUTHORITY)[..].to_vec()), (4, designation(CONTRACT)));
        // Each authorization is paid for as if its account were new; who is not gets a part back,
        // which is at most a fifth of the whole.
        let expected = [46_000, 46_000 - 9_200, 46_000];
        assert_eq!([early, right, late].map(|position| after.gas(position)), expected, "{}", after.fork);
    });
}

#[test]
fn whether_an_authority_exists_depends_on_earlier_transactions() {
    let [first, second] = [Address::repeat_byte(0xa8), Address::repeat_byte(0xa9)];
    everywhere(&[Prague, Osaka], |mut scene| {
        with_counter(&mut scene);
        let absent = delegate(&mut scene, sender(0), first, CONTRACT, 0);
        scene.transfer(sender(1), second, 1);
        let existing = delegate(&mut scene, sender(2), second, CONTRACT, 0);
        let again = delegate(&mut scene, sender(3), first, OTHER, 1);
        let after = scene.play();
        let gas = [absent, existing, again].map(|position| after.gas(position));
        assert_eq!(gas, [46_000, 36_800, 36_800], "{}", after.fork);
        assert_eq!((after.nonce(first), after.nonce(second)), (2, 1));
        assert_eq!(after.code(first)[..], designation(OTHER));
    });
}

#[test]
fn a_delegation_to_an_address_without_code_works_once_something_is_created_there() {
    everywhere(&[Prague, Osaka], |mut scene| {
        with_counter(&mut scene);
        let created = sender(7).create(0);
        delegate(&mut scene, sender(0), AUTHORITY, created, 0);
        scene.call(sender(1), AUTHORITY, 0);
        scene.create(sender(7), &Code::new().deploying(&Code::new().increment(1, 7)), 0);
        scene.call(sender(2), AUTHORITY, 0);
        let after = scene.play();
        assert_eq!(after.slots(AUTHORITY), [(1, 7)], "{}", after.fork);
    });
}

#[test]
fn contracts_see_the_designation_and_run_what_it_names() {
    let observer = Code::new()
        .call(AUTHORITY, 0)
        .ops([POP])
        .push(AUTHORITY)
        .ops([EXTCODESIZE])
        .store_where_told()
        .push(AUTHORITY)
        .ops([EXTCODEHASH])
        .argument(1)
        .ops([SSTORE]);
    let observer_address = Address::repeat_byte(0x0b);
    everywhere(&[Prague, Osaka], |mut scene| {
        with_counter(&mut scene);
        scene.contract(observer_address, &observer, &[]);
        scene.tell(sender(0), observer_address, &[word(1), word(2)]);
        delegate(&mut scene, sender(1), AUTHORITY, CONTRACT, 0);
        scene.tell(sender(2), observer_address, &[word(3), word(4)]);
        delegate(&mut scene, sender(3), AUTHORITY, Address::ZERO, 1);
        scene.tell(sender(4), observer_address, &[word(5), word(6)]);
        let after = scene.play();
        let seen = [1, 2, 3, 4, 5, 6].map(|key| after.slot(observer_address, key));
        let hash = |code: &[u8]| Word::from(U256::from_be_bytes(keccak256(code).0)).0;
        let (bare, delegated) = (hash(&[]), hash(&designation(CONTRACT)));
        assert_eq!(seen, [word(0), bare, word(23), delegated, word(0), bare], "{}", after.fork);
        assert_eq!(after.slots(AUTHORITY), [(1, 1)]);
    });
}
