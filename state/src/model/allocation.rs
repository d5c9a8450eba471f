//! An account together with its storage, as a genesis file lists it and as a store holds it.

use std::collections::BTreeMap;

use alloy_primitives::{Bytes, U256, map::U256Map};
use revm_state::Bytecode;

use crate::model::account::Account;

/// An account with its storage, as a genesis file or a snapshot lists it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Allocation {
    /// The balance in wei.
    pub balance: U256,
    /// The nonce.
    pub nonce: u64,
    /// The code; empty if the account has none.
    pub code: Bytes,
    /// The storage slots. A slot that holds zero counts as absent.
    pub storage: BTreeMap<U256, U256>,
}

/// An account and its storage, as a store holds them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct StoredAccount {
    /// Balance, nonce and code hash.
    pub account: Account,
    /// The slots that do not hold zero.
    pub slots: U256Map<U256>,
}

/// The code that these bytes are when an account has them.
pub(crate) fn bytecode_of(code: Bytes) -> Bytecode {
    // Bytes that start like an EIP-7702 delegation but are not one can only be legacy code.
    Bytecode::new_raw_checked(code.clone()).unwrap_or_else(|_| Bytecode::new_legacy(code))
}
