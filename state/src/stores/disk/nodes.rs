//! The stored nodes of the tries: branches and extensions by their path, leaves made from their values.

use std::sync::Arc;

use alloy_primitives::{B256, U256, keccak256};
use alloy_trie::{Nibbles, nodes::LeafNodeRef};

use crate::{
    stores::disk::{
        DiskStore,
        account_entry::AccountEntry,
        cache::{CacheKey, CacheValue},
        error::DiskError,
        keys::TrieId,
    },
    trie::{
        error::TrieError,
        node::{Node, NodeKind, Nodes},
    },
};

/// The stored nodes of one trie.
#[derive(Clone, Copy, Debug)]
pub(super) struct StoredNodes<'s> {
    store: &'s DiskStore,
    trie: TrieId,
    source: NodeSource,
}

/// Where the records of nodes are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NodeSource {
    /// The read cache, then the database.
    Cache,
    /// The database only.
    Database,
}

impl<'s> StoredNodes<'s> {
    /// The nodes, read through the cache.
    pub(super) fn new(store: &'s DiskStore, trie: TrieId) -> Self {
        Self { store, trie, source: NodeSource::Cache }
    }

    /// The nodes, read from the database without the cache.
    pub(super) fn in_database(store: &'s DiskStore, trie: TrieId) -> Self {
        Self { store, trie, source: NodeSource::Database }
    }

    fn inner(&self, hash: B256, path: &Nibbles) -> Result<Option<Node>, DiskError> {
        let Some(record) = self.record(path)? else { return Ok(None) };
        let node = Node::from_record(&record, path.len());
        let malformed = |reason| TrieError::Malformed { hash, path: *path, reason };
        Ok(Some(node.map_err(malformed)?))
    }

    fn record(&self, path: &Nibbles) -> Result<Option<Arc<[u8]>>, DiskError> {
        let key = self.trie.node(path);
        if self.source == NodeSource::Database {
            return Ok(self.store.tables.get(&key)?.map(Arc::from));
        }
        let cache_key = CacheKey::Node(key.clone());
        if let Some(CacheValue::Node(record)) = self.store.cache.get(&cache_key) {
            return Ok(Some(record));
        }
        let keep = |record: &Option<Arc<[u8]>>| {
            if let Some(record) = record {
                self.store.cache.put(cache_key, CacheValue::Node(Arc::clone(record)));
            }
        };
        self.store.tables.get_and_keep(&key, |record| Ok(record.map(Arc::from)), keep)
    }

    /// The only leaf below `path`, if its stored value has this hash.
    fn leaf(&self, hash: B256, path: &Nibbles) -> Result<Option<Node>, DiskError> {
        let from = self.trie.first_leaf(path);
        let Some((key, value)) = self.store.tables.first_from(&from, &self.trie.end())? else {
            return Ok(None);
        };
        let Some(key) = self.trie.leaf_key(&key) else { return Ok(None) };
        let nibbles = Nibbles::unpack(key);
        if !nibbles.starts_with(path) {
            return Ok(None);
        }
        let (suffix, value) = (nibbles.slice(path.len()..), self.leaf_value(key, &value)?);
        let mut encoded = Vec::new();
        alloy_rlp::Encodable::encode(&LeafNodeRef::new(&suffix, &value), &mut encoded);
        Ok((keccak256(encoded) == hash).then_some(Node::leaf(suffix, value)))
    }

    /// The value of the leaf with this key, made from its stored value.
    fn leaf_value(&self, key: B256, value: &[u8]) -> Result<Vec<u8>, DiskError> {
        match self.trie {
            TrieId::Accounts => {
                let entry = AccountEntry::decode(value).ok_or_else(|| self.store.damaged_account(key))?;
                Ok(alloy_rlp::encode(entry.leaf()))
            }
            TrieId::Storage(_) => {
                let word = U256::try_from_be_slice(value).ok_or_else(|| self.store.damaged_slot(key))?;
                Ok(alloy_rlp::encode(word))
            }
        }
    }
}

impl Nodes for StoredNodes<'_> {
    type Error = DiskError;

    fn node(&self, hash: B256, kind: NodeKind, path: &Nibbles) -> Result<Option<Node>, DiskError> {
        match kind {
            NodeKind::Leaf => self.leaf(hash, path),
            NodeKind::Inner => self.inner(hash, path),
            NodeKind::Unknown => match self.inner(hash, path)? {
                Some(node) => Ok(Some(node)),
                None => self.leaf(hash, path),
            },
        }
    }
}
