//! Hashes the changed nodes of tries level by level, from the leaves up, so that many nodes are hashed at once.
//!
//! Promises that all changed nodes have their reference afterwards, and that each changed branch and each
//! changed extension is reported once.

use alloy_trie::{Nibbles, nodes::RlpNode};

use crate::{
    keccak::{Messages, keccak256_all},
    trie::{
        node::{Node, NodeLink},
        node_record::MASK_BYTES,
    },
};

/// The number of nodes that are encoded and hashed at once: enough for every lane, few enough for the cache.
const AT_ONCE: usize = 128;

/// A reference is a hash if the encoding has at least this length.
const HASH_BYTES: usize = 32;

/// A changed node, outside of its trie until it has its reference.
struct DirtyNode {
    node: Node,
    path: Nibbles,
    /// The position of the link above it among the given links.
    root: usize,
    /// The position of its parent in the level above.
    parent: usize,
    /// The nibble of this child in its parent.
    nibble: u8,
}

/// Hashes all changed nodes at and below `links`, which have these paths. `report` gets each changed branch and
/// extension: the position of its link, its path, and its record.
pub(super) fn hash_all(
    links: &mut [(Nibbles, &mut NodeLink)],
    mut report: impl FnMut(usize, &Nibbles, &[u8]),
) {
    let mut levels = Vec::new();
    for (root, (path, link)) in links.iter_mut().enumerate() {
        if let Some(node) = link.take_dirty() {
            take_out(&mut levels, 0, DirtyNode { node, path: *path, root, parent: root, nibble: 0 });
        }
    }
    let mut records = Messages::default();
    while let Some(level) = levels.pop() {
        let mut references = Vec::with_capacity(level.len());
        for nodes in level.chunks(AT_ONCE) {
            records.clear();
            nodes.iter().for_each(|DirtyNode { node, .. }| records.add(|bytes| node.write_record(bytes)));
            add_references(&records, &mut references);
            for (node, record) in nodes.iter().zip(records.iter()) {
                if !matches!(node.node, Node::Leaf(_)) {
                    report(node.root, &node.path, record);
                }
            }
        }
        for (DirtyNode { node, parent, nibble, .. }, reference) in level.into_iter().zip(references) {
            let link = match levels.last_mut() {
                Some(above) => above[parent].node.child_mut(nibble),
                None => &mut *links[parent].1,
            };
            *link = NodeLink::Revealed(node, Some(reference));
        }
    }
}

/// Takes all changed descendants out of a node, and adds them and the node to their levels.
fn take_out(levels: &mut Vec<Vec<DirtyNode>>, depth: usize, mut dirty: DirtyNode) {
    if levels.len() == depth {
        levels.push(Vec::new());
    }
    let parent = levels[depth].len();
    let DirtyNode { node, path, root, .. } = &mut dirty;
    let root = *root;
    node.take_dirty_children(path, &mut |nibble, path, node| {
        take_out(levels, depth + 1, DirtyNode { node, path, root, parent, nibble });
    });
    levels[depth].push(dirty);
}

/// Adds the references of the nodes with these records.
fn add_references(records: &Messages, references: &mut Vec<RlpNode>) {
    let encodings = records.iter().map(|record| &record[MASK_BYTES..]);
    let long: Vec<_> = encodings.clone().filter(|encoding| encoding.len() >= HASH_BYTES).collect();
    let mut hashes = keccak256_all(&long).into_iter();
    references.extend(encodings.map(|encoding| match encoding.len() {
        HASH_BYTES.. => RlpNode::word_rlp(&hashes.next().expect("every long encoding has its hash")),
        _ => RlpNode::from_raw(encoding).expect("it is shorter than a hash"),
    }));
}
