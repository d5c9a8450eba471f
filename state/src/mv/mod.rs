//! The multi-version memory: what the transactions of a window read and write before they are final.
//!
//! May import `model`, `record`, `bal` and `sync`.

pub(crate) mod cached_base;
pub(crate) mod coinbases;
pub(crate) mod latency;
pub(crate) mod memory;
pub(crate) mod publish;
pub(crate) mod shards;
pub(crate) mod table;
pub(crate) mod versions;
