//! The stores of the state between blocks: in memory, and on disk.
//!
//! May import `model`, `trie`, `keccak`, `root` and `sync`.

#[cfg(feature = "disk")]
pub(crate) mod disk;
pub(crate) mod layered;
pub(crate) mod memory;
