//! The errors of tries and witnesses.

use std::fmt;

use alloy_primitives::{Address, B256, U256};
use alloy_trie::Nibbles;
use revm_database_interface::DBErrorMarker;

use crate::model::mismatch::Mismatch;

/// Why a trie cannot be read or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrieError {
    /// A node on the path is not known, only its hash.
    #[error("the node {hash} at {} is missing", Digits(path))]
    Missing {
        /// The hash of the node.
        hash: B256,
        /// The path from the root to it.
        path: Nibbles,
    },
    /// A node beside the path of a removed key is not known, only its hash. The removal leaves it as the only child of
    /// its branch, which then joins with it.
    #[error("the node {hash} at {} is missing, and a removal leaves only it in its branch", Digits(path))]
    MissingSibling {
        /// The hash of the node.
        hash: B256,
        /// The path from the root to it.
        path: Nibbles,
    },
    /// A node on the path is no valid node of a trie with keys of 32 bytes.
    #[error("the node {hash} at {} does not decode: {reason}", Digits(path))]
    Malformed {
        /// The hash of the node; for an embedded node, the hash of the outer node.
        hash: B256,
        /// The path from the root to it.
        path: Nibbles,
        /// What is wrong with it.
        reason: alloy_rlp::Error,
    },
    /// A stored node does not have the hash that its parent gives.
    #[error("the node {hash} at {} has the hash {found}", Digits(path))]
    HashMismatch {
        /// The hash that its parent gives.
        hash: B256,
        /// The path from the root to it.
        path: Nibbles,
        /// The hash that it has.
        found: B256,
    },
    /// The value of a leaf is no account, or no slot value.
    #[error("the value under {key} does not decode: {reason}")]
    Value {
        /// The hashed address or slot.
        key: B256,
        /// What is wrong with it.
        reason: alloy_rlp::Error,
    },
}

/// Why a witness does not prove an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WitnessError {
    /// An account cannot be looked up or changed.
    #[error("account {address}: {reason}")]
    Account {
        /// The address of the account.
        address: Address,
        /// What is wrong with the account trie.
        #[source]
        reason: Box<TrieError>,
    },
    /// A slot cannot be looked up or changed.
    #[error("slot {key:#x} of {address}: {reason}")]
    Slot {
        /// The address of the account.
        address: Address,
        /// The key of the slot.
        key: U256,
        /// What is wrong with the storage trie of the account.
        #[source]
        reason: Box<TrieError>,
    },
    /// The witness lacks a code.
    #[error("the code with hash {0} is missing")]
    Code(B256),
    /// The witness lacks the hash of an earlier block.
    #[error("the hash of block {0} is missing")]
    BlockHash(u64),
    /// The changes started from another state than the one that the witness proves. `expected` comes from
    /// the changes, `found` from the trie. Boxed, because it is large and rare.
    #[error("the changes do not fit the trie: {0}")]
    Mismatch(Box<Mismatch>),
}

impl WitnessError {
    /// What is wrong with a trie, if that is the reason.
    pub fn of_trie(&self) -> Option<&TrieError> {
        match self {
            Self::Account { reason, .. } | Self::Slot { reason, .. } => Some(reason),
            Self::Code(_) | Self::BlockHash(_) | Self::Mismatch(_) => None,
        }
    }
}

impl DBErrorMarker for WitnessError {}

impl From<Mismatch> for WitnessError {
    fn from(mismatch: Mismatch) -> Self {
        Self::Mismatch(Box::new(mismatch))
    }
}

/// Displays a path, with one hexadecimal digit for each nibble.
struct Digits<'a>(&'a Nibbles);

impl fmt::Display for Digits<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("the root");
        }
        f.write_str("path ")?;
        self.0.iter().try_for_each(|nibble| write!(f, "{nibble:x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_of_a_missing_node_gives_its_hash_and_path() {
        let missing = |path| TrieError::Missing { hash: B256::repeat_byte(0xab), path };
        let message = missing(Nibbles::from_nibbles([1, 0xf, 0])).to_string();
        assert_eq!(message, format!("the node 0x{} at path 1f0 is missing", "ab".repeat(32)));
        assert!(missing(Nibbles::new()).to_string().ends_with("at the root is missing"));
    }
}
