//! The steps of consecutive blocks, as one list.
//!
//! The indices run through: the transactions of a block, then the border to the next block, at which the block is
//! closed and the next one is opened. The opening of the first block and the closing of the last one have no index.

use std::ops::Range;

use blockloom_state::TxIndex;

use crate::block::block::{Block, Transaction};

/// The steps of blocks that share a window, each on the state that the one before it leaves. There is at least one.
#[derive(Debug)]
pub(crate) struct Steps<'b> {
    blocks: &'b [Block],
    /// For each block the index of its first transaction.
    starts: Vec<usize>,
}

/// Where an index lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The position of the block among the blocks.
    pub(crate) block: usize,
    /// The position of the transaction in the block; for a border their number.
    pub(crate) position: usize,
}

impl<'b> Steps<'b> {
    /// The steps of these blocks.
    pub(crate) fn new(blocks: &'b [Block]) -> Self {
        assert!(!blocks.is_empty(), "there is a block");
        let mut next = 0;
        let start = |block: &Block| {
            let start = next;
            next += block.transactions.len() + 1;
            start
        };
        Self { blocks, starts: blocks.iter().map(start).collect() }
    }

    /// The blocks.
    pub(crate) fn blocks(&self) -> &'b [Block] {
        self.blocks
    }

    /// The number of steps that have an index.
    pub(crate) fn len(&self) -> usize {
        let last = self.blocks.len() - 1;
        self.starts[last] + self.blocks[last].transactions.len()
    }

    /// Where an index lies.
    pub(crate) fn place(&self, index: TxIndex) -> Place {
        let block = self.starts.partition_point(|start| *start <= index.get()) - 1;
        Place { block, position: index.get() - self.starts[block] }
    }

    /// The indices of a block's transactions.
    pub(crate) fn range(&self, block: usize) -> Range<usize> {
        let start = self.starts[block];
        start..start + self.blocks[block].transactions.len()
    }

    /// The transactions at these indices, which lie in one block; none if there is its border.
    pub(crate) fn transactions(&self, indices: Range<usize>) -> &'b [Transaction] {
        let Place { block, position } = self.place(TxIndex::new(indices.start));
        let transactions = &self.blocks[block].transactions;
        transactions.get(position..position + indices.len()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use alloy_consensus::Header;
    use alloy_hardforks::EthereumHardfork;
    use revm::context::TxEnv;

    use super::*;
    use crate::block::rules::Rules;

    /// A block with this number of transactions.
    fn block(transactions: usize) -> Block {
        let transaction = Transaction { hash: Default::default(), env: TxEnv::default() };
        let empty = Block::without_body(Rules::mainnet(EthereumHardfork::London), &Header::default());
        Block { transactions: vec![transaction; transactions], ..empty }
    }

    #[test]
    fn indices_run_through_transactions_and_borders() {
        let blocks = [2, 0, 1].map(block);
        let steps = Steps::new(&blocks);
        let places: Vec<_> = (0..steps.len()).map(|index| steps.place(TxIndex::new(index))).collect();
        let expected = [(0, 0), (0, 1), (0, 2), (1, 0), (2, 0)];
        assert_eq!(places, expected.map(|(block, position)| Place { block, position }));
        assert_eq!([0, 1, 2].map(|block| steps.range(block)), [0..2, 3..3, 4..5]);
        assert_eq!(steps.transactions(0..2).len(), 2);
        assert_eq!(steps.transactions(2..3).len(), 0, "a border has no transaction");
    }

    #[test]
    fn one_block_has_no_border() {
        let blocks = [block(3)];
        assert_eq!(Steps::new(&blocks).len(), 3);
        let blocks = [block(0)];
        assert_eq!(Steps::new(&blocks).len(), 0);
    }
}
