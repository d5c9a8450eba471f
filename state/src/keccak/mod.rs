//! Keccak-256 of many messages at once, in the vector registers of the processor.
//!
//! Imports nothing of this crate. Promises the same hashes as hashing one message after the other. A processor
//! with 512-bit registers hashes eight messages in less than the time of one, with 256-bit registers four in less
//! than the time of two.

mod lanes;
#[cfg(any(test, target_arch = "x86_64"))]
mod permutation;
mod simd;

use alloy_primitives::{B256, keccak256};

use lanes::hash_in_lanes;

/// Messages one after the other in one buffer.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Messages {
    /// Adds the message that `write` appends.
    pub(crate) fn add(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        self.ends.push(self.bytes.len());
    }

    /// Removes all messages.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// The messages, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> + Clone {
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        begins.zip(&self.ends).map(|(begin, end)| &self.bytes[begin..*end])
    }
}

/// Hashes messages. The hashes are in the order of the messages.
pub fn keccak256_all<M: AsRef<[u8]>>(messages: &[M]) -> Vec<B256> {
    // Eight lanes are as fast as a single hash even if only one lane is used. Four lanes are not.
    if let Some(permute) = simd::eight() {
        hash_in_lanes(messages, permute)
    } else if messages.len() > 1
        && let Some(permute) = simd::four()
    {
        hash_in_lanes(messages, permute)
    } else {
        messages.iter().map(keccak256).collect()
    }
}
