//! Delegations (EIP-7702): set, used, changed and cleared, also by the authority itself.

use alloy_eips::eip7702::{Authorization, RecoveredAuthority, RecoveredAuthorization, SignedAuthorization};
use alloy_hardforks::EthereumHardfork::*;
use alloy_primitives::{Address, U256, keccak256};
use revm::{
    bytecode::opcode::*,
    context::TxEnv,
    context_interface::{either::Either, result::InvalidTransaction},
};

use super::{
    code::{Code, Word},
    scenario::*,
};

pub(crate) const AUTHORITY: Address = Address::repeat_byte(0xa7);

/// A transaction of `from` with an authorization of `authority` for this nonce.
pub(crate) fn delegating(
    scenario: &Scenario,
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
        ..scenario.to(from, to, 0)
    }
}

/// An authorization that `authority` signed for a chain.
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

fn delegate(scenario: &mut Scenario, from: Address, authority: Address, code: Address, nonce: u64) -> usize {
    let transaction = delegating(scenario, from, HEIR, authority, code, nonce);
    scenario.send(transaction)
}

pub(crate) fn designator(code: Address) -> Vec<u8> {
    [&[0xef, 0x01, 0x00], code.as_slice()].concat()
}

fn with_counter(scenario: &mut Scenario) {
    scenario.contract(CONTRACT, &Code::new().increment(1, 1), &[]);
    scenario.contract(OTHER, &Code::new().increment(1, 100), &[]);
    scenario.fund(AUTHORITY, RICH);
    scenario.fund(HEIR, 1);
}

#[test]
fn a_delegation_is_set_used_changed_and_cleared_in_one_block() {
    for_each_fork(&[Prague, Osaka], |mut scenario| {
        with_counter(&mut scenario);
        scenario.call(sender(1), AUTHORITY, 1);
        delegate(&mut scenario, sender(0), AUTHORITY, CONTRACT, 0);
        scenario.call(sender(2), AUTHORITY, 1);
        scenario.call(sender(3), AUTHORITY, 1);
        delegate(&mut scenario, sender(0), AUTHORITY, OTHER, 1);
        scenario.call(sender(4), AUTHORITY, 1);
        delegate(&mut scenario, sender(5), AUTHORITY, Address::ZERO, 2);
        let last = scenario.call(sender(6), AUTHORITY, 1);
        let after = scenario.execute();
        assert_eq!(after.slots(AUTHORITY), [(1, 102)], "{}", after.fork);
        assert_eq!((after.slots(CONTRACT), after.slots(OTHER)), (vec![], vec![]));
        assert_eq!((after.nonce(AUTHORITY), after.code(AUTHORITY).len()), (3, 0));
        assert_eq!(after.balance(AUTHORITY), RICH + 5);
        assert_eq!(after.gas(last), TRANSFER_GAS);
    });
}

#[test]
fn a_self_sponsored_delegation_uses_two_nonces() {
    for_each_fork(&[Prague, Osaka], |mut scenario| {
        with_counter(&mut scenario);
        scenario.transfer(AUTHORITY, HEIR, 1);
        let own = delegating(&scenario, AUTHORITY, AUTHORITY, AUTHORITY, CONTRACT, 2);
        scenario.send(own);
        *scenario.nonce(AUTHORITY) += 1;
        scenario.call(sender(0), AUTHORITY, 0);
        let next = scenario.transfer(AUTHORITY, HEIR, 1);
        let after = scenario.execute();
        assert!(after.succeeded(next), "an account with a delegation can send");
        assert_eq!((after.nonce(AUTHORITY), after.balance(HEIR)), (4, 3), "{}", after.fork);
        assert_eq!(after.slots(AUTHORITY), [(1, 2)]);
        assert_eq!(after.code(AUTHORITY)[..], designator(CONTRACT));
    });
}

#[test]
fn an_authority_that_sends_later_needs_a_nonce_after_its_delegations() {
    for_each_fork(&[Prague, Osaka], |mut scenario| {
        with_counter(&mut scenario);
        delegate(&mut scenario, sender(0), AUTHORITY, CONTRACT, 0);
        *scenario.nonce(AUTHORITY) = 1;
        scenario.transfer(AUTHORITY, HEIR, 1);
        delegate(&mut scenario, sender(0), AUTHORITY, OTHER, 2);
        let wrong_nonce = TxEnv { nonce: 2, ..scenario.to(AUTHORITY, HEIR, 1) };
        let rejected = scenario.send_unchanged(wrong_nonce);
        let reason = InvalidTransaction::NonceTooLow { tx: 2, state: 3 };
        assert_eq!(scenario.rejection(), (rejected, reason.into()));
    });
}

#[test]
fn an_authorization_is_valid_only_with_the_nonce_that_earlier_transactions_left() {
    for_each_fork(&[Prague, Osaka], |mut scenario| {
        with_counter(&mut scenario);
        let early = delegate(&mut scenario, sender(0), AUTHORITY, CONTRACT, 3);
        for _ in 0..3 {
            scenario.transfer(AUTHORITY, HEIR, 1);
        }
        let right = delegate(&mut scenario, sender(1), AUTHORITY, CONTRACT, 3);
        let late = delegate(&mut scenario, sender(2), AUTHORITY, OTHER, 3);
        let after = scenario.execute();
        assert_eq!((after.nonce(AUTHORITY), after.code(AUTHORITY)[..].to_vec()), (4, designator(CONTRACT)));
        // Each authorization pays for a new account. An existing account brings a refund, of a fifth
        // of the gas at most.
        let expected = [46_000, 46_000 - 9_200, 46_000];
        assert_eq!([early, right, late].map(|position| after.gas(position)), expected, "{}", after.fork);
    });
}

#[test]
fn the_refund_for_an_existing_authority_depends_on_earlier_transactions() {
    let [first, second] = [Address::repeat_byte(0xa8), Address::repeat_byte(0xa9)];
    for_each_fork(&[Prague, Osaka], |mut scenario| {
        with_counter(&mut scenario);
        let absent = delegate(&mut scenario, sender(0), first, CONTRACT, 0);
        scenario.transfer(sender(1), second, 1);
        let existing = delegate(&mut scenario, sender(2), second, CONTRACT, 0);
        let again = delegate(&mut scenario, sender(3), first, OTHER, 1);
        let after = scenario.execute();
        let gas = [absent, existing, again].map(|position| after.gas(position));
        assert_eq!(gas, [46_000, 36_800, 36_800], "{}", after.fork);
        assert_eq!((after.nonce(first), after.nonce(second)), (2, 1));
        assert_eq!(after.code(first)[..], designator(OTHER));
    });
}

#[test]
fn a_delegation_to_an_address_without_code_works_after_a_creation_there() {
    for_each_fork(&[Prague, Osaka], |mut scenario| {
        with_counter(&mut scenario);
        let created = sender(7).create(0);
        delegate(&mut scenario, sender(0), AUTHORITY, created, 0);
        scenario.call(sender(1), AUTHORITY, 0);
        scenario.create(sender(7), &Code::new().deploying(&Code::new().increment(1, 7)), 0);
        scenario.call(sender(2), AUTHORITY, 0);
        let after = scenario.execute();
        assert_eq!(after.slots(AUTHORITY), [(1, 7)], "{}", after.fork);
    });
}

#[test]
fn contracts_see_the_delegation_designator_and_run_the_code_that_it_names() {
    let observer = Code::new()
        .call(AUTHORITY, 0)
        .ops([POP])
        .push(AUTHORITY)
        .ops([EXTCODESIZE])
        .store_at_argument()
        .push(AUTHORITY)
        .ops([EXTCODEHASH])
        .argument(1)
        .ops([SSTORE]);
    const OBSERVER: Address = Address::repeat_byte(0x0b);
    for_each_fork(&[Prague, Osaka], |mut scenario| {
        with_counter(&mut scenario);
        scenario.contract(OBSERVER, &observer, &[]);
        scenario.call_with_words(sender(0), OBSERVER, &[word(1), word(2)]);
        delegate(&mut scenario, sender(1), AUTHORITY, CONTRACT, 0);
        scenario.call_with_words(sender(2), OBSERVER, &[word(3), word(4)]);
        delegate(&mut scenario, sender(3), AUTHORITY, Address::ZERO, 1);
        scenario.call_with_words(sender(4), OBSERVER, &[word(5), word(6)]);
        let after = scenario.execute();
        let found = [1, 2, 3, 4, 5, 6].map(|key| after.slot(OBSERVER, key));
        let hash = |code: &[u8]| Word::from(U256::from_be_bytes(keccak256(code).0)).0;
        let (bare, delegated) = (hash(&[]), hash(&designator(CONTRACT)));
        assert_eq!(found, [word(0), bare, word(23), delegated, word(0), bare], "{}", after.fork);
        assert_eq!(after.slots(AUTHORITY), [(1, 1)]);
    });
}
