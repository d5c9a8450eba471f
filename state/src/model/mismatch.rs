//! Locations of the state, their values, and a location with an unexpected value.

use std::fmt;

use alloy_primitives::{Address, B256, U256};

/// A location in the state. An account's balance, nonce and code are three locations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Location {
    /// The balance of an account.
    Balance(Address),
    /// The nonce of an account.
    Nonce(Address),
    /// The code of an account.
    Code(Address),
    /// A storage slot of an account.
    Slot(Address, U256),
    /// Whether an account exists, and which life it has: its creation and its destruction replace its storage.
    Existence(Address),
}

impl Location {
    /// The account that the location belongs to.
    pub const fn address(&self) -> Address {
        match *self {
            Self::Balance(address)
            | Self::Nonce(address)
            | Self::Code(address)
            | Self::Slot(address, _)
            | Self::Existence(address) => address,
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Balance(address) => write!(f, "balance of {address}"),
            Self::Nonce(address) => write!(f, "nonce of {address}"),
            Self::Code(address) => write!(f, "code of {address}"),
            Self::Slot(address, key) => write!(f, "slot {key:#x} of {address}"),
            Self::Existence(address) => write!(f, "existence of {address}"),
        }
    }
}

/// The value at a [`Location`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Value {
    /// The account does not exist, so its locations have no value.
    Absent,
    /// A balance or the content of a slot.
    Word(U256),
    /// A nonce.
    Count(u64),
    /// The hash of a code.
    Hash(B256),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("no account"),
            Self::Word(word) => write!(f, "{word:#x}"),
            Self::Count(count) => write!(f, "{count}"),
            Self::Hash(hash) => write!(f, "{hash}"),
        }
    }
}

/// A location that does not hold the expected value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[error("{location}: expected {expected}, found {found}")]
#[non_exhaustive]
pub struct Mismatch {
    /// The location.
    pub location: Location,
    /// The expected value.
    pub expected: Value,
    /// The value that the location holds.
    pub found: Value,
}

impl Mismatch {
    /// A slot that does not hold the expected value.
    pub(crate) const fn of_slot(address: Address, key: U256, expected: U256, found: U256) -> Self {
        let location = Location::Slot(address, key);
        Self { location, expected: Value::Word(expected), found: Value::Word(found) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mismatch_names_the_location_and_both_values() {
        let address = Address::with_last_byte(7);
        let mismatch = Mismatch {
            location: Location::Slot(address, U256::from(2)),
            expected: Value::Word(U256::from(16)),
            found: Value::Absent,
        };
        assert_eq!(
            mismatch.to_string(),
            "slot 0x2 of 0x0000000000000000000000000000000000000007: expected 0x10, found no account"
        );
        assert_eq!(mismatch.location.address(), address);
    }
}
