//! The transaction type of the EVM: a reference into the block, without a copy.

use alloy_evm::IntoTxEnv;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use revm::{
    context::TxEnv,
    context_interface::{
        Transaction,
        either::Either,
        transaction::{AccessListItem, RecoveredAuthorization, SignedAuthorization},
    },
};

/// A transaction of a block, or a system call of the protocol.
#[derive(Debug)]
pub(crate) enum Input<'a> {
    InBlock(&'a TxEnv),
    System(Box<TxEnv>),
}

impl Input<'_> {
    #[inline]
    fn env(&self) -> &TxEnv {
        match self {
            Self::InBlock(env) => env,
            Self::System(env) => env,
        }
    }
}

impl From<Input<'_>> for TxEnv {
    fn from(input: Input<'_>) -> Self {
        match input {
            Input::InBlock(env) => env.clone(),
            Input::System(env) => *env,
        }
    }
}

impl IntoTxEnv<Self> for Input<'_> {
    fn into_tx_env(self) -> Self {
        self
    }
}

impl Transaction for Input<'_> {
    type AccessListItem<'b>
        = &'b AccessListItem
    where
        Self: 'b;
    type Authorization<'b>
        = &'b Either<SignedAuthorization, RecoveredAuthorization>
    where
        Self: 'b;

    #[inline]
    fn tx_type(&self) -> u8 {
        self.env().tx_type
    }

    #[inline]
    fn caller(&self) -> Address {
        self.env().caller
    }

    #[inline]
    fn gas_limit(&self) -> u64 {
        self.env().gas_limit
    }

    #[inline]
    fn value(&self) -> U256 {
        self.env().value
    }

    #[inline]
    fn input(&self) -> &Bytes {
        &self.env().data
    }

    #[inline]
    fn nonce(&self) -> u64 {
        self.env().nonce
    }

    #[inline]
    fn kind(&self) -> TxKind {
        self.env().kind
    }

    #[inline]
    fn chain_id(&self) -> Option<u64> {
        self.env().chain_id
    }

    #[inline]
    fn gas_price(&self) -> u128 {
        self.env().gas_price
    }

    #[inline]
    fn access_list(&self) -> Option<impl Iterator<Item = Self::AccessListItem<'_>>> {
        self.env().access_list()
    }

    #[inline]
    fn blob_versioned_hashes(&self) -> &[B256] {
        &self.env().blob_hashes
    }

    #[inline]
    fn max_fee_per_blob_gas(&self) -> u128 {
        self.env().max_fee_per_blob_gas
    }

    #[inline]
    fn authorization_list_len(&self) -> usize {
        self.env().authorization_list.len()
    }

    #[inline]
    fn authorization_list(&self) -> impl Iterator<Item = Self::Authorization<'_>> {
        self.env().authorization_list()
    }

    #[inline]
    fn max_priority_fee_per_gas(&self) -> Option<u128> {
        self.env().gas_priority_fee
    }
}
