//! Pseudo-random numbers. A seed yields the same numbers on every machine and in every version.

use alloy_primitives::{Address, U256, keccak256};

/// Steele, Lea and Flood's `SplitMix64`.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`. The bias is negligible for a small `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// True with the probability `share`.
    pub(crate) fn is_one_of(&mut self, share: f64) -> bool {
        // An `f64` holds 53 bits exactly.
        ((self.next() >> 11) as f64) < share * (1u64 << 53) as f64
    }
}

/// The address with a kind and a number.
pub(crate) fn address(seed: u64, kind: &str, number: u64) -> Address {
    let name = (seed, number);
    let mut bytes = [0; 48];
    bytes[..8].copy_from_slice(&name.0.to_be_bytes());
    bytes[8..16].copy_from_slice(&name.1.to_be_bytes());
    bytes[16..16 + kind.len()].copy_from_slice(kind.as_bytes());
    Address::from_slice(&keccak256(bytes)[12..])
}

/// `count` thousandths of an ether, or of a token with 18 decimals.
pub(crate) fn thousandths(count: u64) -> U256 {
    U256::from(count) * U256::from(10u64.pow(15))
}
