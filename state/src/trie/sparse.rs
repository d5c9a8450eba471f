//! A sparse trie: it reads only the nodes on the paths to the keys that it is asked for.
//!
//! Owns the nodes that it read and changed. Promises that its root is the root of the full trie after the
//! same insertions and removals, or an error with the missing node; and that it reports all written nodes
//! and the paths of all deleted nodes.

use std::ops::AddAssign;

use alloy_primitives::{B256, Bytes};
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles};
use rayon::prelude::*;

use crate::trie::{
    change::{Insertion, Presence, PreviousLeaf, Removal},
    hashing::hash_all,
    node::{Node, NodeKind, NodeLink, Nodes, below},
    walk::Cursor,
};

/// A key and its new value; `None` removes the key.
pub(crate) type Update = (B256, Option<Vec<u8>>);

/// A trie over hashed keys that reads its nodes from `N` on demand.
///
/// A failed insertion or removal leaves the trie in an unspecified state, and it must be dropped.
#[derive(Debug)]
pub(crate) struct SparseTrie<N> {
    nodes: N,
    root: NodeLink,
    /// The paths of deleted or replaced branches and extensions.
    deleted: Vec<Nibbles>,
}

/// The number of nodes of a trie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct NodeCount {
    /// Stored branches and extensions.
    pub(crate) inner: u64,
    /// Leaves, according to their parents.
    pub(crate) leaves: u64,
}

impl AddAssign for NodeCount {
    fn add_assign(&mut self, other: Self) {
        self.inner += other.inner;
        self.leaves += other.leaves;
    }
}

/// The changed nodes of a trie. Deletions apply before writes.
#[derive(Debug)]
pub(crate) struct NodeChanges {
    /// The root of the trie.
    pub(crate) root: B256,
    /// The paths of deleted branches and extensions. A path may be written again below.
    pub(crate) deleted: Vec<Nibbles>,
    /// The changed branches and extensions: their paths and records.
    pub(crate) written: Vec<(Nibbles, Vec<u8>)>,
}

impl<N: Nodes> SparseTrie<N> {
    /// The trie with this root. Reads nothing yet.
    pub(crate) fn new(nodes: N, root: B256) -> Self {
        let root = if root == EMPTY_ROOT_HASH {
            NodeLink::Empty
        } else {
            NodeLink::Blinded(root, NodeKind::Unknown)
        };
        Self { nodes, root, deleted: Vec::new() }
    }

    /// The trie below a root link that was kept in memory.
    pub(crate) fn of(nodes: N, root: NodeLink) -> Self {
        Self { nodes, root, deleted: Vec::new() }
    }

    /// The root link, with all nodes in memory.
    pub(crate) fn into_root(self) -> NodeLink {
        self.root
    }

    /// The value of `key`.
    ///
    /// # Errors
    ///
    /// If a node on the path is missing or malformed.
    pub(crate) fn get(&mut self, key: B256) -> Result<Option<&[u8]>, N::Error> {
        self.root.get(&self.nodes, Cursor::root(key))
    }

    /// Reads the branches and extensions on the path to `key` ahead of their use.
    ///
    /// # Errors
    ///
    /// If a node on the path is missing or malformed.
    pub(crate) fn prefetch(&mut self, key: B256) -> Result<(), N::Error> {
        self.root.prefetch(&self.nodes, Cursor::root(key))
    }

    /// Applies all updates: first the insertions, then the removals.
    ///
    /// In this order a branch that loses a child and gains another never collapses, so that no node is read
    /// that the result does not depend on.
    ///
    /// # Errors
    ///
    /// If a node that the new root depends on is missing or malformed.
    pub(crate) fn update(&mut self, updates: Vec<Update>) -> Result<(), N::Error> {
        let mut removed = Vec::new();
        let mut inserted = Vec::with_capacity(updates.len());
        for (key, value) in updates {
            match value {
                Some(value) => inserted.push(Insertion::new(key, value, Presence::Unknown)),
                None => removed.push(key),
            }
        }
        self.insert_all(&mut inserted)?;
        removed.into_iter().try_for_each(|key| self.remove(key, Presence::Unknown).map(drop))
    }

    /// Sets the value of `key` and returns the previous one.
    ///
    /// # Errors
    ///
    /// If a node on the path is missing or malformed.
    ///
    /// # Panics
    ///
    /// If `value` is empty, which a trie cannot hold.
    pub(crate) fn insert(
        &mut self,
        key: B256,
        value: Vec<u8>,
        presence: Presence,
    ) -> Result<PreviousLeaf, N::Error> {
        assert!(!value.is_empty(), "an empty value means no value");
        self.root.insert(&self.nodes, Cursor::root(key), value, presence)
    }

    /// Applies many insertions, those of different branches on several threads, and sets the previous value
    /// in each.
    ///
    /// # Errors
    ///
    /// If a node on the path is missing or malformed.
    ///
    /// # Panics
    ///
    /// If a value is empty, or two insertions have the same key.
    pub(crate) fn insert_all(&mut self, insertions: &mut [Insertion]) -> Result<(), N::Error> {
        insertions.sort_unstable_by_key(|insertion| insertion.key);
        let twice = insertions.windows(2).any(|pair| pair[0].key == pair[1].key);
        assert!(!twice, "each key is inserted once");
        assert!(
            insertions.iter().all(|insertion| !insertion.value.is_empty()),
            "an empty value means no value"
        );
        self.root.insert_all(&self.nodes, insertions)
    }

    /// Removes `key` and returns its value.
    ///
    /// # Errors
    ///
    /// If a node on the path is missing, a required node is malformed, or a branch is left with a single child whose
    /// node is missing; see [`Nodes::unknown_sibling`].
    pub(crate) fn remove(&mut self, key: B256, presence: Presence) -> Result<PreviousLeaf, N::Error> {
        let Self { nodes, root, deleted } = self;
        root.remove(&mut Removal { nodes, deleted }, Cursor::root(key), presence)
    }

    /// The current root. Hashes only the nodes that changed since the last call.
    pub(crate) fn root(&mut self) -> B256 {
        hash_all(&mut [(Nibbles::new(), &mut self.root)], |_, _, _| ());
        self.root.root()
    }

    /// [`root`](Self::root) with different branches hashed on several threads, which is best after many changes.
    pub(crate) fn root_in_parallel(&mut self) -> B256 {
        for_each_dirty_branch(&mut self.root, |path, child| hash_all(&mut [(path, child)], |_, _, _| ()));
        self.root()
    }

    /// Forgets which nodes were deleted, if the nodes are not stored.
    pub(crate) fn forget_deleted(&mut self) {
        self.deleted.clear();
    }

    /// The Merkle proof of `key`: the encodings of the nodes on its path, as far as they exist.
    ///
    /// # Errors
    ///
    /// If a node on the path is missing or malformed.
    pub(crate) fn prove(&mut self, key: B256) -> Result<Vec<Bytes>, N::Error> {
        self.root();
        let mut proof = Vec::new();
        self.root.prove(&self.nodes, Cursor::root(key), &mut proof)?;
        Ok(proof)
    }

    /// Adds the encodings of the nodes in memory that are referenced by their hash, and of the root, to `nodes`.
    pub(crate) fn add_nodes(&mut self, nodes: &mut Vec<Bytes>) {
        self.root();
        self.root.add_nodes(0, nodes);
    }

    /// Reads every branch and extension, checks that each has its hash, and counts them and their leaves.
    ///
    /// # Errors
    ///
    /// If one has another hash, is missing or malformed.
    pub(crate) fn check_stored(&mut self) -> Result<NodeCount, N::Error> {
        self.root.check_stored(&self.nodes, &Nibbles::new())
    }

    /// The current root, and the nodes that changed since the last call. Different branches are hashed on several
    /// threads.
    pub(crate) fn take_changes(&mut self) -> NodeChanges {
        let mut written = for_each_dirty_branch(&mut self.root, hash_below);
        written.push(hash_below(Nibbles::new(), &mut self.root));
        let written = written.into_iter().flatten().collect();
        self.changes(written)
    }

    /// [`take_changes`](Self::take_changes) of several tries. All are hashed together on this thread, which is best
    /// where each has few changes.
    pub(crate) fn take_all_changes<'t>(tries: impl Iterator<Item = &'t mut Self>) -> Vec<NodeChanges>
    where
        N: 't,
    {
        let mut tries: Vec<_> = tries.collect();
        let mut written = vec![Vec::new(); tries.len()];
        let mut roots: Vec<_> = tries.iter_mut().map(|trie| (Nibbles::new(), &mut trie.root)).collect();
        hash_all(&mut roots, |trie, path, record| written[trie].push((*path, record.to_vec())));
        tries.into_iter().zip(written).map(|(trie, written)| trie.changes(written)).collect()
    }

    fn changes(&mut self, written: Vec<(Nibbles, Vec<u8>)>) -> NodeChanges {
        NodeChanges { root: self.root.root(), deleted: std::mem::take(&mut self.deleted), written }
    }
}

/// If the root is a branch with several dirty children, calls `hash` with their paths and links in parallel.
fn for_each_dirty_branch<T: Send>(
    root: &mut NodeLink,
    hash: impl Fn(Nibbles, &mut NodeLink) -> T + Sync,
) -> Vec<T> {
    let NodeLink::Revealed(Node::Branch(branch), None) = root else { return Vec::new() };
    let dirty: Vec<_> = branch.children_mut().filter(|(_, child)| child.is_dirty()).collect();
    if dirty.len() < 2 {
        return Vec::new();
    }
    dirty.into_par_iter().map(|(nibble, child)| hash(below(&Nibbles::new(), nibble), child)).collect()
}

/// Hashes the dirty nodes at and below `path`, and returns their records.
fn hash_below(path: Nibbles, link: &mut NodeLink) -> Vec<(Nibbles, Vec<u8>)> {
    let mut written = Vec::new();
    hash_all(&mut [(path, link)], |_, path, record| written.push((*path, record.to_vec())));
    written
}
