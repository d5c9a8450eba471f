//! What the state of a chain consists of: accounts, the base that a block starts from, changes, and index spaces.
//!
//! Imports nothing of the other folders.

pub(crate) mod accesses;
pub(crate) mod account;
pub(crate) mod allocation;
pub(crate) mod base;
mod bundle;
pub(crate) mod changes;
pub(crate) mod index;
pub(crate) mod mismatch;
