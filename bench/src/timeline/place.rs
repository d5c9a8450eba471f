//! Where a step lies: its block, and its transaction.

use blockloom_engine::Trace;
use blockloom_state::TxIndex;

/// The place of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The number of the block.
    pub block: u64,
    /// The position of the transaction in the block; `None` for the block as a whole or its end.
    pub position: Option<usize>,
}

impl Place {
    /// A block as a whole.
    pub const fn block(block: u64) -> Self {
        Self { block, position: None }
    }

    /// The place of an index of a trace.
    pub(super) fn of(trace: &Trace, index: TxIndex) -> Option<Self> {
        let after = trace.blocks.partition_point(|block| block.first <= index);
        let block = trace.blocks.get(after.checked_sub(1)?)?;
        let position = index.get() - block.first.get();
        Some(Self { block: block.number, position: (position < block.transactions).then_some(position) })
    }
}
