//! Stretches: consecutive transactions that are handed out as one.
//!
//! Handing something out takes about as long as a payment does, and moves cache lines between cores.
//! So transactions that take little go together.

use blockloom_state::{Incarnation, TxIndex, Version};

use crate::policy::batching::Cut;

/// The number of a stretch in its block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stretch(usize);

/// One go at a stretch, by a worker or at the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    /// Whose turn it is.
    pub(crate) stretch: Stretch,
    /// What its runs are called.
    pub(crate) incarnation: Incarnation,
}

/// Where the stretches of a block lie.
#[derive(Debug)]
pub(crate) struct Stretches {
    /// For each stretch the index of its first transaction, and at last the number of transactions.
    starts: Vec<u32>,
    /// For each transaction its stretch.
    of: Vec<u32>,
}

impl Stretch {
    pub(super) const fn new(number: usize) -> Self {
        Self(number)
    }

    pub(super) const fn get(self) -> usize {
        self.0
    }
}

impl Turn {
    /// Whether nobody had a turn at the stretch before.
    pub(crate) fn is_first(self) -> bool {
        self.incarnation == Incarnation::FIRST
    }

    /// The run of one of its transactions.
    pub(crate) fn version(self, index: TxIndex) -> Version {
        Version { index, incarnation: self.incarnation }
    }
}

impl Stretches {
    /// The stretches of a block that is cut so.
    pub(super) fn new(cuts: &[Cut]) -> Self {
        let (mut starts, mut of) = (vec![0], Vec::new());
        for (number, cut) in cuts.iter().enumerate() {
            of.resize(of.len() + cut.transactions, number as u32);
            starts.push(u32::try_from(of.len()).expect("a block has fewer than 2^32 transactions"));
        }
        Self { starts, of }
    }

    /// The stretch that a transaction is in.
    pub(super) fn of(&self, index: TxIndex) -> Stretch {
        Stretch(self.of[index.get()] as usize)
    }

    /// How many transactions there are.
    pub(crate) fn transactions(&self) -> usize {
        self.of.len()
    }

    /// The transactions of a stretch, in order.
    pub(crate) fn within(&self, stretch: Stretch) -> impl Iterator<Item = TxIndex> + use<> {
        let [start, end] = [stretch.0, stretch.0 + 1].map(|place| self.starts[place] as usize);
        (start..end).map(TxIndex::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::batching::Effort;

    #[test]
    fn every_transaction_is_in_one_stretch() {
        let lengths = [2, 1, 3];
        let cut = |transactions| Cut { transactions, effort: Effort::Heavy };
        let stretches = Stretches::new(&lengths.map(cut));
        assert_eq!(stretches.transactions(), 6);
        let within = |number| stretches.within(Stretch(number)).map(TxIndex::get).collect::<Vec<_>>();
        assert_eq!([within(0), within(1), within(2)], [vec![0, 1], vec![2], vec![3, 4, 5]]);
        for number in 0..lengths.len() {
            assert!(stretches.within(Stretch(number)).all(|index| stretches.of(index) == Stretch(number)));
        }
    }
}
