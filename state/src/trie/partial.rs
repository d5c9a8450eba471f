//! A trie that is known in part: it looks at the nodes that it is led to, and at no others.
//!
//! Owns what it looked at and what changed. Promises that its root is the root of the whole trie
//! after the same insertions and removals, or that it says which node it lacks; and that it tells
//! all nodes that came, and all paths at which a node stood that is gone.
//! Never recurses deeper than a key is long.

use alloy_primitives::{B256, Bytes, keccak256};
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles, nodes::RlpNode};
use rayon::prelude::*;

use super::{
    TrieError,
    node::{Link, Node, Nodes, Sort, below},
    record::record,
};

/// A key and what is to stand under it; `None` removes the key.
pub(crate) type Update = (B256, Option<Vec<u8>>);

/// Below this many insertions, or where so few lead into one branch, other threads do not help: a walk
/// takes about a microsecond, waking a thread several.
const PARALLEL_FROM: usize = 64;

/// A trie over hashed keys, of which the nodes come from wherever they are kept, as they are needed.
///
/// An insertion or a removal that fails leaves it half done: the trie is of no more use then.
#[derive(Debug)]
pub(crate) struct PartialTrie<N> {
    nodes: N,
    root: Link,
    /// The paths at which a branch or an extension stood that is gone, or was replaced.
    gone: Vec<Nibbles>,
}

/// A key that is put into a trie, and what is to stand under it.
#[derive(Debug)]
pub(crate) struct Insertion {
    /// The key.
    pub(crate) key: Nibbles,
    /// What is to stand under it.
    pub(crate) value: Vec<u8>,
    /// Whether something stands there already.
    pub(crate) presence: Presence,
}

/// Whether something stands under a key before it is inserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// It does: so a leaf on the way to the key is the one, and need not be looked at.
    Held,
    /// Nobody knows.
    Unknown,
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

impl<N: Nodes> PartialTrie<N> {
    /// The trie with this root. Looks at nothing yet.
    pub(crate) fn new(nodes: N, root: B256) -> Self {
        let root = if root == EMPTY_ROOT_HASH { Link::Empty } else { Link::Sealed(root, Sort::Any) };
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
        self.root.get(&self.nodes, Place::root(key))
    }

    /// Looks at the branches and extensions on the way to `key`, so that they are at hand.
    ///
    /// # Errors
    ///
    /// If a node on the way is missing or malformed.
    pub(crate) fn look_up(&mut self, key: B256) -> Result<(), N::Error> {
        self.root.look_up(&self.nodes, Place::root(key))
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
                Some(value) => {
                    let key = Nibbles::unpack(key);
                    inserted.push(Insertion { key, value, presence: Presence::Unknown });
                }
                None => removed.push(key),
            }
        }
        self.insert_all(inserted)?;
        removed.into_iter().try_for_each(|key| self.remove(key))
    }

    /// Puts `value` under `key`, in place of what stood there.
    ///
    /// # Errors
    ///
    /// If a node on the way is missing or malformed.
    ///
    /// # Panics
    ///
    /// If `value` is empty: a trie cannot hold that.
    pub(crate) fn insert(&mut self, key: B256, value: Vec<u8>, presence: Presence) -> Result<(), N::Error> {
        assert!(!value.is_empty(), "an empty value stands for none");
        self.root.insert(&self.nodes, Place::root(key), value, presence)
    }

    /// Puts many values under their keys, those of different branches on several threads.
    ///
    /// # Errors
    ///
    /// If a node on the way is missing or malformed.
    ///
    /// # Panics
    ///
    /// If a value is empty, or a key is there twice.
    pub(crate) fn insert_all(&mut self, mut insertions: Vec<Insertion>) -> Result<(), N::Error> {
        insertions.sort_unstable_by_key(|insertion| insertion.key);
        let twice = insertions.windows(2).any(|pair| pair[0].key == pair[1].key);
        assert!(!twice, "of two values for one key only one can be meant");
        assert!(
            insertions.iter().all(|insertion| !insertion.value.is_empty()),
            "an empty value stands for none"
        );
        self.root.insert_all(&self.nodes, 0, &mut insertions)
    }

    /// Takes `key` out, if it is there.
    ///
    /// Where a branch is left with a single child whose node is missing, that child is taken for a
    /// branch: a witness holds it if it is a leaf or an extension.
    ///
    /// # Errors
    ///
    /// If a node on the way is missing, or if one that is needed is malformed.
    pub(crate) fn remove(&mut self, key: B256) -> Result<(), N::Error> {
        let Self { nodes, root, gone } = self;
        root.remove(&mut Pruning { nodes, gone }, Place::root(key)).map(drop)
    }

    /// The root as it is now. Only what changed since the last time is hashed.
    pub(crate) fn root(&mut self) -> B256 {
        self.name(&mut |_, _| ())
    }

    /// The nodes on the way to `key`, as far as there is one: the proof of what stands there.
    ///
    /// # Errors
    ///
    /// If a node on the way is missing or malformed.
    pub(crate) fn prove(&mut self, key: B256) -> Result<Vec<Bytes>, N::Error> {
        self.root();
        let mut proof = Vec::new();
        self.root.prove(&self.nodes, Place::root(key), &mut proof)?;
        Ok(proof)
    }

    /// Looks at every branch and extension, checks that each is what its hash vouches for, and counts them.
    ///
    /// # Errors
    ///
    /// If one is not, is missing or malformed.
    pub(crate) fn check_kept(&mut self) -> Result<u64, N::Error> {
        self.root.check_kept(&self.nodes, &Nibbles::new())
    }

    /// The root as it is now, and what became of the nodes since the last time. What stands in different
    /// branches is hashed on several threads.
    pub(crate) fn take_changes(&mut self) -> NodeChanges {
        let mut written = match &mut self.root {
            Link::Open(node, None) => name_branches(node),
            Link::Empty | Link::Sealed(..) | Link::Open(_, Some(_)) => Vec::new(),
        };
        let root = self.name(&mut |path, node| written.extend(record(node).map(|record| (*path, record))));
        NodeChanges { root, gone: std::mem::take(&mut self.gone), written }
    }

    fn name(&mut self, told: &mut dyn FnMut(&Nibbles, &Node)) -> B256 {
        self.root.name(&Nibbles::new(), &mut Vec::new(), told);
        self.root.root()
    }
}

/// Names the children of the branch at the root, if it is one and several of them changed, each on
/// whatever thread has time.
fn name_branches(root: &mut Node) -> Vec<(Nibbles, Vec<u8>)> {
    let Node::Branch(children) = root else { return Vec::new() };
    let name = |(nibble, child): (u8, &mut Link)| {
        let mut written = Vec::new();
        let told = &mut |path: &Nibbles, node: &Node| {
            written.extend(record(node).map(|record| (*path, record)));
        };
        child.name(&below(&Nibbles::new(), nibble), &mut Vec::new(), told);
        written
    };
    let changed: Vec<_> = (0u8..).zip(children.iter_mut()).filter(|(_, child)| child.is_unnamed()).collect();
    if changed.len() < 2 {
        return Vec::new();
    }
    changed.into_par_iter().map(name).collect::<Vec<_>>().concat()
}

/// How far one came on the way to a key.
#[derive(Clone, Copy)]
struct Place {
    key: Nibbles,
    depth: usize,
}

impl Place {
    fn root(key: B256) -> Self {
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
enum Removal {
    Done,
    Absent,
}

/// What a removal needs: where nodes come from, and the paths at which one is gone.
struct Pruning<'p, N> {
    nodes: &'p N,
    gone: &'p mut Vec<Nibbles>,
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

    fn get<N: Nodes>(&mut self, nodes: &N, place: Place) -> Result<Option<&[u8]>, N::Error> {
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
    fn check_kept<N: Nodes>(&mut self, nodes: &N, path: &Nibbles) -> Result<u64, N::Error> {
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

    fn look_up<N: Nodes>(&mut self, nodes: &N, place: Place) -> Result<(), N::Error> {
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
    fn prove<N: Nodes>(&mut self, nodes: &N, place: Place, proof: &mut Vec<Bytes>) -> Result<(), N::Error> {
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

    fn insert<N: Nodes>(
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
    fn insert_all<N: Nodes>(
        &mut self,
        nodes: &N,
        depth: usize,
        insertions: &mut [Insertion],
    ) -> Result<(), N::Error> {
        let [first, .., last] = insertions else {
            return insertions.iter_mut().try_for_each(|only| only.insert_into(self, nodes, depth));
        };
        let place = Place { key: first.key, depth };
        let ahead = last.key.slice(depth..);
        match self.open(nodes, place)? {
            Some((Node::Branch(children), name)) => {
                *name = None;
                divide(children, nodes, depth, insertions)
            }
            Some((Node::Extension(path, child), name))
                if place.rest().starts_with(path) && ahead.starts_with(path) =>
            {
                *name = None;
                child.insert_all(nodes, depth + path.len(), insertions)
            }
            // A branch comes out of the first ones.
            None | Some(_) => {
                first.insert_into(self, nodes, depth)?;
                self.insert_all(nodes, depth, &mut insertions[1..])
            }
        }
    }

    fn remove<N: Nodes>(&mut self, pruning: &mut Pruning<'_, N>, place: Place) -> Result<Removal, N::Error> {
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
