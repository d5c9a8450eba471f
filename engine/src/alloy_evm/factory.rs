//! The factory of parallel executors, which replaces a client's executor factory.

use alloy_consensus::{Transaction, TransactionEnvelope, TxReceipt};
use alloy_eips::Encodable2718;
use alloy_evm::{
    EthEvm, EthEvmFactory, EvmFactory, FromRecoveredTx, FromTxWithEncoded,
    block::{BlockExecutorFactory, StateDB},
    eth::{
        EthBlockExecutionCtx, EthBlockExecutor, EthBlockExecutorFactory, EthEvmContext, EthTxResult,
        receipt_builder::{AlloyReceiptBuilder, ReceiptBuilder},
        spec::{EthExecutorSpec, EthSpec},
    },
    precompiles::PrecompilesMap,
};
use alloy_primitives::Log;
use revm::{Inspector, context::TxEnv, context_interface::result::HaltReason};

use crate::{
    alloy_evm::{
        block::ParallelExecutor,
        environment::ClientPrecompiles,
        obstacle::{BlockCounts, ObstacleReport, Reports},
    },
    block::error::BlockError,
    engine::Engine,
};

/// Creates executors with a parallel `execute_block`. It replaces a client's [`EthBlockExecutorFactory`],
/// with the same environments, contexts, transactions, receipts and errors.
///
/// The EVM is always [`EthEvm`]: the engine does not know the rules of another EVM.
///
/// A block that cannot be executed in parallel is executed sequentially. The [observer](Self::with_observer)
/// receives each [`Obstacle`](crate::Obstacle), and [`counts`](Self::counts) counts them.
///
/// There are two modes: the executors of [`create_executor`](BlockExecutorFactory::create_executor) send
/// messages to the thread that has the database, and those of
/// [`create_locking_executor`](Self::create_locking_executor) lock it. In [`ParallelExecutor::read_from`]
/// threads read a base of the client's.
///
/// ```
/// use alloy_evm::eth::{EthBlockExecutorFactory, receipt_builder::AlloyReceiptBuilder, spec::EthSpec};
/// use blockloom_engine::{Config, Engine, ParallelExecutorFactory};
///
/// let eth = EthBlockExecutorFactory::new(
///     AlloyReceiptBuilder::default(),
///     EthSpec::mainnet(),
///     Default::default(),
/// );
/// let factory = ParallelExecutorFactory::new(eth, Engine::new(Config::default()));
/// # let _ = factory;
/// ```
#[derive(Clone, Debug)]
pub struct ParallelExecutorFactory<R = AlloyReceiptBuilder, Spec = EthSpec> {
    eth: EthBlockExecutorFactory<R, Spec, EthEvmFactory>,
    engine: Engine,
    precompiles: ClientPrecompiles,
    reports: Reports,
}

impl<R, Spec> ParallelExecutorFactory<R, Spec> {
    /// A factory that executes on `engine` the blocks that `eth` would execute sequentially.
    pub fn new(eth: EthBlockExecutorFactory<R, Spec, EthEvmFactory>, engine: Engine) -> Self {
        Self { eth, engine, precompiles: ClientPrecompiles::default(), reports: Reports::default() }
    }

    /// The same factory for a client whose EVMs have such precompiles.
    #[must_use]
    pub const fn with_precompiles(mut self, precompiles: ClientPrecompiles) -> Self {
        self.precompiles = precompiles;
        self
    }

    /// The same factory with a function that receives a report of each obstacle, on the thread that executes
    /// the block.
    ///
    /// ```
    /// # use blockloom_engine::{Engine, Obstacle, ParallelExecutorFactory};
    /// # use alloy_evm::eth::{EthBlockExecutorFactory, receipt_builder::AlloyReceiptBuilder, spec::EthSpec};
    /// # let receipts = AlloyReceiptBuilder::default();
    /// # let eth = EthBlockExecutorFactory::new(receipts, EthSpec::mainnet(), Default::default());
    /// let factory = ParallelExecutorFactory::new(eth, Engine::default())
    ///     .with_observer(|report| eprintln!("{report}"));
    /// assert_eq!(factory.counts().sequential(Obstacle::Precompiles), 0);
    /// ```
    #[must_use]
    pub fn with_observer(mut self, observer: impl Fn(&ObstacleReport<'_>) + Send + Sync + 'static) -> Self {
        self.reports.set_observer(observer);
        self
    }

    /// How many blocks were executed in parallel, and how often an obstacle prevented it: by executors of
    /// this factory and of its clones.
    pub fn counts(&self) -> &BlockCounts {
        self.reports.counts()
    }

    /// Counts and reports [`Obstacle::Failed`](crate::Obstacle::Failed) for a client that gives blocks to the
    /// engine itself, and whose own execution accepts a block at which the engine stopped.
    pub fn report_failure(&self, error: &BlockError) {
        self.reports.failed(error);
    }

    /// The sequential factory inside.
    pub const fn eth(&self) -> &EthBlockExecutorFactory<R, Spec, EthEvmFactory> {
        &self.eth
    }

    /// The engine of its executors.
    pub const fn engine(&self) -> &Engine {
        &self.engine
    }
}

impl<R, Spec> BlockExecutorFactory for ParallelExecutorFactory<R, Spec>
where
    R: ReceiptBuilder<Transaction: Transaction + Encodable2718, Receipt: TxReceipt<Log = Log>>,
    Spec: EthExecutorSpec,
    TxEnv: FromRecoveredTx<R::Transaction> + FromTxWithEncoded<R::Transaction>,
    <R::Transaction as TransactionEnvelope>::TxType: Send + 'static,
    Self: 'static,
{
    type EvmFactory = EthEvmFactory;
    type TxExecutionResult = EthTxResult<HaltReason, <R::Transaction as TransactionEnvelope>::TxType>;
    type ExecutionCtx<'a> = EthBlockExecutionCtx<'a>;
    type Transaction = R::Transaction;
    type Receipt = R::Receipt;
    type Executor<'a, DB: StateDB, I: Inspector<EthEvmContext<DB>>> =
        ParallelExecutor<'a, DB, I, &'a Spec, &'a R>;

    fn evm_factory(&self) -> &EthEvmFactory {
        self.eth.evm_factory()
    }

    fn create_executor<'a, DB, I>(
        &'a self,
        evm: EthEvm<DB, I, PrecompilesMap>,
        ctx: EthBlockExecutionCtx<'a>,
    ) -> ParallelExecutor<'a, DB, I, &'a Spec, &'a R>
    where
        DB: StateDB,
        I: Inspector<<EthEvmFactory as EvmFactory>::Context<DB>>,
    {
        let eth = EthBlockExecutor::new(evm, ctx, self.eth.spec(), self.eth.receipt_builder());
        ParallelExecutor::new(eth, &self.engine, self.precompiles, self.reports.clone())
    }
}

impl<R: ReceiptBuilder, Spec> ParallelExecutorFactory<R, Spec> {
    /// An executor with threads that read the database under a lock, instead of asking the calling thread to
    /// read it: see [`ParallelExecutor::locking`]. [`create_executor`](BlockExecutorFactory::create_executor)
    /// cannot have it, because it is there for databases that are not `Send`, too.
    pub fn create_locking_executor<'a, DB, I>(
        &'a self,
        evm: EthEvm<DB, I, PrecompilesMap>,
        ctx: EthBlockExecutionCtx<'a>,
    ) -> ParallelExecutor<'a, DB, I, &'a Spec, &'a R>
    where
        DB: StateDB + Send,
        I: Inspector<EthEvmContext<DB>>,
    {
        let eth = EthBlockExecutor::new(evm, ctx, self.eth.spec(), self.eth.receipt_builder());
        ParallelExecutor::new(eth, &self.engine, self.precompiles, self.reports.clone()).locking()
    }
}
