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

use crate::{alloy_evm::block::ParallelExecutor, engine::Engine};

/// Creates executors with a parallel `execute_block`. It replaces a client's [`EthBlockExecutorFactory`],
/// with the same environments, contexts, transactions, receipts and errors.
///
/// The EVM is always [`EthEvm`]: the engine does not know the rules of another EVM.
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
}

impl<R, Spec> ParallelExecutorFactory<R, Spec> {
    /// A factory that executes on `engine` the blocks that `eth` would execute sequentially.
    pub const fn new(eth: EthBlockExecutorFactory<R, Spec, EthEvmFactory>, engine: Engine) -> Self {
        Self { eth, engine }
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
        ParallelExecutor::new(eth, &self.engine)
    }
}
