//! What can be wrong with a witness.

use std::fmt;

use alloy_primitives::B256;
use alloy_trie::Nibbles;

use crate::model::mismatch::Mismatch;

/// A trie that cannot be walked to where one has to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrieError {
    /// A node on the way is known by its hash only.
    #[error("the node {hash} at {} is missing", Digits(path))]
    Missing {
        /// The hash of the node.
        hash: B256,
        /// The way from the root to it.
        path: Nibbles,
    },
    /// A node on the way is not a node of a trie whose keys are 32 bytes long.
    #[error("the node {hash} at {} does not decode: {reason}", Digits(path))]
    Malformed {
        /// The hash of the node; where a node lies within another, of the outer one.
        hash: B256,
        /// The way from the root to it.
        path: Nibbles,
        /// What is wrong with it.
        reason: alloy_rlp::Error,
    },
    /// A node is kept in place of another.
    #[error("the node {hash} at {} has the hash {found}", Digits(path))]
    Renamed {
        /// The hash that its parent holds of it.
        hash: B256,
        /// The way from the root to it.
        path: Nibbles,
        /// The hash that it has.
        found: B256,
    },
    /// A leaf holds something else than it should: an account, or the content of a slot.
    #[error("the value under {key} does not decode: {reason}")]
    Value {
        /// The hashed address or slot.
        key: B256,
        /// What is wrong with it.
        reason: alloy_rlp::Error,
    },
}

/// A witness that does not prove what it is asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WitnessError {
    /// The nodes do not lead where they must.
    #[error(transparent)]
    Trie(#[from] TrieError),
    /// The state that the witness proves is not the one that the changes started from. `expected`
    /// is what the changes say, `found` is what the trie holds. Boxed, as it is large and rare.
    #[error("the changes do not fit the trie: {0}")]
    Misfit(Box<Mismatch>),
}

impl From<Mismatch> for WitnessError {
    fn from(mismatch: Mismatch) -> Self {
        Self::Misfit(Box::new(mismatch))
    }
}

/// A path, one digit for each nibble.
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
    fn a_missing_node_is_named_by_hash_and_path() {
        let missing = |path| TrieError::Missing { hash: B256::repeat_byte(0xab), path };
        let named = missing(Nibbles::from_nibbles([1, 0xf, 0])).to_string();
        assert_eq!(named, format!("the node 0x{} at path 1f0 is missing", "ab".repeat(32)));
        assert!(missing(Nibbles::new()).to_string().ends_with("at the root is missing"));
    }
}
