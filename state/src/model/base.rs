//! The state before the block.

use revm_database_interface::DatabaseRef;

/// The state before a block, read by many threads at once.
///
/// Whatever implements revm's [`DatabaseRef`] and can be shared between threads is a base: an
/// in-memory map, a client's database, a remote node. It must answer the same for the same
/// question as long as a block runs on it.
///
/// ```
/// use blockloom_state::{Base, MemoryStore};
///
/// fn needs_a_base(_: &impl Base) {}
/// needs_a_base(&MemoryStore::new());
/// needs_a_base(&revm_database_interface::EmptyDB::default());
/// ```
pub trait Base: DatabaseRef + Sync {}

impl<B: DatabaseRef + Sync + ?Sized> Base for B {}
