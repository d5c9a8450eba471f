//! The types of transactions, and how an errand becomes a signed one.

use alloy_consensus::Header;
use alloy_eips::{
    eip2930::{AccessList, AccessListItem},
    eip4844::VERSIONED_HASH_VERSION_KZG,
    eip7702::SignedAuthorization,
};
use alloy_primitives::{Address, B256, TxKind, keccak256};
use blockloom_engine::{Rules, SignedTransaction};
use blockloom_fixtures::{compose::Unsigned, contracts::token};

use super::people::Person;
use crate::workloads::{
    job::{Errand, Job},
    random::Random,
};

/// What naming an address and one of its slots beforehand costs (EIP-2930).
const NAMED_SLOT_GAS: u64 = 2400 + 1900;
/// What an authorization costs (EIP-7702).
const AUTHORIZATION_GAS: u64 = 25_000;
/// No transaction of a generated chain asks for more gas.
pub(super) const MOST_GAS_LIMIT: u64 = Job::Create.gas_limit() + MOST_EXTRA_GAS;
/// No type of transaction adds more gas to what an errand asks for.
pub(super) const MOST_EXTRA_GAS: u64 = AUTHORIZATION_GAS;
/// The most that a proposer gets for a unit of gas, in wei.
pub(super) const MOST_TIP: u64 = 2_000_000_000;
/// The most blobs that come with one transaction.
const MOST_BLOBS: u64 = 3;

/// The type of a transaction, with what that type alone has.
#[derive(Clone, Debug)]
pub(super) enum Form {
    Legacy,
    /// It names a sender's tokens beforehand.
    AccessList([Address; 2]),
    DynamicFee,
    Blobs(u64),
    SetCode(SignedAuthorization),
}

impl Form {
    /// A form for an errand that anybody may have, in a block with room for so many blobs.
    pub(super) fn choose(errand: &Errand, tokens: [Address; 2], blobs: u64, random: &mut Random) -> Self {
        let is_call = matches!(errand.to, TxKind::Call(_));
        match random.below(100) {
            0..15 => Self::Legacy,
            15..20 if !errand.data.is_empty() => Self::AccessList(tokens),
            20..22 if is_call && blobs > 0 => Self::Blobs(1 + random.below(blobs.min(MOST_BLOBS))),
            _ => Self::DynamicFee,
        }
    }

    /// The gas that it takes beyond what the errand does.
    pub(super) fn extra_gas(&self) -> u64 {
        match self {
            Self::AccessList(tokens) => tokens.len() as u64 * NAMED_SLOT_GAS,
            Self::SetCode(_) => AUTHORIZATION_GAS,
            Self::Legacy | Self::DynamicFee | Self::Blobs(_) => 0,
        }
    }

    /// Whether its type tells the tip from the price.
    fn has_tip(&self) -> bool {
        !matches!(self, Self::Legacy | Self::AccessList(_))
    }

    /// How many blobs come with it.
    pub(super) fn blobs(&self) -> u64 {
        if let Self::Blobs(count) = self { *count } else { 0 }
    }
}

/// What a block asks for, in wei.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prices {
    chain_id: u64,
    base_fee: u128,
    blob_fee: u128,
}

impl Prices {
    pub(super) fn of(header: &Header, rules: &Rules) -> Self {
        let base_fee = header.base_fee_per_gas.unwrap_or_default().into();
        let blob_fee = rules.blobs.and_then(|blobs| header.blob_fee(blobs)).unwrap_or_default();
        Self { chain_id: rules.chain_id, base_fee, blob_fee }
    }
}

/// What a sender does, in which form.
#[derive(Clone, Debug)]
pub(super) struct Deed {
    /// The sender's position among the senders.
    pub(super) sender: usize,
    pub(super) errand: Errand,
    pub(super) form: Form,
    /// What the errand uses, about.
    pub(super) gas: u64,
}

impl Deed {
    /// Signs it. What is offered is enough for `prices` and the tip.
    pub(super) fn sign(self, sender: Person, nonce: u64, prices: Prices, tip: u128) -> SignedTransaction {
        let Person { signer, address } = sender;
        let Self { errand, form, .. } = self;
        let Errand { to, value, data: input, gas_limit } = errand;
        let Prices { chain_id, base_fee, blob_fee } = prices;
        let gas_limit = gas_limit + form.extra_gas();
        let access_list = AccessList::default();
        // Where the type knows a tip, an offer that is higher than it need be costs nothing.
        let gas_price = if form.has_tip() { 2 * base_fee + tip } else { base_fee + tip };
        let unsigned = Unsigned { chain_id, nonce, gas_limit, gas_price, tip, to, value, access_list, input };
        match form {
            Form::Legacy => signer.sign(unsigned.legacy()),
            Form::AccessList(tokens) => {
                let access_list = balances_in(tokens, address);
                signer.sign(Unsigned { access_list, ..unsigned }.access_list())
            }
            Form::DynamicFee => signer.sign(unsigned.dynamic_fee()),
            Form::Blobs(count) => {
                let hashes = (0..count).map(|number| blob_hash(address, nonce, number)).collect();
                signer.sign(unsigned.blobs(hashes, 2 * blob_fee))
            }
            Form::SetCode(authorization) => signer.sign(unsigned.set_code(vec![authorization])),
        }
    }
}

/// Names what somebody has of two tokens.
fn balances_in(tokens: [Address; 2], owner: Address) -> AccessList {
    let item = |address| AccessListItem { address, storage_keys: vec![token::balance_slot(owner).into()] };
    AccessList(tokens.map(item).into())
}

/// The hash of a blob that nobody ever saw.
fn blob_hash(from: Address, nonce: u64, number: u64) -> B256 {
    let mut hash = keccak256([&from[..], &nonce.to_be_bytes(), &number.to_be_bytes()].concat());
    hash[0] = VERSIONED_HASH_VERSION_KZG;
    hash
}
