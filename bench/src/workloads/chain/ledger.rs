//! The state under a generated chain: what its blocks are executed on, and the root after each of them.
//!
//! The one seam between a chain and its store: a store that keeps its trie, and computes a root from what
//! changed, stands here with two methods. The contracts of generated chains never ask for a block's hash.

use std::error::Error;

use alloy_primitives::B256;
use blockloom_state::{Base, Changes, MemoryStore, Mismatch};

/// A state that blocks are executed on and then change.
pub trait Ledger {
    /// What blocks are executed on.
    type Base: Base;
    /// Why changes were not taken.
    type Error: Error + 'static;

    /// The state after the last changes.
    fn base(&self) -> &Self::Base;

    /// Applies what a block did, and computes the root of the state after it.
    ///
    /// # Errors
    ///
    /// If the changes do not fit, or cannot be kept.
    fn apply(&mut self, changes: &Changes) -> Result<B256, Self::Error>;
}

/// Computes every root from the whole state: the time for that grows with the number of accounts.
impl Ledger for MemoryStore {
    type Base = Self;
    type Error = Box<Mismatch>;

    fn base(&self) -> &Self {
        self
    }

    fn apply(&mut self, changes: &Changes) -> Result<B256, Box<Mismatch>> {
        Self::apply(self, changes)?;
        Ok(self.root())
    }
}
