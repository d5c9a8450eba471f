//! Executes a stream of blocks.

use std::ops::ControlFlow;

use blockloom_state::Base;

use crate::{
    block::{
        block::Block,
        error::BlockError,
        outcome::{Outcome, StreamTotal},
        steps::Steps,
        telemetry::block_executed,
    },
    commit::observer::Observer,
    engine::Engine,
    evm::handling::Handling,
};

impl<H: Handling> Engine<H> {
    /// Executes a stream of consecutive blocks: transactions of a block run while those of the block before it are still
    /// to be committed. The first block is executed on `base`, each other one on the state that the block before
    /// it left. `on_outcome` receives the outcome of each block, in order; what it takes, no block is committed
    /// meanwhile. [`ControlFlow::Break`] cancels the other blocks, and ends the stream with an error also after the
    /// last one.
    ///
    /// The hash of a block is the parent hash of the next one. Access lists that come with the blocks are checked if
    /// they are claimed, and what they name is prefetched, but runs do not read what they predict. Everything that the
    /// blocks read and write stays in memory until the last one is committed.
    ///
    /// Returns the changes and the statistics of all blocks together; the outcomes have no statistics.
    ///
    /// # Errors
    ///
    /// Those of [`execute`](Self::execute), for the first block that has one. The outcomes of the blocks before it were
    /// passed on.
    pub fn execute_blocks<B: Base + ?Sized>(
        &self,
        base: &B,
        blocks: &[Block],
        mut on_outcome: impl FnMut(Outcome) -> ControlFlow<()>,
    ) -> Result<StreamTotal, BlockError> {
        if blocks.is_empty() {
            return Ok(StreamTotal::default());
        }
        let mut on_outcome = |outcome: Outcome| {
            block_executed(&outcome);
            on_outcome(outcome)
        };
        let outcome = self.run(base, &Steps::new(blocks), Observer::Blocks(&mut on_outcome))?;
        let Outcome { changes, statistics, .. } = outcome;
        Ok(StreamTotal { changes, statistics })
    }
}
