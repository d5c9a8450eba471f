//! The base: the state before the block.

use std::convert::Infallible;

use alloy_primitives::B256;
use revm_database_interface::{DBErrorMarker, DatabaseRef};

/// The state before a block, read by many threads at once.
///
/// Every implementation of revm's [`DatabaseRef`] that threads can share is a base: an in-memory map,
/// a client's database, a remote node. A base must give the same answer to the same question as long
/// as a block runs on it.
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

/// The error of a store that holds an account but not the code that the account has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no code with hash {0} is stored")]
pub struct MissingCode(pub B256);

impl DBErrorMarker for MissingCode {}

impl From<Infallible> for MissingCode {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}
