//! Small numbers that cannot be mixed up.

use std::fmt;

/// A transaction's place in its block, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TxIndex(u32);

impl TxIndex {
    /// The index of the `position`-th transaction.
    ///
    /// # Panics
    ///
    /// If it is 2^32 or more: no block has so many.
    pub fn new(position: usize) -> Self {
        Self(u32::try_from(position).expect("a block has fewer than 2^32 transactions"))
    }

    /// The position in a list of the block's transactions.
    pub const fn get(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for TxIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
