//! The configuration of a node's EVM: reth's own, with executors on the engine.

use std::{convert::Infallible, sync::Arc};

use alloy_consensus::Header;
use alloy_evm::eth::{EthBlockExecutionCtx, spec::EthExecutorSpec};
use alloy_primitives::B256;
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
use reth_primitives_traits::{RecoveredBlock, SealedBlock, SealedHeader};
use reth_storage_errors::provider::ProviderResult;
use revm::database::State;

use crate::{
    announcements::{Announcements, BlockKey},
    executor::BlockloomExecutor,
    reads::{Reads, StateReader, States},
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
    reads: Reads,
    states: Option<States>,
}

impl<C> BlockloomEvmConfig<C> {
    /// A configuration that executes on `engine` what `eth` would execute sequentially.
    pub fn new(eth: EthEvmConfig<C>, engine: Engine) -> Self {
        let executors = ParallelExecutorFactory::new(eth.executor_factory.clone(), engine)
            .with_precompiles(ClientPrecompiles::Wrapped);
        let announcements = Announcements::default();
        Self { eth, executors, announcements, reads: Reads::default(), states: None }
    }

    /// The same configuration, whose payloads are executed in parallel on states that `open` opens: it gets the hash of the
    /// parent block, and returns a database with the state after it. Each thread has one of its own. If it fails, the payload
    /// is executed sequentially.
    ///
    /// In a node: `|parent| Ok(Box::new(StateProviderDatabase::new(provider.state_by_block_hash(parent)?)))`.
    #[must_use]
    pub fn with_states(
        mut self,
        open: impl Fn(B256) -> ProviderResult<StateReader> + Send + Sync + 'static,
    ) -> Self {
        self.states = Some(States::new(open));
        self
    }

    /// The same configuration, whose executors are parallel on any database: the thread that has the database answers the
    /// others. A read then costs some microseconds, so this pays only for blocks that compute much and read little, or if a
    /// read takes much longer.
    #[must_use]
    pub const fn with_messages(mut self) -> Self {
        self.reads = Reads::Messages;
        self
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

    pub(crate) const fn reads(&self) -> Reads {
        self.reads
    }

    pub(crate) const fn announcements(&self) -> &Announcements {
        &self.announcements
    }
}

impl<C> BlockloomEvmConfig<C>
where
    C: EthExecutorSpec + EthChainSpec<Header = Header> + Hardforks + 'static,
{
    /// An executor with threads that read `db` themselves, under a lock. [`ConfigureEvm::executor`] cannot have it, because
    /// it is there for databases that are not `Send`, too.
    pub fn locking_executor<DB: Database + Send>(&self, db: DB) -> BlockloomExecutor<C, DB> {
        BlockloomExecutor::locking(self.clone(), db)
    }

    /// The executor of a block, which asks the calling thread to read. It is sequential if the state builds an access list.
    pub(crate) fn executor_of<'a, DB: Database>(
        &'a self,
        state: &'a mut State<DB>,
        block: &'a RecoveredBlock<Block>,
    ) -> BlockExecutorForEvm<'a, Self, DB> {
        let knows_reads = knows_reads(state);
        let Ok(evm) = self.evm_for_block(state, block.header());
        let Ok(ctx) = self.context_for_block(block);
        let executor = self.executors.create_executor(evm, ctx);
        if knows_reads { executor.decline(Obstacle::AccessList) } else { executor }
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
        let knows_reads = knows_reads(evm.db());
        let parent = ctx.parent_hash;
        let announced = self.announcements.take(&BlockKey::new(parent, evm.block()));
        let executor = self.executors.create_executor(evm, ctx);
        if knows_reads {
            return executor.decline(Obstacle::AccessList);
        }
        let executor = match (&announced, &self.states, self.reads) {
            (Some(_), Some(states), _) => {
                executor.read_from(move |state, run| states.run(parent, state, run))
            }
            (Some(_), None, Reads::Nowhere) => executor.decline(Obstacle::Database),
            _ => executor,
        };
        match announced {
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

/// Whether a state must know which transaction reads: it builds an access list, or answers out of one.
const fn knows_reads<DB>(state: &State<DB>) -> bool {
    state.bal_state.bal_builder.is_some() || state.bal_state.bal.is_some()
}
