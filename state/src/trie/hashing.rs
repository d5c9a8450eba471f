//! Naming what changed in tries: level by level from the leaves up, so that many nodes are hashed at once.
//!
//! Promises that all that changed has its name afterwards, and that each branch and each extension that
//! changed is told of once.

use alloy_trie::{Nibbles, nodes::RlpNode};

use crate::{
    keccak::{Messages, keccak256_all},
    trie::{
        node::{Link, Node},
        node_record::MASK_BYTES,
    },
};

/// How many nodes are encoded and hashed at once: enough for every lane, few enough to stay near.
const AT_ONCE: usize = 128;

/// A name is a hash where the encoding is as long as one or longer.
const HASH_BYTES: usize = 32;

/// A node that changed, outside of its trie until it has its name.
struct DirtyNode {
    node: Node,
    path: Nibbles,
    /// Below which of the links it stands that were given.
    root: usize,
    /// Which node of the level above has it as a child.
    parent: usize,
    /// Which child it is.
    turn: u8,
}

/// Names all that changed at and below `links`, each with its path. `told` is told of each branch and each
/// extension: below which of the links it stands, its path, and its record.
pub(super) fn hash_all(links: &mut [(Nibbles, &mut Link)], mut told: impl FnMut(usize, &Nibbles, &[u8])) {
    let mut levels = Vec::new();
    for (root, (path, link)) in links.iter_mut().enumerate() {
        if let Some(node) = link.take_dirty() {
            take_out(&mut levels, 0, DirtyNode { node, path: *path, root, parent: root, turn: 0 });
        }
    }
    let mut records = Messages::default();
    while let Some(level) = levels.pop() {
        let mut names = Vec::with_capacity(level.len());
        for nodes in level.chunks(AT_ONCE) {
            records.clear();
            nodes.iter().for_each(|DirtyNode { node, .. }| records.add(|bytes| node.write_record(bytes)));
            add_references(&records, &mut names);
            for (node, record) in nodes.iter().zip(records.iter()) {
                if !matches!(node.node, Node::Leaf(_)) {
                    told(node.root, &node.path, record);
                }
            }
        }
        for (DirtyNode { node, parent, turn, .. }, name) in level.into_iter().zip(names) {
            let link = match levels.last_mut() {
                Some(above) => above[parent].node.child_mut(turn),
                None => &mut *links[parent].1,
            };
            *link = Link::Revealed(node, Some(name));
        }
    }
}

/// Takes all that changed below a node out of it.
fn take_out(levels: &mut Vec<Vec<DirtyNode>>, depth: usize, mut unnamed: DirtyNode) {
    if levels.len() == depth {
        levels.push(Vec::new());
    }
    let parent = levels[depth].len();
    let DirtyNode { node, path, root, .. } = &mut unnamed;
    let root = *root;
    node.take_dirty_children(path, &mut |turn, path, node| {
        take_out(levels, depth + 1, DirtyNode { node, path, root, parent, turn });
    });
    levels[depth].push(unnamed);
}

/// Adds the names of nodes, which have these records.
fn add_references(records: &Messages, names: &mut Vec<RlpNode>) {
    let encodings = records.iter().map(|record| &record[MASK_BYTES..]);
    let long: Vec<_> = encodings.clone().filter(|encoding| encoding.len() >= HASH_BYTES).collect();
    let mut hashes = keccak256_all(&long).into_iter();
    names.extend(encodings.map(|encoding| match encoding.len() {
        HASH_BYTES.. => RlpNode::word_rlp(&hashes.next().expect("every long encoding has its hash")),
        _ => RlpNode::from_raw(encoding).expect("it is shorter than a hash"),
    }));
}
