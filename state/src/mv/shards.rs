//! Values in shards with a lock each.
//!
//! A key is hashed once: the same hash selects the shard and the position in it. No two shards are locked at once.

use std::hash::{BuildHasher, Hash};

use alloy_primitives::map::DefaultHashBuilder;
use crossbeam_utils::CachePadded;

use crate::sync::{Mutex, MutexGuard};

/// The number of bits that select a shard.
pub(crate) const SHARD_BITS: u32 = 6;
/// The number of shards.
pub(crate) const SHARDS: usize = 1 << SHARD_BITS;
/// The position of the hash bits that select the shard. Hash tables use the lowest and the highest bits.
const SHARD_SHIFT: u32 = 40;

/// Shards, each with its own lock and cache lines.
pub(crate) struct Shards<T> {
    hasher: DefaultHashBuilder,
    shards: Box<[CachePadded<Mutex<T>>]>,
}

impl<T: Default> Default for Shards<T> {
    fn default() -> Self {
        Self {
            hasher: DefaultHashBuilder::default(),
            shards: (0..SHARDS).map(|_| CachePadded::default()).collect(),
        }
    }
}

impl<T> Shards<T> {
    /// The hash of a key.
    #[inline]
    pub(crate) fn hash(&self, key: &impl Hash) -> u64 {
        self.hasher.hash_one(key)
    }

    /// The number of the shard for a hash.
    #[inline]
    pub(crate) fn shard_of(hash: u64) -> usize {
        (hash >> SHARD_SHIFT) as usize % SHARDS
    }

    /// Locks the shard with this number.
    #[inline]
    pub(crate) fn lock(&self, number: usize) -> MutexGuard<'_, T> {
        self.shards[number].lock()
    }

    /// All shards. Needs no lock, because the reference is exclusive.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.shards.iter_mut().map(|shard| shard.get_mut())
    }
}
