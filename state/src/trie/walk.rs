//! Walking from the root of a trie to a key, and changing what stands there.
//!
//! Promises that what is above a change loses its name, and nothing else does; and that of every branch
//! or extension that is gone the path is told. Never recurses deeper than a key is long.

use alloy_primitives::{B256, Bytes, keccak256};
use alloy_trie::{Nibbles, nodes::RlpNode};
use rayon::prelude::*;

use super::{
    TrieError,
    node::{Link, Node, Nodes, Sort, below},
    partial::{Insertion, Presence},
};

/// Below this many insertions, or where so few lead into one branch, other threads do not help: a walk
/// takes about a microsecond, waking a thread several.
const PARALLEL_FROM: usize = 64;

/// How far one came on the way to a key.
#[derive(Clone, Copy)]
pub(super) struct Place {
    key: Nibbles,
    depth: usize,
}

impl Place {
    pub(super) fn root(key: B256) -> Self {
        Self { key: Nibbles::unpack(key), depth: 0 }
    }

    /// The way up to here.
    fn path(&self) -> Nibbles {
        self.key.slice(..self.depth)
    }

    /// The way ahead.
    fn rest(&self) -> Nibbles {
        self.key.slice(self.depth..)
    }

    /// Which child of a branch is next.
    fn turn(&self) -> usize {
        turn(&self.key, self.depth)
    }

    fn below(self, nibbles: usize) -> Self {
        Self { depth: self.depth + nibbles, ..self }
    }
}

/// Whether a removal found what it was to remove.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Removal {
    Done,
    Absent,
}

/// What a removal needs: where nodes come from, and the paths at which one is gone.
pub(super) struct Pruning<'p, N> {
    pub(super) nodes: &'p N,
    pub(super) gone: &'p mut Vec<Nibbles>,
}

impl Link {
    /// The node with its name, to be looked at or changed; `None` where nothing stands.
    fn open<N: Nodes>(
        &mut self,
        nodes: &N,
        place: Place,
    ) -> Result<Option<(&mut Node, &mut Option<RlpNode>)>, N::Error> {
        self.unseal(nodes, &place.path())?;
        match self {
            Self::Empty => Ok(None),
            Self::Sealed(hash, _) => Err(TrieError::Missing { hash: *hash, path: place.path() }.into()),
            Self::Open(node, name) => Ok(Some((node, name))),
        }
    }

    pub(super) fn get<N: Nodes>(&mut self, nodes: &N, place: Place) -> Result<Option<&[u8]>, N::Error> {
        match self.open(nodes, place)? {
            None => Ok(None),
            Some((Node::Leaf(path, value), _)) => Ok((*path == place.rest()).then_some(value)),
            Some((Node::Extension(path, child), _)) => {
                let leads_on = place.rest().starts_with(path);
                if leads_on { child.get(nodes, place.below(path.len())) } else { Ok(None) }
            }
            Some((Node::Branch(children), _)) => children[place.turn()].get(nodes, place.below(1)),
        }
    }

    /// See [`PartialTrie::check_kept`]. What was looked at is forgotten again.
    pub(super) fn check_kept<N: Nodes>(&mut self, nodes: &N, path: &Nibbles) -> Result<u64, N::Error> {
        let Self::Sealed(hash, sort @ (Sort::Inner | Sort::Any)) = *self else { return Ok(0) };
        let Some(node) = nodes.node(hash, sort, path)? else {
            return Err(TrieError::Missing { hash, path: *path }.into());
        };
        let mut encoded = Vec::new();
        node.encode(&mut encoded);
        let found = keccak256(&encoded);
        if found != hash {
            return Err(TrieError::Renamed { hash, path: *path, found }.into());
        }
        let check = |(path, child): (Nibbles, &mut Self)| child.check_kept(nodes, &path);
        match node {
            Node::Leaf(..) => Ok(0),
            Node::Extension(way, mut child) => Ok(1 + check((path.join(&way), &mut child))?),
            Node::Branch(mut children) => {
                let children =
                    (0u8..).zip(children.iter_mut()).map(|(nibble, child)| (below(path, nibble), child));
                children.map(check).try_fold(1, |sum, counted| Ok(sum + counted?))
            }
        }
    }

    /// Forgets what was looked at or changed on the way to `keys`, which are in order, but for branches and
    /// extensions down to the depth `last`. All must be named.
    pub(crate) fn prune(&mut self, depth: usize, last: usize, keys: &[Nibbles]) {
        match self {
            Self::Open(node, _) if depth <= last => match &mut **node {
                Node::Leaf(..) => self.seal(),
                Node::Extension(path, child) => child.prune(depth + path.len(), last, keys),
                Node::Branch(children) => {
                    for run in keys.chunk_by(|one, other| turn(one, depth) == turn(other, depth)) {
                        children[turn(&run[0], depth)].prune(depth + 1, last, run);
                    }
                }
            },
            _ => self.seal(),
        }
    }

    /// Forgets the node but for its hash. One that is shorter than a hash stays.
    fn seal(&mut self) {
        if let Self::Open(_, Some(name)) = self
            && let Some(hash) = name.as_hash()
        {
            let sort = if self.is_leaf() { Sort::Leaf } else { Sort::Inner };
            *self = Self::Sealed(hash, sort);
        }
    }

    pub(super) fn look_up<N: Nodes>(&mut self, nodes: &N, place: Place) -> Result<(), N::Error> {
        if matches!(self, Self::Sealed(_, Sort::Leaf)) {
            return Ok(());
        }
        match self.open(nodes, place)? {
            Some((Node::Extension(path, child), _)) if place.rest().starts_with(path) => {
                child.look_up(nodes, place.below(path.len()))
            }
            Some((Node::Branch(children), _)) => children[place.turn()].look_up(nodes, place.below(1)),
            None | Some(_) => Ok(()),
        }
    }

    /// Adds the encodings of the nodes on the way, which must be named, to `proof`. One that lies within
    /// another is in there already.
    pub(super) fn prove<N: Nodes>(
        &mut self,
        nodes: &N,
        place: Place,
        proof: &mut Vec<Bytes>,
    ) -> Result<(), N::Error> {
        let Some((node, name)) = self.open(nodes, place)? else { return Ok(()) };
        if place.depth == 0 || name.as_ref().is_none_or(RlpNode::is_hash) {
            let mut encoded = Vec::new();
            node.encode(&mut encoded);
            proof.push(encoded.into());
        }
        match node {
            Node::Extension(path, child) if place.rest().starts_with(path) => {
                child.prove(nodes, place.below(path.len()), proof)
            }
            Node::Branch(children) => children[place.turn()].prove(nodes, place.below(1), proof),
            Node::Leaf(..) | Node::Extension(..) => Ok(()),
        }
    }

    pub(super) fn insert<N: Nodes>(
        &mut self,
        nodes: &N,
        place: Place,
        value: Vec<u8>,
        presence: Presence,
    ) -> Result<(), N::Error> {
        let rest = place.rest();
        if presence == Presence::Held && matches!(self, Self::Sealed(_, Sort::Leaf)) {
            *self = Node::Leaf(rest, value).into();
            return Ok(());
        }
        let Some((node, name)) = self.open(nodes, place)? else {
            *self = Node::Leaf(rest, value).into();
            return Ok(());
        };
        *name = None;
        match node {
            Node::Branch(children) => children[place.turn()].insert(nodes, place.below(1), value, presence),
            Node::Extension(path, child) if rest.starts_with(path) => {
                child.insert(nodes, place.below(path.len()), value, presence)
            }
            Node::Leaf(path, held) if rest == *path => {
                *held = value;
                Ok(())
            }
            Node::Leaf(path, held) => {
                let shared = rest.common_prefix_length(path);
                let other = Node::Leaf(path.slice(shared + 1..), std::mem::take(held)).into();
                *node = fork(&rest, shared, value, (turn(path, shared), other));
                Ok(())
            }
            Node::Extension(path, child) => {
                let shared = rest.common_prefix_length(path);
                let other = prefixed(path.slice(shared + 1..), std::mem::take(child));
                *node = fork(&rest, shared, value, (turn(path, shared), other));
                Ok(())
            }
        }
    }

    /// Makes insertions that are in order and lead here, at `depth`. Their values are taken.
    pub(super) fn insert_all<N: Nodes>(
        &mut self,
        nodes: &N,
        depth: usize,
        insertions: &mut [Insertion],
    ) -> Result<(), N::Error> {
        let mut insertions = insertions;
        loop {
            let [first, .., last] = &mut *insertions else {
                return insertions.iter_mut().try_for_each(|only| only.insert_into(self, nodes, depth));
            };
            let place = Place { key: first.key, depth };
            let ahead = last.key.slice(depth..);
            match self.open(nodes, place)? {
                Some((Node::Branch(children), name)) => {
                    *name = None;
                    return divide(children, nodes, depth, insertions);
                }
                Some((Node::Extension(path, child), name))
                    if place.rest().starts_with(path) && ahead.starts_with(path) =>
                {
                    *name = None;
                    return child.insert_all(nodes, depth + path.len(), insertions);
                }
                // A branch comes out of the first ones.
                None | Some(_) => first.insert_into(self, nodes, depth)?,
            }
            insertions = &mut insertions[1..];
        }
    }

    pub(super) fn remove<N: Nodes>(
        &mut self,
        pruning: &mut Pruning<'_, N>,
        place: Place,
    ) -> Result<Removal, N::Error> {
        let rest = place.rest();
        let Some((node, name)) = self.open(pruning.nodes, place)? else { return Ok(Removal::Absent) };
        let (removal, only) = match node {
            Node::Leaf(path, _) if *path == rest => (Removal::Done, Some(Self::Empty)),
            Node::Extension(path, child) if rest.starts_with(path) => {
                let removal = child.remove(pruning, place.below(path.len()))?;
                (removal, (removal == Removal::Done).then(|| prefixed(*path, std::mem::take(child))))
            }
            Node::Branch(children) => {
                let removal = children[place.turn()].remove(pruning, place.below(1))?;
                (removal, only_child(children, pruning, &place.path())?)
            }
            Node::Leaf(..) | Node::Extension(..) => (Removal::Absent, None),
        };
        if removal == Removal::Done {
            *name = None;
        }
        if let Some(only) = only {
            pruning.gone.push(place.path());
            *self = only;
        }
        Ok(removal)
    }
}

impl Insertion {
    fn insert_into<N: Nodes>(&mut self, link: &mut Link, nodes: &N, depth: usize) -> Result<(), N::Error> {
        let place = Place { key: self.key, depth };
        link.insert(nodes, place, std::mem::take(&mut self.value), self.presence)
    }
}

/// Makes insertions that are in order in the children of a branch at `depth`.
fn divide<N: Nodes>(
    children: &mut [Link; 16],
    nodes: &N,
    depth: usize,
    insertions: &mut [Insertion],
) -> Result<(), N::Error> {
    let is_much = insertions.len() >= PARALLEL_FROM;
    let runs = insertions.chunk_by_mut(|one, other| turn(&one.key, depth) == turn(&other.key, depth));
    let mut left = children.iter_mut().enumerate();
    let runs = runs.map(|run| {
        let nibble = turn(&run[0].key, depth);
        let (_, child) = left.find(|(at, _)| *at == nibble).expect("the insertions are in order");
        (child, run)
    });
    if is_much {
        let runs: Vec<_> = runs.collect();
        runs.into_par_iter().try_for_each(|(child, run)| child.insert_all(nodes, depth + 1, run))
    } else {
        let mut runs = runs;
        runs.try_for_each(|(child, run)| child.insert_all(nodes, depth + 1, run))
    }
}

/// A node in which the way `rest` to `value` and the way to `other` part after `shared` nibbles.
fn fork(rest: &Nibbles, shared: usize, value: Vec<u8>, (other_turn, other): (usize, Link)) -> Node {
    let mut children = Box::new([const { Link::Empty }; 16]);
    children[other_turn] = other;
    children[turn(rest, shared)] = Node::Leaf(rest.slice(shared + 1..), value).into();
    let branch = Node::Branch(children);
    if shared == 0 { branch } else { Node::Extension(rest.slice(..shared), branch.into()) }
}

/// What stands in place of a branch at `path` that has a single child left; `None` if it has more.
fn only_child<N: Nodes>(
    children: &mut [Link; 16],
    pruning: &mut Pruning<'_, N>,
    path: &Nibbles,
) -> Result<Option<Link>, N::Error> {
    let mut left = (0u8..).zip(children).filter(|(_, child)| !matches!(child, Link::Empty));
    let (Some((nibble, child)), None) = (left.next(), left.next()) else { return Ok(None) };
    let place = below(path, nibble);
    child.unseal(pruning.nodes, &place)?;
    // Only where nobody said what it is it may be taken for a branch.
    if let Link::Sealed(hash, Sort::Leaf | Sort::Inner) = *child {
        return Err(TrieError::Missing { hash, path: place }.into());
    }
    if let Link::Open(node, _) = child
        && let Node::Extension(..) = **node
    {
        pruning.gone.push(place);
    }
    Ok(Some(prefixed(Nibbles::from_nibbles([nibble]), std::mem::take(child))))
}

/// What leads along `path` to `child`. One that is not known is taken for a branch.
fn prefixed(path: Nibbles, child: Link) -> Link {
    if path.is_empty() {
        return child;
    }
    match child {
        Link::Empty => Link::Empty,
        Link::Sealed(..) => Node::Extension(path, child).into(),
        Link::Open(node, name) => match *node {
            Node::Leaf(rest, value) => Node::Leaf(path.join(&rest), value).into(),
            Node::Extension(rest, child) => Node::Extension(path.join(&rest), child).into(),
            Node::Branch(_) => Node::Extension(path, Link::Open(node, name)).into(),
        },
    }
}

fn turn(path: &Nibbles, at: usize) -> usize {
    usize::from(path.get(at).expect("a branch stands above the end of every key below it"))
}
