//! The transactions of a generated chain: their types, and how they are signed.

use alloy_consensus::Header;
use alloy_eips::{
    eip2930::{AccessList, AccessListItem},
    eip4844::VERSIONED_HASH_VERSION_KZG,
    eip7702::SignedAuthorization,
};
use alloy_primitives::{Address, B256, TxKind, keccak256};
use blockloom_engine::{Rules, SignedTransaction};
use blockloom_fixtures::Random;
use blockloom_fixtures::{compose::Unsigned, contracts::token};

use super::users::User;
use crate::workloads::job::{Job, Payload};

/// The cost of an address with one slot in an access list (EIP-2930).
const LISTED_SLOT_GAS: u64 = 2400 + 1900;
/// The cost of an authorization (EIP-7702).
const AUTHORIZATION_GAS: u64 = 25_000;
/// The greatest gas limit of a transaction.
pub(super) const MOST_GAS_LIMIT: u64 = Job::Create.gas_limit() + MOST_EXTRA_GAS;
/// The most gas that a transaction type adds to the gas limit of a payload.
pub(super) const MOST_EXTRA_GAS: u64 = AUTHORIZATION_GAS;
/// The greatest tip for a unit of gas, in wei.
pub(super) const MOST_TIP: u64 = 2_000_000_000;
/// The most blobs of a transaction.
const MOST_BLOBS: u64 = 3;

/// The type of a transaction, with the fields of that type.
#[derive(Clone, Debug)]
pub(super) enum TxType {
    Legacy,
    /// With the sender's balances of two tokens in its access list.
    AccessList([Address; 2]),
    DynamicFee,
    Blobs(u64),
    SetCode(SignedAuthorization),
}

impl TxType {
    /// A random type for a payload, in a block with a budget of `blobs`.
    pub(super) fn choose(payload: &Payload, tokens: [Address; 2], blobs: u64, random: &mut Random) -> Self {
        let is_call = matches!(payload.to, TxKind::Call(_));
        match random.below(100) {
            0..15 => Self::Legacy,
            15..20 if !payload.data.is_empty() => Self::AccessList(tokens),
            20..22 if is_call && blobs > 0 => Self::Blobs(1 + random.below(blobs.min(MOST_BLOBS))),
            _ => Self::DynamicFee,
        }
    }

    /// The gas that the type adds to that of the payload.
    pub(super) fn extra_gas(&self) -> u64 {
        match self {
            Self::AccessList(tokens) => tokens.len() as u64 * LISTED_SLOT_GAS,
            Self::SetCode(_) => AUTHORIZATION_GAS,
            Self::Legacy | Self::DynamicFee | Self::Blobs(_) => 0,
        }
    }

    /// Whether the type has a tip beside the gas price.
    fn has_tip(&self) -> bool {
        !matches!(self, Self::Legacy | Self::AccessList(_))
    }

    /// The number of blobs.
    pub(super) fn blobs(&self) -> u64 {
        if let Self::Blobs(count) = self { *count } else { 0 }
    }
}

/// The prices of a block, in wei.
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

/// A transaction before it is signed.
#[derive(Clone, Debug)]
pub(super) struct PlannedTx {
    /// The sender's position among the senders.
    pub(super) sender: usize,
    pub(super) payload: Payload,
    pub(super) tx_type: TxType,
    /// The approximate gas that the payload uses.
    pub(super) gas: u64,
}

impl PlannedTx {
    /// Signs the transaction. Its fees cover `prices` and the tip.
    pub(super) fn sign(self, sender: User, nonce: u64, prices: Prices, tip: u128) -> SignedTransaction {
        let User { signer, address } = sender;
        let Self { payload, tx_type, .. } = self;
        let Payload { to, value, data: input, gas_limit } = payload;
        let Prices { chain_id, base_fee, blob_fee } = prices;
        let gas_limit = gas_limit + tx_type.extra_gas();
        let access_list = AccessList::default();
        // With a tip, the sender pays the base fee, even if the fee cap is higher.
        let gas_price = if tx_type.has_tip() { 2 * base_fee + tip } else { base_fee + tip };
        let unsigned = Unsigned { chain_id, nonce, gas_limit, gas_price, tip, to, value, access_list, input };
        match tx_type {
            TxType::Legacy => signer.sign(unsigned.legacy()),
            TxType::AccessList(tokens) => {
                let access_list = balances_in(tokens, address);
                signer.sign(Unsigned { access_list, ..unsigned }.access_list())
            }
            TxType::DynamicFee => signer.sign(unsigned.dynamic_fee()),
            TxType::Blobs(count) => {
                let hashes = (0..count).map(|number| blob_hash(address, nonce, number)).collect();
                signer.sign(unsigned.blobs(hashes, 2 * blob_fee))
            }
            TxType::SetCode(authorization) => signer.sign(unsigned.set_code(vec![authorization])),
        }
    }
}

/// An access list with the balances of an account in two tokens.
fn balances_in(tokens: [Address; 2], owner: Address) -> AccessList {
    let item = |address| AccessListItem { address, storage_keys: vec![token::balance_slot(owner).into()] };
    AccessList(tokens.map(item).into())
}

/// A versioned hash without a blob.
fn blob_hash(from: Address, nonce: u64, number: u64) -> B256 {
    let mut hash = keccak256([&from[..], &nonce.to_be_bytes(), &number.to_be_bytes()].concat());
    hash[0] = VERSIONED_HASH_VERSION_KZG;
    hash
}
