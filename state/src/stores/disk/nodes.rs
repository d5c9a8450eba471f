//! The nodes of the tries, as a store keeps them: branches and extensions by their path, leaves as what
//! they hold.

use std::sync::Arc;

use alloy_primitives::{B256, U256, keccak256};
use alloy_trie::{Nibbles, nodes::LeafNodeRef};

use crate::{
    stores::disk::{
        DiskStore,
        cache::{CacheValue, CacheKey},
        account_entry::AccountEntry,
        error::DiskError,
        keys::TrieId,
    },
    trie::{
        error::TrieError,
        node::{Node, Nodes, NodeKind},
    },
};

/// The nodes of one trie.
#[derive(Clone, Copy, Debug)]
pub(super) struct StoredNodes<'s> {
    store: &'s DiskStore,
    trie: TrieId,
    way: Way,
}

/// How nodes are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    ThroughTheCache,
    FromTheFile,
}

impl<'s> StoredNodes<'s> {
    pub(super) fn new(store: &'s DiskStore, trie: TrieId) -> Self {
        Self { store, trie, way: Way::ThroughTheCache }
    }

    /// The nodes as they are in the file, whatever the cache says.
    pub(super) fn in_file(store: &'s DiskStore, trie: TrieId) -> Self {
        Self { store, trie, way: Way::FromTheFile }
    }

    fn inner(&self, hash: B256, path: &Nibbles) -> Result<Option<Node>, DiskError> {
        let Some(record) = self.record(path)? else { return Ok(None) };
        let node = Node::from_record(&record, path.len());
        let malformed = |reason| TrieError::Malformed { hash, path: *path, reason };
        Ok(Some(node.map_err(malformed)?))
    }

    fn record(&self, path: &Nibbles) -> Result<Option<Arc<[u8]>>, DiskError> {
        let key = self.trie.node(path);
        if self.way == Way::FromTheFile {
            return Ok(self.store.tables.get(&key)?.map(Arc::from));
        }
        let question = CacheKey::Node(key.clone());
        if let Some(CacheValue::Node(record)) = self.store.cache.get(&question) {
            return Ok(Some(record));
        }
        let Some(record) = self.store.tables.get(&key)? else { return Ok(None) };
        let record: Arc<[u8]> = record.into();
        self.store.cache.put(question, CacheValue::Node(Arc::clone(&record)));
        Ok(Some(record))
    }

    /// The only leaf below `path`, if what is kept under its key is what the hash vouches for.
    fn leaf(&self, hash: B256, path: &Nibbles) -> Result<Option<Node>, DiskError> {
        let from = self.trie.first_leaf(path);
        let Some((key, value)) = self.store.tables.first_from(&from, &self.trie.end())? else {
            return Ok(None);
        };
        let Some(key) = self.trie.leaf_key(&key) else { return Ok(None) };
        let way = Nibbles::unpack(key);
        if !way.starts_with(path) {
            return Ok(None);
        }
        let (rest, value) = (way.slice(path.len()..), self.content(key, &value)?);
        let mut encoded = Vec::new();
        alloy_rlp::Encodable::encode(&LeafNodeRef::new(&rest, &value), &mut encoded);
        Ok((keccak256(encoded) == hash).then_some(Node::leaf(rest, value)))
    }

    /// What the leaf with this key holds.
    fn content(&self, key: B256, value: &[u8]) -> Result<Vec<u8>, DiskError> {
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

    fn node(&self, hash: B256, sort: NodeKind, path: &Nibbles) -> Result<Option<Node>, DiskError> {
        match sort {
            NodeKind::Leaf => self.leaf(hash, path),
            NodeKind::Inner => self.inner(hash, path),
            NodeKind::Unknown => match self.inner(hash, path)? {
                Some(node) => Ok(Some(node)),
                None => self.leaf(hash, path),
            },
        }
    }
}
