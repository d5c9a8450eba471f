//! Whether keys held what is claimed, where of many only the hash of the leaf was seen.
//!
//! Promises that a claim stands only if the trie vouches for it. All leaves are hashed at once.

use alloy_primitives::B256;
use alloy_rlp::Encodable;
use alloy_trie::{Nibbles, nodes::LeafNodeRef};

use crate::{
    keccak::{Messages, keccak256_all},
    trie::change::PreviousLeaf,
};

/// What is claimed, by numbered claimants.
#[derive(Debug, Default)]
pub(crate) struct ExpectedLeaves {
    refuted: Vec<usize>,
    /// The encodings of leaves, as they are claimed, and the hash that each must have.
    leaves: Messages,
    expected: Vec<(usize, B256)>,
}

impl ExpectedLeaves {
    /// Somebody claims that `value` stood under `key`, where this was found. No value is claimed by an empty one.
    pub(crate) fn add(&mut self, claimant: usize, key: &Nibbles, value: &[u8], found: &PreviousLeaf) {
        match found {
            PreviousLeaf::Absent if value.is_empty() => {}
            PreviousLeaf::Value(held) if held == value => {}
            PreviousLeaf::Absent | PreviousLeaf::Value(_) => self.refuted.push(claimant),
            PreviousLeaf::Blinded(hash, depth) => {
                self.leaves.add(|bytes| LeafNodeRef::new(&key.slice(*depth..), value).encode(bytes));
                self.expected.push((claimant, *hash));
            }
        }
    }

    /// The claimants who claim something wrong, in order.
    pub(crate) fn refuted(&self) -> Vec<usize> {
        let Self { refuted, leaves, expected } = self;
        let hashes = keccak256_all(&leaves.iter().collect::<Vec<_>>());
        let wrong = expected.iter().zip(hashes).filter(|((_, expected), hash)| expected != hash);
        let mut refuted = refuted.clone();
        refuted.extend(wrong.map(|((claimant, _), _)| claimant));
        refuted.sort_unstable();
        refuted.dedup();
        refuted
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::keccak256;

    use super::*;

    fn sealed(key: &Nibbles, depth: usize, value: &[u8]) -> PreviousLeaf {
        let mut encoded = Vec::new();
        LeafNodeRef::new(&key.slice(depth..), value).encode(&mut encoded);
        PreviousLeaf::Blinded(keccak256(encoded), depth)
    }

    #[test]
    fn a_claim_stands_if_what_was_found_is_what_is_claimed() {
        let key = Nibbles::unpack(B256::repeat_byte(0x5a));
        let mut claims = ExpectedLeaves::default();
        claims.add(0, &key, &[], &PreviousLeaf::Absent);
        claims.add(1, &key, &[7], &PreviousLeaf::Value(vec![7]));
        claims.add(2, &key, &[7; 40], &sealed(&key, 5, &[7; 40]));
        assert!(claims.refuted().is_empty());
    }

    #[test]
    fn whoever_claims_something_else_is_named_once() {
        let [key, other] = [0x5a, 0x5b].map(|byte| Nibbles::unpack(B256::repeat_byte(byte)));
        let mut claims = ExpectedLeaves::default();
        claims.add(9, &key, &[7], &PreviousLeaf::Absent);
        claims.add(8, &key, &[], &PreviousLeaf::Value(vec![7]));
        claims.add(7, &key, &[8], &PreviousLeaf::Value(vec![7]));
        claims.add(6, &key, &[7; 40], &sealed(&key, 5, &[8; 40]));
        claims.add(5, &key, &[7; 40], &sealed(&other, 5, &[7; 40]));
        let PreviousLeaf::Blinded(hash, depth) = sealed(&key, 5, &[7; 40]) else { unreachable!("it is sealed") };
        claims.add(4, &key, &[7; 40], &PreviousLeaf::Blinded(hash, depth + 1));
        claims.add(3, &key, &[], &sealed(&key, 5, &[7; 40]));
        claims.add(3, &key, &[7], &PreviousLeaf::Absent);
        claims.add(2, &key, &[7; 40], &sealed(&key, 5, &[7; 40]));
        assert_eq!(claims.refuted(), [3, 4, 5, 6, 7, 8, 9]);
    }
}
