//! Changing what stands under keys of a trie.
//!
//! Promises that what is above a change loses its name, and nothing else does; that of every branch or
//! extension that is gone the path is told; and that it says what stood under a key before, as far as it
//! saw it.

use alloy_primitives::B256;
use alloy_trie::{Nibbles, TrieMask};
use rayon::prelude::*;

use crate::trie::{
    branch::Branch,
    error::TrieError,
    node::{Extension, Leaf, Link, Node, Nodes, NodeKind, below},
    walk::{Cursor, nibble_at},
};

/// From so many insertions on they are shared among threads: a walk takes about a microsecond, waking a thread
/// several.
const PARALLEL_FROM: usize = 64;

/// Among how many parts they are shared.
const PARTS: usize = 16;

/// Whether something stands under a key before it is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// It does: so a leaf on the way to the key is the one, and need not be looked at.
    Held,
    /// Nobody knows.
    Unknown,
}

/// What stood under a key before it was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PreviousLeaf {
    /// Nothing.
    Nothing,
    /// This.
    Value(Vec<u8>),
    /// What a leaf with this hash holds, at this depth, that nobody looked at.
    Blinded(B256, usize),
}

/// A key that is put into a trie, and what is to stand under it.
#[derive(Debug)]
pub(crate) struct Insertion {
    /// The key.
    pub(crate) key: Nibbles,
    /// What is to stand under it. It is taken.
    pub(crate) value: Vec<u8>,
    /// Whether something stands there already.
    pub(crate) presence: Presence,
    /// What stood there, once it is inserted.
    pub(crate) found: PreviousLeaf,
}

/// What a removal needs: where nodes come from, and the paths at which one is gone.
pub(super) struct Removal<'p, N> {
    pub(super) nodes: &'p N,
    pub(super) gone: &'p mut Vec<Nibbles>,
}

/// Insertions, in order, and a place that all of them lead to.
struct InsertionTask<'t, 'i> {
    link: &'t mut Link,
    depth: usize,
    insertions: &'i mut [Insertion],
}

/// How insertions, which are in order, go on from a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// All go on below what stands there.
    LeadsOn,
    /// The first one does not.
    FirstParts,
    /// The last one does not.
    LastParts,
}

impl Insertion {
    /// What puts `value` under `key`.
    pub(crate) fn new(key: B256, value: Vec<u8>, presence: Presence) -> Self {
        Self { key: Nibbles::unpack(key), value, presence, found: PreviousLeaf::Absent }
    }

    fn make<N: Nodes>(&mut self, link: &mut Link, nodes: &N, depth: usize) -> Result<(), N::Error> {
        let place = Cursor { key: self.key, depth };
        self.found = link.insert(nodes, place, std::mem::take(&mut self.value), self.presence)?;
        Ok(())
    }
}

impl PreviousLeaf {
    /// Whether a leaf on the way to a key is surely the one, without being looked at.
    fn of(link: &Link, presence: Presence, depth: usize) -> Option<Self> {
        match link {
            Link::Blinded(hash, NodeKind::Leaf) if presence == Presence::Present => Some(Self::Blinded(*hash, depth)),
            Link::Empty | Link::Blinded(..) | Link::Revealed(..) => None,
        }
    }
}

impl Link {
    pub(super) fn insert<N: Nodes>(
        &mut self,
        nodes: &N,
        place: Cursor,
        value: Vec<u8>,
        presence: Presence,
    ) -> Result<PreviousLeaf, N::Error> {
        let rest = place.rest();
        if let Some(found) = PreviousLeaf::of(self, presence, place.depth) {
            *self = Node::leaf(rest, value).into();
            return Ok(found);
        }
        let Some((node, name)) = self.open(nodes, place)? else {
            *self = Node::leaf(rest, value).into();
            return Ok(PreviousLeaf::Absent);
        };
        *name = None;
        let (shared, other_turn, other) = match node {
            Node::Branch(branch) => {
                branch.make_room(TrieMask::from_nibble(place.nibble()));
                let child = branch.child_mut(place.nibble()).expect("room was made for it");
                return child.insert(nodes, place.below(1), value, presence);
            }
            Node::Extension(extension) if rest.starts_with(&extension.segment) => {
                let place = place.below(extension.segment.len());
                return extension.child.insert(nodes, place, value, presence);
            }
            Node::Leaf(leaf) if leaf.suffix == rest => {
                return Ok(PreviousLeaf::Value(std::mem::replace(&mut leaf.value, value)));
            }
            Node::Leaf(leaf) => {
                let Leaf { suffix: way, value } = &mut **leaf;
                let shared = rest.common_prefix_length(way);
                let other = Node::leaf(way.slice(shared + 1..), std::mem::take(value)).into();
                (shared, nibble_at(way, shared), other)
            }
            Node::Extension(extension) => {
                let way = extension.segment;
                let shared = rest.common_prefix_length(&way);
                let other = with_prefix(way.slice(shared + 1..), std::mem::take(&mut extension.child));
                (shared, nibble_at(&way, shared), other)
            }
        };
        *node = fork(&rest, shared, value, (other_turn, other));
        Ok(PreviousLeaf::Absent)
    }

    /// Makes insertions that are in order. Their values are taken.
    pub(super) fn insert_all<N: Nodes>(
        &mut self,
        nodes: &N,
        insertions: &mut [Insertion],
    ) -> Result<(), N::Error> {
        let most = if insertions.len() < PARALLEL_FROM { usize::MAX } else { PARTS };
        let errands = run_tasks(nodes, vec![InsertionTask { link: self, depth: 0, insertions }], most)?;
        let parts = errands.len().div_ceil(PARTS).max(1);
        let parts = errands.into_par_iter().chunks(parts);
        parts.try_for_each(|part| run_tasks(nodes, part, usize::MAX).map(drop))
    }

    /// Takes away what stands there, and says what it was.
    pub(super) fn remove<N: Nodes>(
        &mut self,
        pruning: &mut Removal<'_, N>,
        place: Cursor,
        presence: Presence,
    ) -> Result<PreviousLeaf, N::Error> {
        if let Some(found) = PreviousLeaf::of(self, presence, place.depth) {
            *self = Self::Empty;
            return Ok(found);
        }
        let rest = place.rest();
        let Some((node, name)) = self.open(pruning.nodes, place)? else { return Ok(PreviousLeaf::Absent) };
        let (found, only) = match node {
            Node::Leaf(leaf) if leaf.suffix == rest => {
                let found = PreviousLeaf::Value(std::mem::take(&mut leaf.value));
                *self = Self::Empty;
                return Ok(found);
            }
            Node::Extension(extension) if rest.starts_with(&extension.segment) => {
                let way = extension.segment;
                let found = extension.child.remove(pruning, place.below(way.len()), presence)?;
                let is_done = found != PreviousLeaf::Absent;
                (found, is_done.then(|| with_prefix(way, std::mem::take(&mut extension.child))))
            }
            Node::Branch(branch) => {
                let Some(child) = branch.child_mut(place.nibble()) else { return Ok(PreviousLeaf::Absent) };
                let found = child.remove(pruning, place.below(1), presence)?;
                if matches!(child, Self::Empty) {
                    branch.drop_child(place.nibble());
                }
                (found, only_child(branch, pruning, &place.path())?)
            }
            Node::Leaf(_) | Node::Extension(_) => (PreviousLeaf::Absent, None),
        };
        if found != PreviousLeaf::Absent {
            *name = None;
        }
        if let Some(only) = only {
            pruning.gone.push(place.path());
            *self = only;
        }
        Ok(found)
    }
}

/// Runs errands level by level until there are none, or so many of them, which are left.
fn run_tasks<'t, 'i, N: Nodes>(
    nodes: &N,
    mut errands: Vec<InsertionTask<'t, 'i>>,
    many: usize,
) -> Result<Vec<InsertionTask<'t, 'i>>, N::Error> {
    while !errands.is_empty() && errands.len() < many {
        let most = errands.iter().map(|errand| errand.insertions.len()).sum();
        let mut left = Vec::with_capacity(most);
        errands.into_iter().try_for_each(|errand| errand.run(nodes, &mut left))?;
        errands = left;
    }
    Ok(errands)
}

impl<'t, 'i> InsertionTask<'t, 'i> {
    /// Makes what insertions can be made here, and adds the errands that lead on.
    fn run<N: Nodes>(self, nodes: &N, left: &mut Vec<Self>) -> Result<(), N::Error> {
        let Self { link, depth, mut insertions } = self;
        while !insertions.is_empty() {
            // A branch comes out of the first one that parts from what stands here, or out of two.
            let (one, others) = match link.way(nodes, depth, insertions)? {
                Way::LeadsOn => {
                    link.lead_on(depth, insertions, left);
                    return Ok(());
                }
                Way::LastParts => insertions.split_last_mut().expect("there are some"),
                Way::FirstParts => insertions.split_first_mut().expect("there are some"),
            };
            one.make(link, nodes, depth)?;
            insertions = others;
        }
        Ok(())
    }
}

impl Link {
    /// Whether insertions, which are in order, go on below what stands here.
    fn way<N: Nodes>(&mut self, nodes: &N, depth: usize, insertions: &[Insertion]) -> Result<Way, N::Error> {
        let [first, last] = [insertions.first(), insertions.last()].map(|end| end.expect("there are some"));
        if PreviousLeaf::of(self, first.presence, depth).is_some() {
            return Ok(Way::FirstParts);
        }
        Ok(match self.open(nodes, Cursor { key: first.key, depth })? {
            Some((Node::Branch(_), _)) => Way::LeadsOn,
            Some((Node::Extension(extension), _)) => {
                let leads = |end: &Insertion| end.key.slice(depth..).starts_with(&extension.segment);
                match (leads(first), leads(last)) {
                    (true, true) => Way::LeadsOn,
                    (true, false) => Way::LastParts,
                    (false, _) => Way::FirstParts,
                }
            }
            Some((Node::Leaf(_), _)) | None => Way::FirstParts,
        })
    }

    /// Adds the errands below what stands here.
    fn lead_on<'t, 'i>(
        &'t mut self,
        depth: usize,
        insertions: &'i mut [Insertion],
        left: &mut Vec<InsertionTask<'t, 'i>>,
    ) {
        let Self::Revealed(node, name) = self else { unreachable!("it was looked at") };
        *name = None;
        match node {
            Node::Leaf(_) => unreachable!("nothing is below a leaf"),
            Node::Extension(extension) => {
                let depth = depth + extension.segment.len();
                left.push(InsertionTask { link: &mut extension.child, depth, insertions });
            }
            Node::Branch(branch) => {
                let turn = |insertion: &Insertion| nibble_at(&insertion.key, depth);
                let mut turns = TrieMask::default();
                insertions.iter().for_each(|insertion| turns.set_bit(nibble_at(insertion)));
                branch.make_room(turns);
                let mut children = branch.children_mut();
                for run in insertions.chunk_by_mut(|one, other| nibble_at(one) == nibble_at(other)) {
                    let child = children.find(|(nibble, _)| *nibble == nibble_at(&run[0]));
                    let (_, link) = child.expect("room was made, and the insertions are in order");
                    left.push(InsertionTask { link, depth: depth + 1, insertions: run });
                }
            }
        }
    }
}

/// A node in which the way `rest` to `value` and the way to `other` part after `shared` nibbles.
fn fork(rest: &Nibbles, shared: usize, value: Vec<u8>, (other_turn, other): (u8, Link)) -> Node {
    let leaf = Node::leaf(rest.slice(shared + 1..), value).into();
    let leaf_turn = nibble_at(rest, shared);
    let children = if leaf_turn < other_turn { vec![leaf, other] } else { vec![other, leaf] };
    let branch = Node::Branch(Branch::of(TrieMask::new(1 << leaf_turn | 1 << other_turn), children));
    if shared == 0 { branch } else { Node::extension(rest.slice(..shared), branch.into()) }
}

/// What stands in place of a branch at `path` that has a single child left; `None` if it has more.
fn only_child<N: Nodes>(
    branch: &mut Branch,
    pruning: &mut Removal<'_, N>,
    path: &Nibbles,
) -> Result<Option<Link>, N::Error> {
    let Some((nibble, child)) = branch.only_child_mut() else { return Ok(None) };
    let place = below(path, nibble);
    child.reveal(pruning.nodes, &place)?;
    // Only where nobody said what it is it may be taken for a branch.
    if let Link::Blinded(hash, NodeKind::Leaf | NodeKind::Inner) = *child {
        return Err(TrieError::Missing { hash, path: place }.into());
    }
    if let Link::Revealed(Node::Extension(_), _) = child {
        pruning.gone.push(place);
    }
    Ok(Some(with_prefix(Nibbles::from_nibbles([nibble]), std::mem::take(child))))
}

/// What leads along `path` to `child`. One that is not known is taken for a branch.
fn with_prefix(path: Nibbles, child: Link) -> Link {
    if path.is_empty() {
        return child;
    }
    match child {
        Link::Empty => Link::Empty,
        Link::Revealed(Node::Leaf(leaf), _) => {
            let Leaf { suffix, value } = *leaf;
            Node::leaf(path.join(&rest), value).into()
        }
        Link::Revealed(Node::Extension(extension), _) => {
            let Extension { segment, child } = *extension;
            Node::extension(path.join(&way), child).into()
        }
        Link::Blinded(..) | Link::Revealed(Node::Branch(_), _) => Node::extension(path, child).into(),
    }
}
