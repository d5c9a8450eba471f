//! The front door: configuration, and executing a block.

use blockloom_state::Base;

use crate::{
    Block, BlockError, Outcome,
    sequential::{self, Observer, Step},
};

/// Executes blocks.
///
/// ```
/// use alloy_consensus::Header;
/// use alloy_hardforks::EthereumHardfork;
/// use blockloom_engine::{Block, Engine, Rules};
/// use blockloom_state::MemoryStore;
///
/// let base = MemoryStore::new();
/// let block = Block::without_body(Rules::mainnet(EthereumHardfork::Shanghai), &Header::default());
/// let outcome = Engine::new().execute(&base, &block)?;
/// assert!(outcome.changes.is_empty());
/// # Ok::<(), blockloom_engine::BlockError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Engine {}

impl Engine {
    /// An engine that executes transactions one after the other.
    pub fn new() -> Self {
        Self::default()
    }

    /// Executes a block on `base`, the state before it. The base is not changed: the outcome says
    /// what the block does to it.
    ///
    /// What the block's header claims is not looked at: see
    /// [`check_outcome`](crate::check_outcome).
    ///
    /// # Errors
    ///
    /// If consensus forbids the block, or the base cannot be read.
    pub fn execute<B: Base>(&self, base: &B, block: &Block) -> Result<Outcome, BlockError> {
        sequential::execute(base, block, Observer::Nobody)
    }

    /// Executes a block like [`execute`](Self::execute) and tells `on_commit` of each step as soon
    /// as it is committed: what happens before the transactions, each transaction in order, what
    /// happens after them. The changes of all steps, applied one after the other, are the changes of
    /// the outcome.
    ///
    /// # Errors
    ///
    /// If consensus forbids the block, or the base cannot be read. The steps up to there were told.
    pub fn execute_with<B: Base>(
        &self,
        base: &B,
        block: &Block,
        mut on_commit: impl FnMut(Step<'_>),
    ) -> Result<Outcome, BlockError> {
        sequential::execute(base, block, Observer::Callback(&mut on_commit))
    }
}
