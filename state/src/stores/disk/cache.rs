//! The read cache in front of the database: the entries that were read or written last, within a byte limit.
//! Shared by all threads.

use std::sync::Arc;

use alloy_primitives::{Address, B256, U256};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter, sync};
use revm_state::Bytecode;

use crate::stores::disk::{
    account_entry::{AccountEntry, LifeId},
    keys::Key,
};

/// The key of a cached entry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum CacheKey {
    Account(Address),
    Slot(LifeId, U256),
    Code(B256),
    Node(Key),
}

/// A cached entry of the database.
#[derive(Clone, Debug)]
pub(super) enum CacheValue {
    Account(Option<Box<AccountEntry>>),
    Slot(U256),
    Code(Bytecode),
    Node(Arc<[u8]>),
}

/// The statistics of the read cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStatistics {
    /// The number of reads that hit the cache.
    pub hits: u64,
    /// The number of reads that missed it.
    pub misses: u64,
    /// The approximate memory use, in bytes.
    pub bytes: u64,
    /// The limit of the memory use, in bytes.
    pub capacity: u64,
}

impl CacheStatistics {
    /// The share of reads that hit the cache; zero without reads.
    pub fn hit_rate(&self) -> f64 {
        let reads = self.hits + self.misses;
        if reads == 0 { 0.0 } else { self.hits as f64 / reads as f64 }
    }
}

/// The memory use of an entry.
#[derive(Clone, Debug)]
struct Weights;

/// The memory that the cache needs for each entry, with the unused capacity of its tables.
const OVERHEAD: u64 = (3 * (size_of::<CacheKey>() + size_of::<CacheValue>() + 21) / 2) as u64;

impl Weighter<CacheKey, CacheValue> for Weights {
    fn weight(&self, key: &CacheKey, value: &CacheValue) -> u64 {
        let key_bytes = match key {
            CacheKey::Node(key) => key.heap_bytes(),
            CacheKey::Account(_) | CacheKey::Slot(..) | CacheKey::Code(_) => 0,
        };
        let value_bytes = match value {
            CacheValue::Account(Some(_)) => size_of::<AccountEntry>(),
            CacheValue::Account(None) | CacheValue::Slot(_) => 0,
            // A code is cached with its jump table.
            CacheValue::Code(code) => code.len() + code.len() / 8 + 128,
            CacheValue::Node(record) => record.len() + 16,
        };
        OVERHEAD + (key_bytes + value_bytes) as u64
    }
}

/// The read cache.
pub(super) struct Cache(sync::Cache<CacheKey, CacheValue, Weights>);

/// The number of shards, each with its own lock.
const SHARDS: usize = 64;

/// The expected size of an entry.
const USUAL_BYTES: u64 = 300;

impl Cache {
    /// An empty cache that uses at most about this many bytes.
    pub(super) fn new(bytes: u64) -> Self {
        let options = OptionsBuilder::new()
            .weight_capacity(bytes)
            .shards(SHARDS)
            .estimated_items_capacity(usize::try_from(bytes / USUAL_BYTES).unwrap_or(usize::MAX))
            .build()
            .expect("both capacities are set");
        let lifecycle = sync::DefaultLifecycle::default();
        Self(sync::Cache::with_options(options, Weights, DefaultHashBuilder::default(), lifecycle))
    }

    /// The cached entry with this key.
    pub(super) fn get(&self, key: &CacheKey) -> Option<CacheValue> {
        self.0.get(key)
    }

    /// Caches an entry.
    pub(super) fn put(&self, key: CacheKey, value: CacheValue) {
        self.0.insert(key, value);
    }

    /// Applies updates in order; `None` removes an entry.
    pub(super) fn put_all(&self, updates: Vec<(CacheKey, Option<CacheValue>)>) {
        for (key, value) in updates {
            match value {
                Some(value) => self.put(key, value),
                None => drop(self.0.remove(&key)),
            }
        }
    }

    /// Removes all entries.
    pub(super) fn clear(&self) {
        self.0.clear();
    }

    /// The statistics since it was made.
    pub(super) fn statistics(&self) -> CacheStatistics {
        let Self(cache) = self;
        let (hits, misses) = (cache.hits(), cache.misses());
        CacheStatistics { hits, misses, bytes: cache.weight(), capacity: cache.capacity() }
    }
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.statistics().fmt(f)
    }
}
