//! Where the state between blocks is kept: in memory, or on disk.
//!
//! May import `model`, `trie`, `keccak` and `root`.

pub(crate) mod disk;
pub(crate) mod memory;
