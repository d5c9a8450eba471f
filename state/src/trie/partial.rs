//! A trie that is known in part: it looks at the nodes that it is led to, and at no others.
//!
//! Owns what it looked at and what changed. Promises that its root is the root of the whole trie
//! after the same insertions and removals, or that it says which node it lacks.
//! Never recurses deeper than a key is long.

use alloy_primitives::{B256, keccak256};
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles, nodes::RlpNode};

use super::{
    TrieError,
    node::{Link, Node, NodeIndex},
};

/// A key and what is to stand under it; `None` removes the key.
pub(crate) type Update = (B256, Option<Vec<u8>>);

/// A trie over hashed keys, of which the nodes come from an index as they are needed.
///
/// An insertion or a removal that fails leaves it half done: the trie is of no more use then.
#[derive(Debug)]
pub(crate) struct PartialTrie<'a> {
    nodes: &'a NodeIndex,
    root: Link,
}

impl<'a> PartialTrie<'a> {
    /// The trie with this root. Looks at nothing yet.
    pub(crate) fn new(nodes: &'a NodeIndex, root: B256) -> Self {
        let root = if root == EMPTY_ROOT_HASH { Link::Empty } else { Link::Sealed(root) };
        Self { nodes, root }
    }

    /// What stands under `key`.
    ///
    /// # Errors
    ///
    /// If a node on the way is missing or malformed.
    pub(crate) fn get(&mut self, key: B256) -> Result<Option<&[u8]>, TrieError> {
        self.root.get(self.nodes, Place::root(key))
    }

    /// Makes every update: first what is inserted, then what is removed.
    ///
    /// A branch that loses a child and gains another never collapses in this order, so that no
    /// node is asked for that the outcome does not depend on.
    ///
    /// # Errors
    ///
    /// If a node that the new root depends on is missing or malformed.
    pub(crate) fn update(&mut self, updates: Vec<Update>) -> Result<(), TrieError> {
        let mut removed = Vec::new();
        for (key, value) in updates {
            match value {
                Some(value) => self.insert(key, value)?,
                None => removed.push(key),
            }
        }
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
    pub(crate) fn insert(&mut self, key: B256, value: Vec<u8>) -> Result<(), TrieError> {
        assert!(!value.is_empty(), "an empty value stands for none");
        self.root.insert(self.nodes, Place::root(key), value)
    }

    /// Takes `key` out, if it is there.
    ///
    /// Where a branch is left with a single child whose node is missing, that child is taken for a
    /// branch: a witness holds it if it is a leaf or an extension.
    ///
    /// # Errors
    ///
    /// If a node on the way is missing, or if one that is needed is malformed.
    pub(crate) fn remove(&mut self, key: B256) -> Result<(), TrieError> {
        self.root.remove(self.nodes, Place::root(key)).map(drop)
    }

    /// The root as it is now. Only what changed since the last time is hashed.
    pub(crate) fn root(&mut self) -> B256 {
        let name = self.root.name(&mut Vec::new());
        name.as_hash().unwrap_or_else(|| keccak256(name))
    }
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

impl Link {
    /// The node with its name, to be looked at or changed; `None` where nothing stands.
    fn open(
        &mut self,
        nodes: &NodeIndex,
        place: Place,
    ) -> Result<Option<(&mut Node, &mut Option<RlpNode>)>, TrieError> {
        self.unseal(nodes, &place.path())?;
        match self {
            Self::Empty => Ok(None),
            Self::Sealed(hash) => Err(TrieError::Missing { hash: *hash, path: place.path() }),
            Self::Open(node, name) => Ok(Some((node, name))),
        }
    }

    fn get(&mut self, nodes: &NodeIndex, place: Place) -> Result<Option<&[u8]>, TrieError> {
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

    fn insert(&mut self, nodes: &NodeIndex, place: Place, value: Vec<u8>) -> Result<(), TrieError> {
        let rest = place.rest();
        let Some((node, name)) = self.open(nodes, place)? else {
            *self = Node::Leaf(rest, value).into();
            return Ok(());
        };
        *name = None;
        match node {
            Node::Branch(children) => children[place.turn()].insert(nodes, place.below(1), value),
            Node::Extension(path, child) if rest.starts_with(path) => {
                child.insert(nodes, place.below(path.len()), value)
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

    fn remove(&mut self, nodes: &NodeIndex, place: Place) -> Result<Removal, TrieError> {
        let rest = place.rest();
        let Some((node, name)) = self.open(nodes, place)? else { return Ok(Removal::Absent) };
        let (removal, only) = match node {
            Node::Leaf(path, _) if *path == rest => (Removal::Done, Some(Self::Empty)),
            Node::Extension(path, child) if rest.starts_with(path) => {
                let removal = child.remove(nodes, place.below(path.len()))?;
                (removal, (removal == Removal::Done).then(|| prefixed(*path, std::mem::take(child))))
            }
            Node::Branch(children) => {
                let removal = children[place.turn()].remove(nodes, place.below(1))?;
                (removal, only_child(children, nodes, &place.path())?)
            }
            Node::Leaf(..) | Node::Extension(..) => (Removal::Absent, None),
        };
        if removal == Removal::Done {
            *name = None;
        }
        if let Some(only) = only {
            *self = only;
        }
        Ok(removal)
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
fn only_child(
    children: &mut [Link; 16],
    nodes: &NodeIndex,
    path: &Nibbles,
) -> Result<Option<Link>, TrieError> {
    let mut left = (0u8..).zip(children).filter(|(_, child)| !matches!(child, Link::Empty));
    let (Some((nibble, child)), None) = (left.next(), left.next()) else { return Ok(None) };
    let turn = Nibbles::from_nibbles([nibble]);
    child.unseal(nodes, &path.join(&turn))?;
    Ok(Some(prefixed(turn, std::mem::take(child))))
}

/// What leads along `path` to `child`. One that is not known is taken for a branch.
fn prefixed(path: Nibbles, child: Link) -> Link {
    if path.is_empty() {
        return child;
    }
    match child {
        Link::Empty => Link::Empty,
        Link::Sealed(_) => Node::Extension(path, child).into(),
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
