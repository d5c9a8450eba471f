//! The configuration of a node's EVM: reth's own, with executors on the engine.

use std::{convert::Infallible, sync::Arc};

use alloy_consensus::Header;
use alloy_evm::eth::{EthBlockExecutionCtx, spec::EthExecutorSpec};
use blockloom_engine::{BlockCounts, ClientPrecompiles, Engine, Obstacle, ParallelExecutorFactory};
use reth_chainspec::{ChainSpec, EthChainSpec, Hardforks};
use reth_ethereum_primitives::{Block, EthPrimitives};
use reth_evm::BlockExecutorForEvm;
use reth_evm::{
    ConfigureEvm, Database, Evm, EvmEnv, EvmFor, InspectorFor, NextBlockEnvAttributes,
    block::BlockExecutorFactory,
    execute::{BlockExecutionError, Executor},
};
use reth_evm_ethereum::{EthBlockAssembler, EthEvmConfig, RethReceiptBuilder};
use reth_primitives_traits::{SealedBlock, SealedHeader};
use revm::database::State;

use crate::{
    announcements::{Announcements, BlockKey},
    executor::BlockloomExecutor,
};

/// reth's configuration of the EVM for Ethereum, with parallel executors.
///
/// Environments, contexts and assembled blocks are those of the [`EthEvmConfig`] inside. Clones share the engine, the
/// counts and what payloads announced.
///
/// The precompiles of the node's EVMs may be wrapped, as reth's payload validator wraps them in a cache: parallel runs call
/// the fork's own instead. A node whose precompiles differ from Ethereum's under the same names must not use this.
#[derive(Clone, Debug)]
pub struct BlockloomEvmConfig<C = ChainSpec> {
    eth: EthEvmConfig<C>,
    executors: ParallelExecutorFactory<RethReceiptBuilder, Arc<C>>,
    announcements: Announcements,
}

impl<C> BlockloomEvmConfig<C> {
    /// A configuration that executes on `engine` what `eth` would execute sequentially.
    pub fn new(eth: EthEvmConfig<C>, engine: Engine) -> Self {
        let executors = ParallelExecutorFactory::new(eth.executor_factory.clone(), engine)
            .with_precompiles(ClientPrecompiles::Wrapped);
        Self { eth, executors, announcements: Announcements::default() }
    }

    /// The same configuration with a function that is told of each block that is not executed in parallel, and why.
    #[must_use]
    pub fn with_observer(mut self, observer: impl Fn(u64, Obstacle) + Send + Sync + 'static) -> Self {
        self.executors = self.executors.with_observer(observer);
        self
    }

    /// How many blocks were executed in parallel, and how often an obstacle prevented it.
    pub fn counts(&self) -> &BlockCounts {
        self.executors.counts()
    }

    /// reth's configuration inside.
    pub const fn eth(&self) -> &EthEvmConfig<C> {
        &self.eth
    }

    /// The engine.
    pub const fn engine(&self) -> &Engine {
        self.executors.engine()
    }

    pub(crate) const fn announcements(&self) -> &Announcements {
        &self.announcements
    }
}

impl<C> BlockloomEvmConfig<C>
where
    C: EthExecutorSpec + EthChainSpec<Header = Header> + Hardforks + 'static,
{
    /// An executor with threads that read `db` themselves, under a lock. The executors of
    /// [`ConfigureEvm::executor`] ask the calling thread to read, because that is there for any database.
    pub fn locking_executor<DB: Database + Send>(&self, db: DB) -> BlockloomExecutor<C, DB> {
        BlockloomExecutor::locking(self.clone(), db)
    }
}

impl<C> ConfigureEvm for BlockloomEvmConfig<C>
where
    C: EthExecutorSpec + EthChainSpec<Header = Header> + Hardforks + 'static,
{
    type Primitives = EthPrimitives;
    type Error = Infallible;
    type NextBlockEnvCtx = NextBlockEnvAttributes;
    type BlockExecutorFactory = ParallelExecutorFactory<RethReceiptBuilder, Arc<C>>;
    type BlockAssembler = EthBlockAssembler<C>;

    fn block_executor_factory(&self) -> &Self::BlockExecutorFactory {
        &self.executors
    }

    fn block_assembler(&self) -> &Self::BlockAssembler {
        self.eth.block_assembler()
    }

    fn evm_env(&self, header: &Header) -> Result<EvmEnv, Infallible> {
        self.eth.evm_env(header)
    }

    fn next_evm_env(
        &self,
        parent: &Header,
        attributes: &NextBlockEnvAttributes,
    ) -> Result<EvmEnv, Infallible> {
        self.eth.next_evm_env(parent, attributes)
    }

    fn context_for_block<'a>(
        &self,
        block: &'a SealedBlock<Block>,
    ) -> Result<EthBlockExecutionCtx<'a>, Infallible> {
        self.eth.context_for_block(block)
    }

    fn context_for_next_block(
        &self,
        parent: &SealedHeader,
        attributes: NextBlockEnvAttributes,
    ) -> Result<EthBlockExecutionCtx<'_>, Infallible> {
        self.eth.context_for_next_block(parent, attributes)
    }

    /// An executor, to which the transactions of a payload are announced.
    fn create_executor<'a, DB, I>(
        &'a self,
        evm: EvmFor<Self, &'a mut State<DB>, I>,
        ctx: EthBlockExecutionCtx<'a>,
    ) -> BlockExecutorForEvm<'a, Self, DB, I>
    where
        DB: Database,
        I: InspectorFor<Self, &'a mut State<DB>> + 'a,
    {
        let builds_list = evm.db().bal_state.bal_builder.is_some();
        let announced = self.announcements.take(&BlockKey::new(ctx.parent_hash, evm.block()));
        let executor = self.executors.create_executor(evm, ctx);
        match announced {
            _ if builds_list => executor.decline(Obstacle::AccessList),
            Some(payload) => executor.announce(move || payload.wait()),
            None => executor,
        }
    }

    fn executor<DB: Database>(
        &self,
        db: DB,
    ) -> impl Executor<DB, Primitives = EthPrimitives, Error = BlockExecutionError> {
        BlockloomExecutor::new(self.clone(), db)
    }

    fn batch_executor<DB: Database>(
        &self,
        db: DB,
    ) -> impl Executor<DB, Primitives = EthPrimitives, Error = BlockExecutionError> {
        BlockloomExecutor::new(self.clone(), db)
    }
}
