//! A trie that is known in part: it looks at the nodes that it is led to, and at no others.
//!
//! Owns what it looked at and what changed. Promises that its root is the root of the whole trie
//! after the same insertions and removals, or that it says which node it lacks; and that it tells
//! all nodes that came, and all paths at which a node stood that is gone.

use std::ops::AddAssign;

use alloy_primitives::{B256, Bytes};
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles};
use rayon::prelude::*;

use crate::trie::{
    change::{PreviousLeaf, Insertion, Presence, Removal},
    hashing::hash_all,
    node::{Link, Node, Nodes, NodeKind, below},
    walk::Cursor,
};

/// A key and what is to stand under it; `None` removes the key.
pub(crate) type Update = (B256, Option<Vec<u8>>);

/// A trie over hashed keys, of which the nodes come from wherever they are kept, as they are needed.
///
/// An insertion or a removal that fails leaves it half done: the trie is of no more use then.
#[derive(Debug)]
pub(crate) struct SparseTrie<N> {
    nodes: N,
    root: Link,
    /// The paths at which a branch or an extension stood that is gone, or was replaced.
    gone: Vec<Nibbles>,
}

/// How many nodes a trie has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct NodeCount {
    /// Branches and extensions that are kept.
    pub(crate) inner: u64,
    /// Leaves, as branches tell of them.
    pub(crate) leaves: u64,
}

impl AddAssign for NodeCount {
    fn add_assign(&mut self, other: Self) {
        self.inner += other.inner;
        self.leaves += other.leaves;
    }
}

/// What became of the nodes of a trie. What is gone goes before what is written comes.
#[derive(Debug)]
pub(crate) struct NodeChanges {
    /// The root of the trie.
    pub(crate) root: B256,
    /// Paths at which no branch or extension stands any more, unless it is written.
    pub(crate) gone: Vec<Nibbles>,
    /// The branches and extensions that changed, as they are kept.
    pub(crate) written: Vec<(Nibbles, Vec<u8>)>,
}

impl<N: Nodes> SparseTrie<N> {
    /// The trie with this root. Looks at nothing yet.
    pub(crate) fn new(nodes: N, root: B256) -> Self {
        let root = if root == EMPTY_ROOT_HASH { Link::Empty } else { Link::Blinded(root, NodeKind::Unknown) };
        Self { nodes, root, gone: Vec::new() }
    }

    /// A trie of which somebody kept a part.
    pub(crate) fn of(nodes: N, root: Link) -> Self {
        Self { nodes, root, gone: Vec::new() }
    }

    /// What is known of the trie.
    pub(crate) fn into_root(self) -> Link {
        self.root
    }

    /// What stands under `key`.
    ///
    /// # Errors
    ///
    /// If a node on the way is missing or malformed.
    pub(crate) fn get(&mut self, key: B256) -> Result<Option<&[u8]>, N::Error> {
        self.root.get(&self.nodes, Cursor::root(key))
    }

    /// Looks at the branches and extensions on the way to `key`, so that they are at hand.
    ///
    /// # Errors
    ///
    /// If a node on the way is missing or malformed.
    pub(crate) fn look_up(&mut self, key: B256) -> Result<(), N::Error> {
        self.root.look_up(&self.nodes, Cursor::root(key))
    }

    /// Makes every update: first what is inserted, then what is removed.
    ///
    /// A branch that loses a child and gains another never collapses in this order, so that no
    /// node is asked for that the outcome does not depend on.
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

    /// Puts `value` under `key`, and says what stood there.
    ///
    /// # Errors
    ///
    /// If a node on the way is missing or malformed.
    ///
    /// # Panics
    ///
    /// If `value` is empty: a trie cannot hold that.
    pub(crate) fn insert(
        &mut self,
        key: B256,
        value: Vec<u8>,
        presence: Presence,
    ) -> Result<PreviousLeaf, N::Error> {
        assert!(!value.is_empty(), "an empty value stands for none");
        self.root.insert(&self.nodes, Cursor::root(key), value, presence)
    }

    /// Puts many values under their keys, those of different branches on several threads. Each insertion then
    /// says what stood there.
    ///
    /// # Errors
    ///
    /// If a node on the way is missing or malformed.
    ///
    /// # Panics
    ///
    /// If a value is empty, or a key is there twice.
    pub(crate) fn insert_all(&mut self, insertions: &mut [Insertion]) -> Result<(), N::Error> {
        insertions.sort_unstable_by_key(|insertion| insertion.key);
        let twice = insertions.windows(2).any(|pair| pair[0].key == pair[1].key);
        assert!(!twice, "of two values for one key only one can be meant");
        assert!(
            insertions.iter().all(|insertion| !insertion.value.is_empty()),
            "an empty value stands for none"
        );
        self.root.insert_all(&self.nodes, insertions)
    }

    /// Takes `key` out, if it is there, and says what stood there.
    ///
    /// Where a branch is left with a single child whose node is missing, that child is taken for a
    /// branch: a witness holds it if it is a leaf or an extension.
    ///
    /// # Errors
    ///
    /// If a node on the way is missing, or if one that is needed is malformed.
    pub(crate) fn remove(&mut self, key: B256, presence: Presence) -> Result<PreviousLeaf, N::Error> {
        let Self { nodes, root, gone } = self;
        root.remove(&mut Removal { nodes, gone }, Cursor::root(key), presence)
    }

    /// The root as it is now. Only what changed since the last time is hashed.
    pub(crate) fn root(&mut self) -> B256 {
        hash_all(&mut [(Nibbles::new(), &mut self.root)], |_, _, _| ());
        self.root.root()
    }

    /// The nodes on the way to `key`, as far as there is one: the proof of what stands there.
    ///
    /// # Errors
    ///
    /// If a node on the way is missing or malformed.
    pub(crate) fn prove(&mut self, key: B256) -> Result<Vec<Bytes>, N::Error> {
        self.root();
        let mut proof = Vec::new();
        self.root.prove(&self.nodes, Cursor::root(key), &mut proof)?;
        Ok(proof)
    }

    /// Looks at every branch and extension, checks that each is what its hash vouches for, and counts them and
    /// the leaves below them.
    ///
    /// # Errors
    ///
    /// If one is not, is missing or malformed.
    pub(crate) fn check_stored(&mut self) -> Result<NodeCount, N::Error> {
        self.root.check_stored(&self.nodes, &Nibbles::new())
    }

    /// The root as it is now, and what became of the nodes since the last time. What stands in different
    /// branches is hashed on several threads.
    pub(crate) fn take_changes(&mut self) -> NodeChanges {
        let mut written = hash_branches(&mut self.root);
        written.extend(name(Nibbles::new(), &mut self.root));
        self.changes(written)
    }

    /// What [`take_changes`](Self::take_changes) says of each of several tries. They are named together and
    /// on this thread: that is best where each has few changes.
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
        NodeChanges { root: self.root.root(), gone: std::mem::take(&mut self.gone), written }
    }
}

/// Names the children of the branch at the root, if it is one and several of them changed, each on
/// whatever thread has time.
fn hash_branches(root: &mut Link) -> Vec<(Nibbles, Vec<u8>)> {
    let Link::Revealed(root, None) = root else { return Vec::new() };
    let Node::Branch(branch) = root else { return Vec::new() };
    let changed: Vec<_> = branch.children_mut().filter(|(_, child)| child.is_dirty()).collect();
    if changed.len() < 2 {
        return Vec::new();
    }
    let changed = changed.into_par_iter();
    let written: Vec<_> =
        changed.map(|(nibble, child)| name(below(&Nibbles::new(), nibble), child)).collect();
    written.into_iter().flatten().collect()
}

/// Names what stands at `path`, and all below it.
fn name(path: Nibbles, link: &mut Link) -> Vec<(Nibbles, Vec<u8>)> {
    let mut written = Vec::new();
    hash_all(&mut [(path, link)], |_, path, record| written.push((*path, record.to_vec())));
    written
}
