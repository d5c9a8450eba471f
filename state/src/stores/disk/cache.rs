//! The read cache in front of the file: what was read or written last, for all threads, in so many bytes.

use std::sync::Arc;

use alloy_primitives::{Address, B256, U256};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter, sync};
use revm_state::Bytecode;

use crate::stores::disk::{
    account_entry::{AccountEntry, LifeId},
    keys::Key,
};

/// What something is asked for by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum CacheKey {
    Account(Address),
    Slot(LifeId, U256),
    Code(B256),
    Node(Key),
}

/// What the file says.
#[derive(Clone, Debug)]
pub(super) enum CacheValue {
    Account(Option<Box<AccountEntry>>),
    Slot(U256),
    Code(Bytecode),
    Node(Arc<[u8]>),
}

/// How a cache fares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStatistics {
    /// How many questions it answered.
    pub hits: u64,
    /// How many it did not.
    pub misses: u64,
    /// How much memory what it holds takes, about.
    pub bytes: u64,
    /// How much it may take.
    pub capacity: u64,
}

impl CacheStatistics {
    /// The share of questions that it answered; zero if nobody asked.
    pub fn hit_rate(&self) -> f64 {
        let asked = self.hits + self.misses;
        if asked == 0 { 0.0 } else { self.hits as f64 / asked as f64 }
    }
}

/// How much an answer takes.
#[derive(Clone, Debug)]
struct Weights;

/// What the cache itself needs for each answer, with the room that its tables have to spare.
const OVERHEAD: u64 = (3 * (size_of::<CacheKey>() + size_of::<CacheValue>() + 21) / 2) as u64;

impl Weighter<CacheKey, CacheValue> for Weights {
    fn weight(&self, question: &CacheKey, answer: &CacheValue) -> u64 {
        let asked = match question {
            CacheKey::Node(key) => key.heap_bytes(),
            CacheKey::Account(_) | CacheKey::Slot(..) | CacheKey::Code(_) => 0,
        };
        let held = match answer {
            CacheValue::Account(Some(_)) => size_of::<AccountEntry>(),
            CacheValue::Account(None) | CacheValue::Slot(_) => 0,
            // A code is kept with a map of its jumps.
            CacheValue::Code(code) => code.len() + code.len() / 8 + 128,
            CacheValue::Node(record) => record.len() + 16,
        };
        OVERHEAD + (asked + held) as u64
    }
}

/// The cache.
pub(super) struct Cache(sync::Cache<CacheKey, CacheValue, Weights>);

/// How many parts it has, each with a lock of its own.
const SHARDS: usize = 64;

/// How large an answer is that the cache reckons with.
const USUAL_BYTES: u64 = 300;

impl Cache {
    /// An empty cache that takes about so many bytes at most.
    pub(super) fn new(bytes: u64) -> Self {
        let options = OptionsBuilder::new()
            .weight_capacity(bytes)
            .shards(SHARDS)
            .estimated_items_capacity(usize::try_from(bytes / USUAL_BYTES).unwrap_or(usize::MAX))
            .build()
            .expect("both capacities are said");
        let lifecycle = sync::DefaultLifecycle::default();
        Self(sync::Cache::with_options(options, Weights, DefaultHashBuilder::default(), lifecycle))
    }

    /// What it says.
    pub(super) fn get(&self, question: &CacheKey) -> Option<CacheValue> {
        self.0.get(question)
    }

    /// Says something from now on.
    pub(super) fn put(&self, question: CacheKey, answer: CacheValue) {
        self.0.insert(question, answer);
    }

    /// Says all of this from now on, in this order; nothing where there is no answer any more.
    pub(super) fn put_all(&self, answers: Vec<(CacheKey, Option<CacheValue>)>) {
        for (question, answer) in answers {
            match answer {
                Some(answer) => self.put(question, answer),
                None => drop(self.0.remove(&question)),
            }
        }
    }

    /// Knows nothing any more.
    pub(super) fn clear(&self) {
        self.0.clear();
    }

    /// How it fares.
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
