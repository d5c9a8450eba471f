//! Insertion into a trie and removal from it.
//!
//! Promises that exactly the ancestors of a change become dirty; that the path of each deleted branch or
//! extension is reported; and that each call returns the previous value of its key, as far as it was seen.

use alloy_primitives::B256;
use alloy_trie::{Nibbles, TrieMask};
use rayon::prelude::*;

use crate::trie::{
    branch::Branch,
    error::TrieError,
    node::{Extension, Leaf, Node, NodeKind, NodeLink, Nodes, UnknownSibling, below},
    walk::{Cursor, nibble_at},
};

/// The least number of insertions that are shared among threads: a walk takes about a microsecond, waking a
/// thread several.
const PARALLEL_FROM: usize = 64;

/// The number of parts that insertions are divided into.
const PARTS: usize = 16;

/// What is known of a key before it is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// The key has a value. A leaf on the path is therefore the leaf of the key and need not be read.
    Present,
    /// Nothing.
    Unknown,
}

/// The value of a key before it was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PreviousLeaf {
    /// None.
    Absent,
    /// This value.
    Value(Vec<u8>),
    /// The value of a leaf with this hash at this depth, which was not read.
    Blinded(B256, usize),
}

/// A key that is inserted into a trie, with its new value.
#[derive(Debug)]
pub(crate) struct Insertion {
    /// The key.
    pub(crate) key: Nibbles,
    /// The new value. The insertion takes it.
    pub(crate) value: Vec<u8>,
    /// Whether the key is known to have a value already.
    pub(crate) presence: Presence,
    /// The previous value, set by the insertion.
    pub(crate) previous: PreviousLeaf,
}

/// What a removal needs: the source of nodes, and the list of paths of deleted nodes.
pub(super) struct Removal<'p, N> {
    pub(super) nodes: &'p N,
    pub(super) deleted: &'p mut Vec<Nibbles>,
}

/// Ordered insertions below one link, which all of them pass.
struct InsertionTask<'t, 'i> {
    link: &'t mut NodeLink,
    depth: usize,
    insertions: &'i mut [Insertion],
}

/// Which end of ordered insertions leaves the path of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Divergence {
    /// None: all of them descend into the node's children.
    None,
    /// The first one.
    First,
    /// The last one.
    Last,
}

impl Insertion {
    /// The insertion of `value` under `key`.
    pub(crate) fn new(key: B256, value: Vec<u8>, presence: Presence) -> Self {
        Self { key: Nibbles::unpack(key), value, presence, previous: PreviousLeaf::Absent }
    }

    fn apply<N: Nodes>(&mut self, link: &mut NodeLink, nodes: &N, depth: usize) -> Result<(), N::Error> {
        let cursor = Cursor { key: self.key, depth };
        self.previous = link.insert(nodes, cursor, std::mem::take(&mut self.value), self.presence)?;
        Ok(())
    }
}

impl PreviousLeaf {
    /// The unread leaf of a key that is known to be present; `None` if `link` is not surely that leaf.
    fn unread(link: &NodeLink, presence: Presence, depth: usize) -> Option<Self> {
        match link {
            NodeLink::Blinded(hash, NodeKind::Leaf) if presence == Presence::Present => {
                Some(Self::Blinded(*hash, depth))
            }
            NodeLink::Empty | NodeLink::Blinded(..) | NodeLink::Revealed(..) => None,
        }
    }
}

impl NodeLink {
    /// Inserts `value` under the key of the cursor and returns the previous value.
    pub(super) fn insert<N: Nodes>(
        &mut self,
        nodes: &N,
        cursor: Cursor,
        value: Vec<u8>,
        presence: Presence,
    ) -> Result<PreviousLeaf, N::Error> {
        let rest = cursor.rest();
        if let Some(previous) = PreviousLeaf::unread(self, presence, cursor.depth) {
            *self = Node::leaf(rest, value).into();
            return Ok(previous);
        }
        let Some((node, reference)) = self.open(nodes, cursor)? else {
            *self = Node::leaf(rest, value).into();
            return Ok(PreviousLeaf::Absent);
        };
        *reference = None;
        let (shared, other_nibble, other) = match node {
            Node::Branch(branch) => {
                branch.add_children(TrieMask::from_nibble(cursor.nibble()));
                let child = branch.child_mut(cursor.nibble()).expect("the child was added");
                return child.insert(nodes, cursor.below(1), value, presence);
            }
            Node::Extension(extension) if rest.starts_with(&extension.segment) => {
                let cursor = cursor.below(extension.segment.len());
                return extension.child.insert(nodes, cursor, value, presence);
            }
            Node::Leaf(leaf) if leaf.suffix == rest => {
                return Ok(PreviousLeaf::Value(std::mem::replace(&mut leaf.value, value)));
            }
            Node::Leaf(leaf) => {
                let Leaf { suffix, value } = &mut **leaf;
                let shared = rest.common_prefix_length(suffix);
                let other = Node::leaf(suffix.slice(shared + 1..), std::mem::take(value)).into();
                (shared, nibble_at(suffix, shared), other)
            }
            Node::Extension(extension) => {
                let segment = extension.segment;
                let shared = rest.common_prefix_length(&segment);
                let other = with_prefix(segment.slice(shared + 1..), std::mem::take(&mut extension.child));
                (shared, nibble_at(&segment, shared), other)
            }
        };
        *node = fork(&rest, shared, value, (other_nibble, other));
        Ok(PreviousLeaf::Absent)
    }

    /// Applies ordered insertions and takes their values.
    pub(super) fn insert_all<N: Nodes>(
        &mut self,
        nodes: &N,
        insertions: &mut [Insertion],
    ) -> Result<(), N::Error> {
        let most = if insertions.len() < PARALLEL_FROM { usize::MAX } else { PARTS };
        let tasks = run_tasks(nodes, vec![InsertionTask { link: self, depth: 0, insertions }], most)?;
        let parts = tasks.len().div_ceil(PARTS).max(1);
        let parts = tasks.into_par_iter().chunks(parts);
        parts.try_for_each(|part| run_tasks(nodes, part, usize::MAX).map(drop))
    }

    /// Removes the value of the key and returns it.
    pub(super) fn remove<N: Nodes>(
        &mut self,
        removal: &mut Removal<'_, N>,
        cursor: Cursor,
        presence: Presence,
    ) -> Result<PreviousLeaf, N::Error> {
        if let Some(previous) = PreviousLeaf::unread(self, presence, cursor.depth) {
            *self = Self::Empty;
            return Ok(previous);
        }
        let rest = cursor.rest();
        let Some((node, reference)) = self.open(removal.nodes, cursor)? else {
            return Ok(PreviousLeaf::Absent);
        };
        let (previous, replacement) = match node {
            Node::Leaf(leaf) if leaf.suffix == rest => {
                let previous = PreviousLeaf::Value(std::mem::take(&mut leaf.value));
                *self = Self::Empty;
                return Ok(previous);
            }
            Node::Extension(extension) if rest.starts_with(&extension.segment) => {
                let segment = extension.segment;
                let previous = extension.child.remove(removal, cursor.below(segment.len()), presence)?;
                let is_removed = previous != PreviousLeaf::Absent;
                (previous, is_removed.then(|| with_prefix(segment, std::mem::take(&mut extension.child))))
            }
            Node::Branch(branch) => {
                let Some(child) = branch.child_mut(cursor.nibble()) else { return Ok(PreviousLeaf::Absent) };
                let previous = child.remove(removal, cursor.below(1), presence)?;
                if matches!(child, Self::Empty) {
                    branch.remove_child(cursor.nibble());
                }
                (previous, collapse(branch, removal, &cursor.path())?)
            }
            Node::Leaf(_) | Node::Extension(_) => (PreviousLeaf::Absent, None),
        };
        if previous != PreviousLeaf::Absent {
            *reference = None;
        }
        if let Some(replacement) = replacement {
            removal.deleted.push(cursor.path());
            *self = replacement;
        }
        Ok(previous)
    }
}

/// Runs tasks level by level until none is left, or at least `many`, which are returned.
fn run_tasks<'t, 'i, N: Nodes>(
    nodes: &N,
    mut tasks: Vec<InsertionTask<'t, 'i>>,
    many: usize,
) -> Result<Vec<InsertionTask<'t, 'i>>, N::Error> {
    while !tasks.is_empty() && tasks.len() < many {
        let most = tasks.iter().map(|task| task.insertions.len()).sum();
        let mut next = Vec::with_capacity(most);
        tasks.into_iter().try_for_each(|task| task.run(nodes, &mut next))?;
        tasks = next;
    }
    Ok(tasks)
}

impl<'t, 'i> InsertionTask<'t, 'i> {
    /// Applies the insertions that end at this link, and adds a task for each child that others pass.
    fn run<N: Nodes>(self, nodes: &N, next: &mut Vec<Self>) -> Result<(), N::Error> {
        let Self { link, depth, mut insertions } = self;
        while !insertions.is_empty() {
            // The first insertion that diverges here makes a branch, or the first two do.
            let (one, others) = match link.divergence(nodes, depth, insertions)? {
                Divergence::None => {
                    link.descend(depth, insertions, next);
                    return Ok(());
                }
                Divergence::Last => insertions.split_last_mut().expect("there is an insertion"),
                Divergence::First => insertions.split_first_mut().expect("there is an insertion"),
            };
            one.apply(link, nodes, depth)?;
            insertions = others;
        }
        Ok(())
    }
}

impl NodeLink {
    /// Whether all of the ordered insertions descend into the children of this node.
    fn divergence<N: Nodes>(
        &mut self,
        nodes: &N,
        depth: usize,
        insertions: &[Insertion],
    ) -> Result<Divergence, N::Error> {
        let [first, last] =
            [insertions.first(), insertions.last()].map(|end| end.expect("there is an insertion"));
        if PreviousLeaf::unread(self, first.presence, depth).is_some() {
            return Ok(Divergence::First);
        }
        Ok(match self.open(nodes, Cursor { key: first.key, depth })? {
            Some((Node::Branch(_), _)) => Divergence::None,
            Some((Node::Extension(extension), _)) => {
                let is_below = |end: &Insertion| end.key.slice(depth..).starts_with(&extension.segment);
                match (is_below(first), is_below(last)) {
                    (true, true) => Divergence::None,
                    (true, false) => Divergence::Last,
                    (false, _) => Divergence::First,
                }
            }
            Some((Node::Leaf(_), _)) | None => Divergence::First,
        })
    }

    /// Adds a task for each child that the ordered insertions pass.
    fn descend<'t, 'i>(
        &'t mut self,
        depth: usize,
        insertions: &'i mut [Insertion],
        next: &mut Vec<InsertionTask<'t, 'i>>,
    ) {
        let Self::Revealed(node, reference) = self else { unreachable!("it was revealed") };
        *reference = None;
        match node {
            Node::Leaf(_) => unreachable!("a leaf has no children"),
            Node::Extension(extension) => {
                let depth = depth + extension.segment.len();
                next.push(InsertionTask { link: &mut extension.child, depth, insertions });
            }
            Node::Branch(branch) => {
                let nibble = |insertion: &Insertion| nibble_at(&insertion.key, depth);
                let mut nibbles = TrieMask::default();
                insertions.iter().for_each(|insertion| nibbles.set_bit(nibble(insertion)));
                branch.add_children(nibbles);
                let mut children = branch.children_mut();
                for run in insertions.chunk_by_mut(|one, other| nibble(one) == nibble(other)) {
                    let child = children.find(|(child, _)| *child == nibble(&run[0]));
                    let (_, link) = child.expect("the child was added, and the insertions are in order");
                    next.push(InsertionTask { link, depth: depth + 1, insertions: run });
                }
            }
        }
    }
}

/// A node in which the path `suffix` to `value` and the path to `other` diverge after `shared` nibbles.
fn fork(suffix: &Nibbles, shared: usize, value: Vec<u8>, (other_nibble, other): (u8, NodeLink)) -> Node {
    let leaf = Node::leaf(suffix.slice(shared + 1..), value).into();
    let leaf_nibble = nibble_at(suffix, shared);
    let children = if leaf_nibble < other_nibble { vec![leaf, other] } else { vec![other, leaf] };
    let branch = Node::Branch(Branch::of(TrieMask::new(1 << leaf_nibble | 1 << other_nibble), children));
    if shared == 0 { branch } else { Node::extension(suffix.slice(..shared), branch.into()) }
}

/// The replacement of a branch at `path` that has a single child left; `None` if it has more.
fn collapse<N: Nodes>(
    branch: &mut Branch,
    removal: &mut Removal<'_, N>,
    path: &Nibbles,
) -> Result<Option<NodeLink>, N::Error> {
    let Some((nibble, child)) = branch.only_child_mut() else { return Ok(None) };
    let child_path = below(path, nibble);
    child.reveal(removal.nodes, &child_path)?;
    if let NodeLink::Blinded(hash, kind) = *child
        && (kind != NodeKind::Unknown || removal.nodes.unknown_sibling() == UnknownSibling::Error)
    {
        return Err(TrieError::MissingSibling { hash, path: child_path }.into());
    }
    if let NodeLink::Revealed(Node::Extension(_), _) = child {
        removal.deleted.push(child_path);
    }
    Ok(Some(with_prefix(Nibbles::from_nibbles([nibble]), std::mem::take(child))))
}

/// `child` with `path` in front of its own path. A blinded child is taken for a branch.
fn with_prefix(path: Nibbles, child: NodeLink) -> NodeLink {
    if path.is_empty() {
        return child;
    }
    match child {
        NodeLink::Empty => NodeLink::Empty,
        NodeLink::Revealed(Node::Leaf(leaf), _) => {
            let Leaf { suffix, value } = *leaf;
            Node::leaf(path.join(&suffix), value).into()
        }
        NodeLink::Revealed(Node::Extension(extension), _) => {
            let Extension { segment, child } = *extension;
            Node::extension(path.join(&segment), child).into()
        }
        NodeLink::Blinded(..) | NodeLink::Revealed(Node::Branch(_), _) => Node::extension(path, child).into(),
    }
}
