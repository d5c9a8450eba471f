//! The stores of the state between blocks: in memory, on disk, and as a witness proves it.
//!
//! May import `model`, `trie`, `keccak`, `root` and `sync`.

#[cfg(feature = "disk")]
pub(crate) mod disk;
pub(crate) mod layered;
pub(crate) mod memory;
pub(crate) mod rooted;
pub(crate) mod witness;
