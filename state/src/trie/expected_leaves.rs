//! Compares expected values of keys with the leaves of a trie, of which often only the hash is known.
//!
//! Promises that an expectation passes only if the trie proves it. All leaves are hashed at once.

use alloy_primitives::B256;
use alloy_rlp::Encodable;
use alloy_trie::{Nibbles, nodes::LeafNodeRef};

use crate::{
    keccak::{Messages, keccak256_all},
    trie::change::PreviousLeaf,
};

/// Expected leaves, each with the number of its owner: an account of a group, for example.
#[derive(Debug, Default)]
pub(crate) struct ExpectedLeaves {
    /// The owners of expectations that failed without hashing.
    mismatched: Vec<usize>,
    /// The encodings of the expected leaves, and below the hash that each must have.
    leaves: Messages,
    expected: Vec<(usize, B256)>,
}

impl ExpectedLeaves {
    /// Expects `value` under `key`, where the trie had `previous`. An empty value expects none.
    pub(crate) fn add(&mut self, owner: usize, key: &Nibbles, value: &[u8], previous: &PreviousLeaf) {
        match previous {
            PreviousLeaf::Absent if value.is_empty() => {}
            PreviousLeaf::Value(found) if found == value => {}
            PreviousLeaf::Absent | PreviousLeaf::Value(_) => self.mismatched.push(owner),
            PreviousLeaf::Blinded(hash, depth) => {
                self.leaves.add(|bytes| LeafNodeRef::new(&key.slice(*depth..), value).encode(bytes));
                self.expected.push((owner, *hash));
            }
        }
    }

    /// The owners with an expectation that does not hold, in order and each once.
    pub(crate) fn mismatched(&self) -> Vec<usize> {
        let Self { mismatched, leaves, expected } = self;
        let hashes = keccak256_all(&leaves.iter().collect::<Vec<_>>());
        let wrong = expected.iter().zip(hashes).filter(|((_, expected), hash)| expected != hash);
        let mut mismatched = mismatched.clone();
        mismatched.extend(wrong.map(|((owner, _), _)| owner));
        mismatched.sort_unstable();
        mismatched.dedup();
        mismatched
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::keccak256;

    use super::*;

    fn blinded(key: &Nibbles, depth: usize, value: &[u8]) -> PreviousLeaf {
        let mut encoded = Vec::new();
        LeafNodeRef::new(&key.slice(depth..), value).encode(&mut encoded);
        PreviousLeaf::Blinded(keccak256(encoded), depth)
    }

    #[test]
    fn an_expectation_holds_if_the_leaf_has_the_expected_value() {
        let key = Nibbles::unpack(B256::repeat_byte(0x5a));
        let mut expected = ExpectedLeaves::default();
        expected.add(0, &key, &[], &PreviousLeaf::Absent);
        expected.add(1, &key, &[7], &PreviousLeaf::Value(vec![7]));
        expected.add(2, &key, &[7; 40], &blinded(&key, 5, &[7; 40]));
        assert!(expected.mismatched().is_empty());
    }

    #[test]
    fn an_owner_with_another_expectation_is_returned_once() {
        let [key, other] = [0x5a, 0x5b].map(|byte| Nibbles::unpack(B256::repeat_byte(byte)));
        let mut expected = ExpectedLeaves::default();
        expected.add(9, &key, &[7], &PreviousLeaf::Absent);
        expected.add(8, &key, &[], &PreviousLeaf::Value(vec![7]));
        expected.add(7, &key, &[8], &PreviousLeaf::Value(vec![7]));
        expected.add(6, &key, &[7; 40], &blinded(&key, 5, &[8; 40]));
        expected.add(5, &key, &[7; 40], &blinded(&other, 5, &[7; 40]));
        let PreviousLeaf::Blinded(hash, depth) = blinded(&key, 5, &[7; 40]) else {
            unreachable!("it is blinded")
        };
        expected.add(4, &key, &[7; 40], &PreviousLeaf::Blinded(hash, depth + 1));
        expected.add(3, &key, &[], &blinded(&key, 5, &[7; 40]));
        expected.add(3, &key, &[7], &PreviousLeaf::Absent);
        expected.add(2, &key, &[7; 40], &blinded(&key, 5, &[7; 40]));
        assert_eq!(expected.mismatched(), [3, 4, 5, 6, 7, 8, 9]);
    }
}
