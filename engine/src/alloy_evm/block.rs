//! The executor of one block: alloy-evm's executor, with `execute_block` on the engine.

use std::fmt;

use alloy_consensus::{Transaction as _, TransactionEnvelope, TxReceipt};
use alloy_eips::Encodable2718;
use alloy_evm::{
    Database, EthEvm, Evm, FromRecoveredTx, FromTxWithEncoded, RecoveredTx,
    block::{
        BlockExecutionError, BlockExecutionResult, BlockExecutor, BlockValidationError, ExecutableTx,
        ExecutableTxParts, GasOutput, StateDB,
    },
    eth::{
        EthBlockExecutor, EthEvmContext, EthTxResult, receipt_builder::ReceiptBuilder, spec::EthExecutorSpec,
    },
    precompiles::PrecompilesMap,
};
use alloy_primitives::Log;
use blockloom_state::TxIndex;
use revm::{
    Inspector,
    context::TxEnv,
    context_interface::result::{EVMError, HaltReason, ResultAndState},
};

use crate::{
    alloy_evm::{
        commit,
        environment::{Obstacle, is_builtin, is_no_inspector, rules},
        run::{DbRunner, ExecutedBlock, ExecutedTransaction, run_on_db_actor, run_on_locked_db},
    },
    block::{
        block::{Block, Frame, GivenList, Transaction},
        error::{BlockError, BlockStep, Invalid, Reason},
        rules::Rules,
    },
    engine::Engine,
};

/// alloy-evm's executor on an engine, made by
/// [`ParallelExecutorFactory`](crate::ParallelExecutorFactory).
///
/// Its `execute_block` runs a block's transactions in parallel, unless there is an [`Obstacle`]. The
/// result is that of [`EthBlockExecutor`]: the same receipts, requests, gas and errors, and the same
/// commits to the database, one for each transaction, in order. All other methods are those of
/// [`EthBlockExecutor`], and run on the calling thread.
///
/// # The database
///
/// Any database of [`EthBlockExecutor`] works, even one that is neither `Sync` nor `Send`: the calling
/// thread keeps the database, and answers the requests of the executing threads. Coinbase, senders,
/// recipients, authorities and access lists are prefetched. Every other first read costs two messages
/// between threads, some microseconds. So parallel execution pays if transactions compute much and read
/// little.
///
/// A client that creates its executors itself should call [`locking`](Self::locking) if its database is
/// `Send`: then a read costs a lock. In both cases only one read runs at a time. If many threads can read
/// the state at once, [`Engine::execute`] on a [`Base`](blockloom_state::Base) is faster than an
/// executor; [`Outcome::changes`](crate::Outcome::changes) are then applied to the client's store.
///
/// # What differs
///
/// - Transactions are committed after all of them have run. A state hook receives each of them in order,
///   but not while others still run. [`Engine::execute_with`] reports each as soon as it is committed.
/// - Commits, and calls of the hook, contain only changed accounts and slots, and no contract that is
///   created and destroyed within one transaction. So the database cannot build a complete block-level
///   access list (EIP-7928) from them, as [`Engine::execute`] does.
/// - A receipt builder gets a result with the real status, logs and gas, but with an empty output. A
///   failed transaction looks reverted, for whatever reason it halted.
/// - A precompile lookup that was set on the EVM is ignored.
pub struct ParallelExecutor<'a, DB: Database, I, Spec, R: ReceiptBuilder> {
    eth: EthBlockExecutor<'a, EthEvm<DB, I, PrecompilesMap>, Spec, R>,
    engine: &'a Engine,
    runner: DbRunner<DB>,
}

impl<'a, DB, I, Spec, R> ParallelExecutor<'a, DB, I, Spec, R>
where
    DB: StateDB,
    I: Inspector<EthEvmContext<DB>>,
    R: ReceiptBuilder,
{
    pub(super) const fn new(
        eth: EthBlockExecutor<'a, EthEvm<DB, I, PrecompilesMap>, Spec, R>,
        engine: &'a Engine,
    ) -> Self {
        Self { eth, engine, runner: run_on_db_actor }
    }

    /// The same executor with threads that read the database themselves, under a lock. It is faster, and
    /// needs a database that is `Send`, as [`State`](revm::database::State) is on a database that is
    /// `Send`.
    #[must_use]
    pub fn locking(mut self) -> Self
    where
        DB: Send,
    {
        self.runner = run_on_locked_db;
        self
    }

    /// Why `execute_block` would run the transactions one after the other; `None` if it would run them in
    /// parallel.
    pub fn obstacle(&self) -> Option<Obstacle> {
        self.rules().err()
    }

    fn rules(&self) -> Result<Rules, Obstacle> {
        let cfg = self.eth.evm.cfg_env();
        if self.engine.threads() == 1 {
            return Err(Obstacle::OneThread);
        }
        if !is_no_inspector::<I>() {
            return Err(Obstacle::Inspector);
        }
        if !is_builtin(self.eth.evm.precompiles(), cfg.spec) {
            return Err(Obstacle::Precompiles);
        }
        if !self.eth.receipts.is_empty() {
            return Err(Obstacle::HalfDone);
        }
        rules(cfg).ok_or(Obstacle::Configuration)
    }
}

impl<DB, I, Spec, R> ParallelExecutor<'_, DB, I, Spec, R>
where
    DB: StateDB,
    I: Inspector<EthEvmContext<DB>>,
    Spec: EthExecutorSpec,
    R: ReceiptBuilder<
            Transaction: alloy_consensus::Transaction + Encodable2718,
            Receipt: TxReceipt<Log = Log>,
        >,
    TxEnv: FromRecoveredTx<R::Transaction> + FromTxWithEncoded<R::Transaction>,
    <R::Transaction as TransactionEnvelope>::TxType: Send + 'static,
{
    /// The block for the engine: only its transactions, without the steps around them.
    fn block(&self, rules: Rules, transactions: Vec<Transaction>) -> Block {
        Block {
            rules,
            env: self.eth.evm.block().clone(),
            parent_hash: self.eth.ctx.parent_hash,
            parent_beacon_root: self.eth.ctx.parent_beacon_block_root,
            transactions,
            ommers: Vec::new(),
            withdrawals: None,
            frame: Frame::TransactionsOnly,
            list: GivenList::Nothing,
        }
    }

    /// Executes the transactions on the engine and commits them to the database.
    fn execute_transactions<T: RecoveredTx<R::Transaction>>(
        &mut self,
        rules: Rules,
        transactions: Vec<(TxEnv, T)>,
    ) -> Result<(), BlockExecutionError> {
        let (transactions, signed): (Vec<_>, Vec<_>) = transactions
            .into_iter()
            .map(|(env, signed)| (Transaction { hash: signed.tx().trie_hash(), env }, signed))
            .unzip();
        let block = self.block(rules, transactions);
        let run = (self.runner)(self.eth.evm.db_mut(), self.engine, &block);
        let ExecutedBlock { transactions: executed, end } = run.map_err(BlockExecutionError::other)?;
        let count = executed.len();
        for (executed, signed) in executed.into_iter().zip(&signed) {
            self.commit_executed(executed, signed.tx())?;
        }
        match end {
            Ok(_) => {
                assert_eq!(count, signed.len(), "a valid block has all of its transactions executed");
                Ok(())
            }
            Err(error) if failed_at(&error) == Some(TxIndex::new(count)) => {
                Err(self.alloy_error(error, &block.transactions[count], &signed[count]))
            }
            Err(error) => Err(engine_error(error)),
        }
    }

    fn commit_executed(
        &mut self,
        ExecutedTransaction { receipt, gas, changes }: ExecutedTransaction,
        signed: &R::Transaction,
    ) -> Result<(), BlockExecutionError> {
        let state = commit::evm_state(self.eth.evm.db_mut(), &changes).map_err(|error| {
            BlockExecutionError::evm(EVMError::<DB::Error>::Database(error), signed.trie_hash())
        })?;
        let _ = self.eth.commit_transaction(EthTxResult {
            result: ResultAndState::new(commit::result(receipt, gas), state),
            blob_gas_used: signed.blob_gas_used().unwrap_or_default(),
            tx_type: signed.tx_type(),
        });
        Ok(())
    }

    /// alloy-evm's error for the transaction at which the engine stopped. The transaction runs once more,
    /// on the state before it, so that the client gets the error that it expects.
    fn alloy_error(
        &mut self,
        error: BlockError,
        transaction: &Transaction,
        signed: &impl RecoveredTx<R::Transaction>,
    ) -> BlockExecutionError {
        let again = (transaction.env.clone(), signed);
        match self.eth.execute_transaction_without_commit(again) {
            Err(error) => error,
            Ok(_) => engine_error(error),
        }
    }
}

/// The transaction of an error, if alloy-evm would fail there, too.
fn failed_at(error: &BlockError) -> Option<TxIndex> {
    match error.reason {
        Reason::Invalid(Invalid::Transaction { index, .. })
        | Reason::Base { step: BlockStep::Transaction(index, _), .. } => Some(index),
        _ => None,
    }
}

/// The engine's error itself. An invalid block stays invalid.
fn engine_error(error: BlockError) -> BlockExecutionError {
    match error.reason {
        Reason::Invalid(_) => BlockValidationError::other(error).into(),
        _ => BlockExecutionError::other(error),
    }
}

impl<DB, I, Spec, R> BlockExecutor for ParallelExecutor<'_, DB, I, Spec, R>
where
    DB: StateDB,
    I: Inspector<EthEvmContext<DB>>,
    Spec: EthExecutorSpec,
    R: ReceiptBuilder<
            Transaction: alloy_consensus::Transaction + Encodable2718,
            Receipt: TxReceipt<Log = Log>,
        >,
    TxEnv: FromRecoveredTx<R::Transaction> + FromTxWithEncoded<R::Transaction>,
    <R::Transaction as TransactionEnvelope>::TxType: Send + 'static,
{
    type Transaction = R::Transaction;
    type Receipt = R::Receipt;
    type Evm = EthEvm<DB, I, PrecompilesMap>;
    type Result = EthTxResult<HaltReason, <R::Transaction as TransactionEnvelope>::TxType>;

    fn apply_pre_execution_changes(&mut self) -> Result<(), BlockExecutionError> {
        self.eth.apply_pre_execution_changes()
    }

    fn execute_transaction_without_commit(
        &mut self,
        tx: impl ExecutableTx<Self>,
    ) -> Result<Self::Result, BlockExecutionError> {
        self.eth.execute_transaction_without_commit(tx.into_parts())
    }

    fn commit_transaction(&mut self, output: Self::Result) -> GasOutput {
        self.eth.commit_transaction(output)
    }

    fn finish(self) -> Result<(Self::Evm, BlockExecutionResult<R::Receipt>), BlockExecutionError> {
        self.eth.finish()
    }

    fn evm_mut(&mut self) -> &mut Self::Evm {
        &mut self.eth.evm
    }

    fn evm(&self) -> &Self::Evm {
        &self.eth.evm
    }

    fn receipts(&self) -> &[R::Receipt] {
        self.eth.receipts()
    }

    /// Executes a whole block, its transactions in parallel unless there is an [`Obstacle`].
    ///
    /// # Errors
    ///
    /// The errors of [`EthBlockExecutor`]. If the engine refuses a transaction that alloy-evm accepts, the
    /// error is [`BlockValidationError::Other`] with a [`BlockError`] inside. A panic during a run is an
    /// internal error with a [`BlockError`] inside. As in sequential execution, the transactions before
    /// the error are committed.
    fn execute_block(
        mut self,
        transactions: impl IntoIterator<Item = impl ExecutableTx<Self>>,
    ) -> Result<BlockExecutionResult<R::Receipt>, BlockExecutionError> {
        let transactions: Vec<_> = transactions.into_iter().map(ExecutableTxParts::into_parts).collect();
        match self.rules() {
            Ok(rules) if transactions.len() > 1 => {
                self.apply_pre_execution_changes()?;
                self.execute_transactions(rules, transactions)?;
                self.apply_post_execution_changes()
            }
            _ => self.eth.execute_block(transactions),
        }
    }
}

impl<DB: Database, I, Spec, R: ReceiptBuilder> fmt::Debug for ParallelExecutor<'_, DB, I, Spec, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParallelExecutor")
            .field("ctx", &self.eth.ctx)
            .field("engine", &self.engine)
            .finish_non_exhaustive()
    }
}
