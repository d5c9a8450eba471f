//! Properties of the tries, and the full trie that they are compared with.

pub(crate) mod full;
mod properties;
mod rooted;
mod stored;
