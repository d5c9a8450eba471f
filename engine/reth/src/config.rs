//! The configuration of a node's EVM: reth's own, with executors on the engine.

use std::{convert::Infallible, sync::Arc};

use alloy_consensus::Header;
use alloy_evm::eth::{EthBlockExecutionCtx, spec::EthExecutorSpec};
use alloy_primitives::B256;
use blockloom_engine::{
    BlockCounts, ClientPrecompiles, Engine, Obstacle, ObstacleReport, ParallelExecutorFactory,
};
use reth_chainspec::{ChainSpec, EthChainSpec, Hardforks};
use reth_ethereum_primitives::{Block, EthPrimitives};
use reth_evm::{
    BlockExecutorForEvm, ConfigureEvm, Database, Evm, EvmEnv, EvmFor, InspectorFor, NextBlockEnvAttributes,
    block::{BlockExecutorFactory, BlockExecutorFor},
    execute::{BlockExecutionError, Executor},
};
use reth_evm_ethereum::{EthBlockAssembler, EthEvmConfig, RethReceiptBuilder};
use reth_primitives_traits::{RecoveredBlock, SealedBlock, SealedHeader};
use reth_revm::database::StateProviderDatabase;
use reth_storage_api::StateProviderFactory;
use reth_storage_errors::provider::ProviderResult;
use revm::database::State;

use crate::{
    announcements::{Announcements, BlockKey},
    executor::BlockloomExecutor,
    reads::{Reads, StateReader, States},
};

/// reth's configuration of the EVM for Ethereum, with parallel executors.
///
/// Environments, contexts and assembled blocks are those of the [`EthEvmConfig`] inside. Clones share the
/// engine, the counts and what payloads announced.
///
/// The precompiles of the node's EVMs may be wrapped, as reth's payload validator wraps them in a cache:
/// parallel runs call the fork's own instead. A node whose precompiles differ from Ethereum's under the same
/// names must not use this.
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

    /// The same configuration, whose payloads are executed in parallel on the states of a node's provider.
    /// See [`with_states`](Self::with_states).
    #[must_use]
    pub fn with_provider(self, provider: impl StateProviderFactory + Sync + 'static) -> Self {
        self.with_states(move |parent| {
            Ok(Box::new(StateProviderDatabase::new(provider.state_by_block_hash(parent)?)))
        })
    }

    /// The same configuration, whose payloads are executed in parallel on states that `open` opens: it gets
    /// the hash of the parent block, and returns a database with the state after it. Each thread has one of
    /// its own. If none can be opened, or a later one cannot, the payload is executed sequentially.
    ///
    /// The threads see what is in revm's `State`, and then read these states. They do not read through the
    /// execution cache that reth's payload validator puts between its database and the `State`, because reth
    /// does not give it away. A database that is slow needs a cache of its own, which `open` can share
    /// between the states of one parent.
    #[must_use]
    pub fn with_states(
        mut self,
        open: impl Fn(B256) -> ProviderResult<StateReader> + Send + Sync + 'static,
    ) -> Self {
        self.states = Some(States::new(open));
        self
    }

    /// The same configuration, whose executors are parallel on any database: the thread that has the database
    /// answers the others. A read then costs some microseconds, so this pays only for blocks that compute
    /// much and read little, or if a read takes much longer.
    ///
    /// The `State` of such an executor caches all that was prefetched, and what discarded runs have read. Two
    /// parts of reth take the cache for what the block reads, after `execute_one` and `into_state`:
    ///
    /// - `flashbots_validateBuilderSubmission` looks for the accounts of its blacklist (`disallow`) in it. It
    ///   may refuse a submission that names such an account in an access list only, or reads it in a
    ///   discarded run. It accepts no submission that it must refuse.
    /// - The hook that writes witnesses of invalid blocks (`--debug.invalid-block-hook witness`) writes
    ///   codes, keys and nodes which the block does not need. The witness is complete, and differs from that
    ///   of a healthy node.
    ///
    /// A node with one of these does without this method.
    #[must_use]
    pub const fn with_messages(mut self) -> Self {
        self.reads = Reads::Messages;
        self
    }

    /// The same configuration with a function that receives a report of each block that is not executed in
    /// parallel.
    #[must_use]
    pub fn with_observer(mut self, observer: impl Fn(&ObstacleReport<'_>) + Send + Sync + 'static) -> Self {
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

    /// Whether the blocks of payloads can be executed in parallel.
    pub(crate) const fn announces(&self) -> bool {
        self.states.is_some() || matches!(self.reads, Reads::Messages)
    }

    pub(crate) const fn announcements(&self) -> &Announcements {
        &self.announcements
    }
}

impl<C> BlockloomEvmConfig<C>
where
    C: EthExecutorSpec + EthChainSpec<Header = Header> + Hardforks + 'static,
{
    /// An executor with threads that read `db` themselves, under a lock. [`ConfigureEvm::executor`] cannot
    /// have it, because it is there for databases that are not `Send`, too. Its `State` caches more than the
    /// block reads, as that of [`with_messages`](Self::with_messages) does.
    pub fn locking_executor<DB: Database + Send>(&self, db: DB) -> BlockloomExecutor<C, DB> {
        BlockloomExecutor::locking(self.clone(), db)
    }

    /// The executor of a block, which asks the calling thread to read. It is sequential if the state builds
    /// an access list.
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

    fn create_executor<'a, DB, I>(
        &'a self,
        evm: EvmFor<Self, &'a mut State<DB>, I>,
        ctx: EthBlockExecutionCtx<'a>,
    ) -> BlockExecutorForEvm<'a, Self, DB, I>
    where
        DB: Database,
        I: InspectorFor<Self, &'a mut State<DB>> + 'a,
    {
        self.create_executor_with_state(evm, ctx)
    }

    /// An executor, to which the transactions of a payload are announced.
    fn create_executor_with_state<'a, 'db, DB, I>(
        &'a self,
        evm: EvmFor<Self, &'db mut State<DB>, I>,
        ctx: EthBlockExecutionCtx<'a>,
    ) -> BlockExecutorFor<'a, Self::BlockExecutorFactory, &'db mut State<DB>, I>
    where
        DB: Database,
        I: InspectorFor<Self, &'db mut State<DB>>,
    {
        let knows_reads = knows_reads(evm.db());
        let parent = ctx.parent_hash;
        let announced = self.announcements.take(&BlockKey::new(parent, evm.block()));
        let executor = self.executors.create_executor(evm, ctx);
        if knows_reads {
            return executor.decline(Obstacle::AccessList);
        }
        if !self.announces() {
            return executor.decline(Obstacle::Database);
        }
        // The node's states are those of its chain. Only the database of a payload is known to have such a
        // state.
        let executor = match (&announced, &self.states, self.reads) {
            (Some(_), Some(states), _) => {
                executor.read_from(move |state, run| states.run(parent, state, run))
            }
            (_, _, Reads::Messages) => executor,
            (_, _, Reads::Nowhere) => executor.without_reads(),
        };
        match announced {
            Some(payload) => executor.announce(move || payload.transactions()),
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
