//! reth's executor of whole blocks and of ranges of blocks, in parallel.

use std::fmt;

use alloy_consensus::Header;
use alloy_eips::eip7928::BlockAccessList;
use alloy_evm::eth::spec::EthExecutorSpec;
use reth_chainspec::{EthChainSpec, Hardforks};
use reth_ethereum_primitives::{Block, EthPrimitives, Receipt, TransactionSigned};
use reth_evm::{
    ConfigureEvm, Database, Evm, OnStateHook,
    execute::{BlockExecutionError, BlockExecutor, Executor},
};
use reth_execution_types::BlockExecutionResult;
use reth_primitives_traits::RecoveredBlock;
use revm::{
    database::{State, states::bundle_state::BundleRetention},
    state::bal::Bal,
};

use crate::config::BlockloomEvmConfig;

/// The result of a block.
type BlockResult = Result<BlockExecutionResult<Receipt>, BlockExecutionError>;

/// A function that executes a block on a state.
type Run<C, DB> = fn(&BlockloomEvmConfig<C>, &mut State<DB>, &RecoveredBlock<Block>) -> BlockResult;

/// Executes blocks one after the other on a database, each in parallel. It is reth's `BasicBlockExecutor` in everything else:
/// the state gathers the bundle of all blocks, with the reverts of each.
///
/// [`ConfigureEvm::executor`] and [`ConfigureEvm::batch_executor`] of [`BlockloomEvmConfig`] make it.
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
        Self::with(config, db, |config, state, block| {
            let builds_list = state.bal_state.bal_builder.is_some();
            let Ok(executor) = config.executor_for_block(state, block);
            run(executor, block, builds_list)
        })
    }

    pub(crate) fn locking(config: BlockloomEvmConfig<C>, db: DB) -> Self
    where
        DB: Send,
    {
        Self::with(config, db, |config, state, block| {
            let builds_list = state.bal_state.bal_builder.is_some();
            let Ok(executor) = config.executor_for_block(state, block);
            run(executor.locking(), block, builds_list)
        })
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
fn run<'a, DB, E>(mut executor: E, block: &RecoveredBlock<Block>, builds_list: bool) -> BlockResult
where
    DB: Database + 'a,
    E: BlockExecutor<Transaction = TransactionSigned, Receipt = Receipt, Evm: Evm<DB = &'a mut State<DB>>>,
{
    if !builds_list {
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
