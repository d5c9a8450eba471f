//! reth's executor of whole blocks and of ranges of blocks, in parallel.

use std::fmt;

use alloy_consensus::Header;
use alloy_eips::eip7928::BlockAccessList;
use alloy_evm::eth::spec::EthExecutorSpec;
use blockloom_engine::Obstacle;
use reth_chainspec::{EthChainSpec, Hardforks};
use reth_ethereum_primitives::{Block, EthPrimitives, Receipt, TransactionSigned};
use reth_evm::{
    Database, Evm, OnStateHook,
    execute::{BlockExecutionError, BlockExecutor, Executor},
};
use reth_execution_types::{BlockExecutionOutput, BlockExecutionResult};
use reth_primitives_traits::RecoveredBlock;
use revm::{
    database::{State, states::bundle_state::BundleRetention},
    state::bal::Bal,
};

use crate::{config::BlockloomEvmConfig, reads::Reads};

/// The result of a block.
type BlockResult = Result<BlockExecutionResult<Receipt>, BlockExecutionError>;

/// A function that executes a block on a state.
type Run<C, DB> = fn(&BlockloomEvmConfig<C>, &mut State<DB>, &RecoveredBlock<Block>) -> BlockResult;

/// Executes blocks one after the other on a database, each in parallel. It is reth's `BasicBlockExecutor` in
/// everything else: the state gathers the bundle of all blocks, with the reverts of each.
///
/// [`BlockloomEvmConfig::locking_executor`] makes it, and so do `executor` and `batch_executor` of reth's
/// `ConfigureEvm`.
pub struct BlockloomExecutor<C, DB>
where
    C: EthExecutorSpec + EthChainSpec<Header = Header> + Hardforks + 'static,
    DB: Database,
{
    config: BlockloomEvmConfig<C>,
    state: State<DB>,
    run: Run<C, DB>,
}

impl<C, DB> BlockloomExecutor<C, DB>
where
    C: EthExecutorSpec + EthChainSpec<Header = Header> + Hardforks + 'static,
    DB: Database,
{
    pub(crate) fn new(config: BlockloomEvmConfig<C>, db: DB) -> Self {
        let run: Run<C, DB> = match config.reads() {
            Reads::Nowhere => {
                |config, state, block| run(config.executor_of(state, block).without_reads(), block)
            }
            Reads::Messages => |config, state, block| run(config.executor_of(state, block), block),
        };
        Self::with(config, db, run)
    }

    pub(crate) fn locking(config: BlockloomEvmConfig<C>, db: DB) -> Self
    where
        DB: Send,
    {
        Self::with(config, db, |config, state, block| run(config.executor_of(state, block).locking(), block))
    }

    /// The same executor for a caller that looks at what the state has read: it must not have read more.
    fn sequential(mut self) -> Self {
        self.run =
            |config, state, block| run(config.executor_of(state, block).decline(Obstacle::Witness), block);
        self
    }

    fn with(config: BlockloomEvmConfig<C>, db: DB, run: Run<C, DB>) -> Self {
        let state = State::builder().with_database(db).with_bundle_update().build();
        Self { config, state, run }
    }
}

impl<C, DB> Executor<DB> for BlockloomExecutor<C, DB>
where
    C: EthExecutorSpec + EthChainSpec<Header = Header> + Hardforks + 'static,
    DB: Database,
{
    type Primitives = EthPrimitives;
    type Error = BlockExecutionError;

    fn execute_one(&mut self, block: &RecoveredBlock<Block>) -> BlockResult {
        let has_list = block.header().block_access_list_hash.is_some();
        self.state.bal_state.bal_builder = has_list.then(Bal::new);
        let result = (self.run)(&self.config, &mut self.state, block)?;
        self.state.merge_transitions(BundleRetention::Reverts);
        Ok(result)
    }

    fn execute_one_with_state_hook<F>(
        &mut self,
        block: &RecoveredBlock<Block>,
        state_hook: F,
    ) -> Result<BlockExecutionResult<Receipt>, BlockExecutionError>
    where
        F: OnStateHook + 'static,
    {
        self.state.set_state_hook(Some(Box::new(state_hook)));
        let result = (self.run)(&self.config, &mut self.state, block);
        self.state.set_state_hook(None);
        self.state.merge_transitions(BundleRetention::Reverts);
        result
    }

    fn execute_with_state_closure<F>(
        self,
        block: &RecoveredBlock<Block>,
        mut f: F,
    ) -> Result<BlockExecutionOutput<Receipt>, BlockExecutionError>
    where
        F: FnMut(&State<DB>),
    {
        let mut executor = self.sequential();
        let result = executor.execute_one(block)?;
        f(&executor.state);
        Ok(BlockExecutionOutput { state: executor.state.take_bundle(), result })
    }

    fn execute_with_state_closure_always<F>(
        self,
        block: &RecoveredBlock<Block>,
        mut f: F,
    ) -> Result<BlockExecutionOutput<Receipt>, BlockExecutionError>
    where
        F: FnMut(&State<DB>),
    {
        let mut executor = self.sequential();
        let result = executor.execute_one(block);
        f(&executor.state);
        Ok(BlockExecutionOutput { state: executor.state.take_bundle(), result: result? })
    }

    fn into_state(self) -> State<DB> {
        self.state
    }

    fn size_hint(&self) -> usize {
        self.state.bundle_state.size_hint()
    }

    fn take_bal(&mut self) -> Option<BlockAccessList> {
        self.state.take_built_alloy_bal()
    }
}

/// Executes a block. If the state builds its access list, the state must know which transaction reads.
fn run<'a, DB, E>(mut executor: E, block: &RecoveredBlock<Block>) -> BlockResult
where
    DB: Database + 'a,
    E: BlockExecutor<Transaction = TransactionSigned, Receipt = Receipt, Evm: Evm<DB = &'a mut State<DB>>>,
{
    if executor.evm().db().bal_state.bal_builder.is_none() {
        return executor.execute_block(block.transactions_recovered());
    }
    executor.apply_pre_execution_changes()?;
    executor.evm_mut().db_mut().bump_bal_index();
    for transaction in block.transactions_recovered() {
        executor.execute_transaction(transaction)?;
        executor.evm_mut().db_mut().bump_bal_index();
    }
    executor.apply_post_execution_changes()
}

impl<C, DB> fmt::Debug for BlockloomExecutor<C, DB>
where
    C: EthExecutorSpec + EthChainSpec<Header = Header> + Hardforks + 'static,
    DB: Database,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockloomExecutor").field("config", &self.config).finish_non_exhaustive()
    }
}
