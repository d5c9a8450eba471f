//! Keccak-256 of many messages at once: side by side in the vector registers of the processor, where it
//! has wide ones.
//!
//! Promises the hashes that one message after the other has. A processor with 512 bits hashes eight messages
//! in less than the time of one, one with 256 bits four in less than that of two.

mod lanes;
#[cfg(any(test, target_arch = "x86_64"))]
mod permutation;
mod simd;

use alloy_primitives::{B256, keccak256};

use lanes::hash_in_lanes;

/// Messages one after the other in one stretch of memory.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Messages {
    /// Adds what `write` appends.
    pub(crate) fn add(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        self.ends.push(self.bytes.len());
    }

    /// Forgets them all.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// Each of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> + Clone {
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        begins.zip(&self.ends).map(|(begin, end)| &self.bytes[begin..*end])
    }
}

/// The hashes of messages, in their order.
pub(crate) fn keccak256_all<M: AsRef<[u8]>>(messages: &[M]) -> Vec<B256> {
    // Eight lanes are as fast as one hash, even if only one of them is used; four are not.
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
