//! Values spread over shards with a lock each.
//!
//! Whoever has a key hashes it once: the same hash chooses the shard and the place in it. No two
//! shards are locked at once.

use std::hash::{BuildHasher, Hash};

use alloy_primitives::map::DefaultHashBuilder;

use crate::sync::{Mutex, MutexGuard};

/// How many bits of a number choose a shard.
pub(crate) const SHARD_BITS: u32 = 6;
/// How many shards there are.
pub(crate) const SHARDS: usize = 1 << SHARD_BITS;
/// Which bits of a hash choose the shard: tables look at the lowest and the highest.
const SHARD_SHIFT: u32 = 40;

/// What each shard holds is its own business.
pub(crate) struct Shards<T> {
    hasher: DefaultHashBuilder,
    shards: Box<[Shard<T>]>,
}

/// One shard, on cache lines of its own.
#[derive(Default)]
#[repr(align(128))]
struct Shard<T>(Mutex<T>);

impl<T: Default> Default for Shards<T> {
    fn default() -> Self {
        Self {
            hasher: DefaultHashBuilder::default(),
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
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

    /// The shard with this number.
    #[inline]
    pub(crate) fn lock(&self, number: usize) -> MutexGuard<'_, T> {
        self.shards[number].0.lock()
    }

    /// All shards: nobody else has them.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.shards.iter_mut().map(|shard| shard.0.get_mut())
    }
}
