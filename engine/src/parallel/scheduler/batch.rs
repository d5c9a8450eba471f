//! Batches: consecutive transactions that are handed out together.
//!
//! Handing out takes about as long as a payment does, and moves cache lines between cores. So small transactions are
//! handed out together.

use std::ops::Range;

use blockloom_state::{Incarnation, TxIndex, Version};

use crate::policy::batching::Batch;

/// The number of a batch in its block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BatchIndex(usize);

/// One attempt at a batch, by a worker or at the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    /// The batch.
    pub(crate) batch: BatchIndex,
    /// The incarnation of its runs.
    pub(crate) incarnation: Incarnation,
}

/// Where the batches of a block lie.
#[derive(Debug)]
pub(crate) struct Batches {
    /// For each batch the index of its first transaction; then the number of transactions.
    starts: Vec<u32>,
    /// For each transaction its batch.
    batch_of: Vec<u32>,
}

impl BatchIndex {
    pub(super) const fn new(number: usize) -> Self {
        Self(number)
    }

    pub(super) const fn get(self) -> usize {
        self.0
    }
}

impl Attempt {
    /// Whether it is the first attempt at its batch.
    pub(crate) fn is_first(self) -> bool {
        self.incarnation == Incarnation::FIRST
    }

    /// The run of one of its transactions.
    pub(crate) fn version(self, index: TxIndex) -> Version {
        Version { index, incarnation: self.incarnation }
    }
}

impl Batches {
    /// Consecutive batches. Transactions before the `first` one are in none.
    pub(super) fn new(first: TxIndex, batches: &[Batch]) -> Self {
        let (mut starts, mut batch_of) = (vec![first.get() as u32], vec![0; first.get()]);
        for (number, batch) in batches.iter().enumerate() {
            batch_of.resize(batch_of.len() + batch.transactions, number as u32);
            starts.push(u32::try_from(batch_of.len()).expect("a block has fewer than 2^32 transactions"));
        }
        Self { starts, batch_of }
    }

    /// The batch of a transaction.
    pub(super) fn batch_of(&self, index: TxIndex) -> BatchIndex {
        BatchIndex(self.batch_of[index.get()] as usize)
    }

    /// How many transactions there are, with those before the first batch.
    pub(crate) fn transactions(&self) -> usize {
        self.batch_of.len()
    }

    /// The transactions of a range of batches.
    pub(super) fn transactions_of_range(&self, batches: &Range<usize>) -> Range<usize> {
        self.starts[batches.start] as usize..self.starts[batches.end] as usize
    }

    /// The transactions of a batch, in order.
    pub(crate) fn transactions_of(&self, batch: BatchIndex) -> impl Iterator<Item = TxIndex> + use<> {
        let [start, end] = [batch.0, batch.0 + 1].map(|number| self.starts[number] as usize);
        (start..end).map(TxIndex::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::batching::Effort;

    #[test]
    fn every_transaction_is_in_one_batch() {
        let lengths = [2, 1, 3];
        let batches = Batches::new(
            TxIndex::new(0),
            &lengths.map(|transactions| Batch { transactions, effort: Effort::Heavy }),
        );
        assert_eq!(batches.transactions(), 6);
        let of = |number| batches.transactions_of(BatchIndex(number)).map(TxIndex::get).collect::<Vec<_>>();
        assert_eq!([of(0), of(1), of(2)], [vec![0, 1], vec![2], vec![3, 4, 5]]);
        for number in 0..lengths.len() {
            let batch = BatchIndex(number);
            assert!(batches.transactions_of(batch).all(|index| batches.batch_of(index) == batch));
        }
    }
}
