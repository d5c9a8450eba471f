//! Planned transactions become signed ones.

use alloy_consensus::TxLegacy;
use alloy_eips::{
    eip2930::{AccessList, AccessListItem},
    eip4844::VERSIONED_HASH_VERSION_KZG,
    eip7702::{Authorization, SignedAuthorization},
};
use alloy_hardforks::EthereumHardfork::{Berlin, Cancun, London, Prague, SpuriousDragon};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use blockloom_engine::{Rules, SignedTransaction};
use blockloom_fixtures::compose::Unsigned;

use crate::{
    assemble::assemble,
    cast::{contract, signer},
    plan::{Binding, Delegation, Form, Plan, To},
    program::word,
};

/// What every hostile block charges for a unit of gas, from London on.
pub(crate) const BASE_FEE: u64 = 7;
/// More than a unit of blob gas costs in any of them.
const BLOB_FEE_CAP: u128 = 1_000;

/// What only shows when a transaction's turn comes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    pub(crate) nonce: u64,
    pub(crate) gas_limit: u64,
    pub(crate) value: U256,
}

/// Signs a planned transaction. `next_nonce` says which nonce the next authorization of an authority
/// needs, each time it is asked.
pub(crate) fn sign(
    plan: &Plan,
    rules: &Rules,
    turn: Turn,
    next_nonce: impl FnMut(&Delegation) -> u64,
) -> SignedTransaction {
    let draft = draft(plan, rules, turn);
    // Neither blobs nor delegations come with a creation.
    let call = || Unsigned { to: recipient(plan).into(), ..draft.clone() };
    let signer = signer(plan.sender);
    match &plan.form {
        Form::SetCode(delegations) if rules.is_active(Prague) => {
            signer.sign(call().set_code(authorizations(delegations, rules.chain_id, next_nonce)))
        }
        Form::Blob(count) if rules.is_active(Cancun) => {
            signer.sign(call().blobs((0..*count).map(blob_hash).collect(), BLOB_FEE_CAP))
        }
        Form::DynamicFee if rules.is_active(London) => {
            // More than the base fee leaves of the price.
            signer.sign(Unsigned { tip: draft.tip + 1, ..draft }.dynamic_fee())
        }
        Form::AccessList if rules.is_active(Berlin) => signer.sign(draft.access_list()),
        form => {
            let is_protected = rules.is_active(SpuriousDragon) && !matches!(form, Form::Unprotected);
            let chain_id = is_protected.then_some(rules.chain_id);
            signer.sign(TxLegacy { chain_id, ..draft.legacy() })
        }
    }
}

/// What the transaction says, whatever its type.
fn draft(plan: &Plan, rules: &Rules, turn: Turn) -> Unsigned {
    let tip = u128::from(plan.tip);
    let gas_price = if rules.is_active(London) { u128::from(BASE_FEE) + tip } else { tip };
    let Turn { nonce, gas_limit, value } = turn;
    Unsigned {
        chain_id: rules.chain_id,
        nonce,
        gas_limit,
        gas_price,
        tip,
        to: kind(plan),
        value,
        access_list: access_list(plan),
        input: input(plan, rules),
    }
}

fn kind(plan: &Plan) -> TxKind {
    match plan.to {
        To::Creation(_) => TxKind::Create,
        _ => TxKind::Call(recipient(plan)),
    }
}

/// Who is called. Blob and set-code transactions cannot create contracts: they call one.
fn recipient(plan: &Plan) -> Address {
    match plan.to {
        To::Contract(number) => contract(number),
        To::Account(address) => address,
        To::Creation(_) => contract(0),
    }
}

/// Init code, or the named account followed by enough bytes for any of the system contracts.
fn input(plan: &Plan, rules: &Rules) -> Bytes {
    match &plan.to {
        To::Creation(program) => assemble(program, rules.fork).into(),
        To::Contract(_) => plan.named.into_word().into(),
        To::Account(address) => {
            let mut input = plan.named.into_word().to_vec();
            input.resize(crate::system::input_length(address), 0);
            input.into()
        }
    }
}

fn access_list(plan: &Plan) -> AccessList {
    let items = plan.access.iter().map(|(address, slot)| AccessListItem {
        address: *address,
        storage_keys: vec![B256::from(word((*slot).into()))],
    });
    AccessList(items.collect())
}

fn authorizations(
    delegations: &[Delegation],
    chain_id: u64,
    mut next_nonce: impl FnMut(&Delegation) -> u64,
) -> Vec<SignedAuthorization> {
    let sign = |delegation: &Delegation| {
        let nonce = next_nonce(delegation);
        let (chain_id, nonce) = match delegation.binding {
            Binding::ThisChain => (chain_id, nonce),
            Binding::AnyChain => (0, nonce),
            Binding::AnotherChain => (chain_id + 1, nonce),
            Binding::AnotherNonce => (chain_id, nonce + 1),
        };
        let authorization =
            Authorization { chain_id: U256::from(chain_id), address: delegation.target, nonce };
        let signature = signer(delegation.authority).sign_hash(authorization.signature_hash());
        authorization.into_signed(signature)
    };
    delegations.iter().map(sign).collect()
}

fn blob_hash(position: u8) -> B256 {
    let mut hash = B256::with_last_byte(position + 1);
    hash[0] = VERSIONED_HASH_VERSION_KZG;
    hash
}
