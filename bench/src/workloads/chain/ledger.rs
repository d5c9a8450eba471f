//! The state of a generated chain: the base of the next block, and the root after each block.
//!
//! The interface between a chain and its store.

use std::error::Error;

use alloy_primitives::{B256, Bytes};
use blockloom_state::{Base, Changes, DiskError, DiskStore, MemoryStore, Mismatch, NewBlock};

/// A state that blocks are executed on and that then takes their changes.
pub trait Ledger {
    /// The base that blocks are executed on.
    type Base: Base;
    /// Why changes could not be applied.
    type Error: Error + 'static;

    /// The state after the last changes.
    fn base(&self) -> &Self::Base;

    /// Applies the changes of a block, and returns the new state root.
    ///
    /// # Errors
    ///
    /// If the changes do not match the state, or cannot be stored.
    fn apply(&mut self, changes: &Changes) -> Result<B256, Self::Error>;
}

/// Computes each root from the whole state, in time proportional to its size.
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

/// Computes each root from the changes.
impl Ledger for DiskStore {
    type Base = Self;
    type Error = DiskError;

    fn base(&self) -> &Self {
        self
    }

    fn apply(&mut self, changes: &Changes) -> Result<B256, DiskError> {
        let staged = self.stage(changes)?;
        let (root, number) = (staged.root(), self.head().number + 1);
        // Generated contracts never read a block hash, so any hash is valid here.
        self.commit(staged, NewBlock { number, hash: root, note: Bytes::new(), encoded: Bytes::new() })?;
        Ok(root)
    }
}
