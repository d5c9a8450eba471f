//! The storage tries of a store.

use std::ops::Deref;

use alloy_primitives::{B256, U256};

use crate::{
    stores::disk::{DiskStore, account_entry::LifeId, keys::TrieId, nodes::StoredNodes},
    sync::Mutex,
    trie::{change::Presence, sparse::SparseTrie},
};

/// A storage trie.
pub(super) type StorageTrie<'s> = SparseTrie<StoredNodes<'s>>;

/// Allocates the numbers of new lives.
#[derive(Debug)]
pub(super) struct LifeAllocator(Mutex<LifeId>);

impl LifeAllocator {
    /// An allocator that starts with this life.
    pub(super) fn from(next: LifeId) -> Self {
        Self(Mutex::new(next))
    }

    /// Allocates a new life.
    pub(super) fn allocate(&self) -> LifeId {
        let mut next = self.0.lock();
        let allocated = *next;
        *next = allocated.next();
        allocated
    }

    /// The next new life.
    pub(super) fn next(&self) -> LifeId {
        *self.0.lock()
    }
}

impl DiskStore {
    /// The storage trie of a life with this root.
    pub(super) fn storage_trie(&self, life: LifeId, root: B256) -> StorageTrie<'_> {
        SparseTrie::new(StoredNodes::new(self, TrieId::Storage(life)), root)
    }
}

/// The value of a slot in its leaf; empty for zero, which has no leaf.
pub(super) fn leaf_value(word: U256) -> impl Deref<Target = [u8]> {
    if word.is_zero() { Default::default() } else { alloy_rlp::encode_fixed_size(&word) }
}

/// Whether a slot with this value before is known to have a leaf.
pub(super) fn presence(before: U256) -> Presence {
    if before.is_zero() { Presence::Unknown } else { Presence::Present }
}
