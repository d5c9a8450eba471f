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

/// Which run of a transaction; the first is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Incarnation(u32);

impl Incarnation {
    /// The first run.
    pub const FIRST: Self = Self(0);

    /// The run after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.checked_add(1).expect("a transaction is not run 2^32 times"))
    }

    /// How many runs came before it.
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// Who wrote a value: a transaction, and which of its runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version {
    /// The transaction.
    pub index: TxIndex,
    /// Its run.
    pub incarnation: Incarnation,
}

/// When something was written: before the transactions, or by one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AccessIndex(u32);

impl AccessIndex {
    /// Before the first transaction.
    pub const OPENING: Self = Self(0);

    /// The transaction, unless it was before the first.
    pub fn index(self) -> Option<TxIndex> {
        self.0.checked_sub(1).map(TxIndex)
    }

    /// As a plain number that keeps the order, for an atomic.
    pub(crate) const fn get(self) -> u32 {
        self.0
    }

    /// The moment of a number that [`get`](Self::get) gave.
    pub(crate) const fn from_number(number: u32) -> Self {
        Self(number)
    }
}

impl From<TxIndex> for AccessIndex {
    fn from(index: TxIndex) -> Self {
        Self(index.0.checked_add(1).expect("a block has fewer than 2^32 - 1 transactions"))
    }
}
