//! The state under a generated chain: what its blocks are executed on, and the root after each of them.
//!
//! The one seam between a chain and its store. The contracts of generated chains never ask for a block's hash.

use std::error::Error;

use alloy_primitives::{B256, Bytes};
use blockloom_state::{Base, Changes, DiskError, DiskStore, MemoryStore, Mismatch, NewBlock};

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

/// Computes every root from what changed.
impl Ledger for DiskStore {
    type Base = Self;
    type Error = DiskError;

    fn base(&self) -> &Self {
        self
    }

    fn apply(&mut self, changes: &Changes) -> Result<B256, DiskError> {
        let staged = self.stage(changes)?;
        let (root, number) = (staged.root(), self.head().number + 1);
        // Any name will do for a block whose hash nobody asks for.
        self.commit(staged, NewBlock { number, hash: root, note: Bytes::new() })?;
        Ok(root)
    }
}
