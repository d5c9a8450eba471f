//! Addresses and amounts of generated blocks.

use alloy_primitives::{Address, U256, keccak256};

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
