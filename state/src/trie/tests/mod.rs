//! Properties of the tries, and a full trie that they are compared with.

pub(crate) mod full;
mod stored;
mod properties;

pub(super) use full::FullTrie;
