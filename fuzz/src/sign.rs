//! Signs planned transactions.

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
    actors::{contract, signer},
    assemble::assemble,
    message::To,
    plan::{Binding, Delegation, Form, Plan},
    program::word,
};

/// The base fee of every hostile block, from London on.
pub(crate) const BASE_FEE: u64 = 7;
/// More than the blob base fee of any of them.
const BLOB_FEE_CAP: u128 = 1_000;

/// The fields of a transaction that the dry run decides.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resolved {
    pub(crate) nonce: u64,
    pub(crate) gas_limit: u64,
    pub(crate) value: U256,
}

/// Signs a planned transaction. `next_nonce` returns the nonce of the next authorization by an
/// authority, once per authorization.
pub(crate) fn sign(
    plan: &Plan,
    rules: &Rules,
    resolved: Resolved,
    next_nonce: impl FnMut(&Delegation) -> u64,
) -> SignedTransaction {
    let draft = draft(plan, rules, resolved);
    // Blob and set-code transactions cannot create contracts.
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
            // One more than the difference between fee cap and base fee.
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

/// The transaction's fields, for any type.
fn draft(plan: &Plan, rules: &Rules, resolved: Resolved) -> Unsigned {
    let tip = u128::from(plan.tip);
    let gas_price = if rules.is_active(London) { u128::from(BASE_FEE) + tip } else { tip };
    let Resolved { nonce, gas_limit, value } = resolved;
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

/// The account that is called. In place of a creation, which blob and set-code transactions cannot do,
/// it is a contract.
fn recipient(plan: &Plan) -> Address {
    match plan.to {
        To::Contract(number) => contract(number),
        To::Account(address) => address,
        To::Creation(_) => contract(0),
    }
}

/// Init code, or the account in the input, padded to the length that system contracts expect.
fn input(plan: &Plan, rules: &Rules) -> Bytes {
    match &plan.to {
        To::Creation(program) => assemble(program, rules.fork).into(),
        To::Contract(_) => plan.input_account.into_word().into(),
        To::Account(address) => {
            let mut input = plan.input_account.into_word().to_vec();
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
            Binding::AnotherNonce => (chain_id, nonce.wrapping_add(1)),
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
