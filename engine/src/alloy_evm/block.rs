//! The executor of one block: alloy-evm's own, whose `execute_block` hands the transactions to the
//! engine.

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
        run::{Done, Run, Runner, run_lent, run_locked},
    },
    block::{
        block::{Block, Frame, GivenList, Transaction},
        error::{BlockError, Invalid, BlockStep, Reason},
        rules::Rules,
    },
    engine::Engine,
};

/// Below this many transactions there is nothing to run in parallel.
const PARALLEL_FROM: usize = 2;

/// alloy-evm's executor on an engine; [`ParallelExecutorFactory`](crate::ParallelExecutorFactory)
/// makes it.
///
/// Its `execute_block` runs a block's transactions in parallel, unless there is an [`Obstacle`], and
/// yields what [`EthBlockExecutor`] yields: the same receipts, requests, gas and errors, and the same
/// commits to the database, one for each transaction, in order. All other methods are those of
/// [`EthBlockExecutor`], and run on the calling thread.
///
/// # The database
///
/// It may be any that [`EthBlockExecutor`] takes, even one that cannot be shared between threads or
/// sent to another, for alloy-evm's traits demand neither. So the calling thread keeps it and answers
/// the questions of the threads that execute. Coinbase, senders, recipients, authorities and access
/// lists are read ahead; every other first read costs a message there and one back, some
/// microseconds, so this pays where transactions compute much and read little.
///
/// A client that makes its executors itself says [`locking`](Self::locking) where its database may
/// be sent: then a read costs a lock. Either way reads wait for each other. One whose state many
/// threads can read at once is faster without an executor: [`Engine::execute`] on its own
/// [`Base`](blockloom_state::Base), and [`Outcome::changes`](crate::Outcome::changes) into its store.
///
/// # What differs
///
/// - Transactions are committed when all of them have run: a state hook hears of each, in order, but
///   not while others still run. [`Engine::execute_with`] tells of each as soon as it is final.
/// - What is committed, and what the hook hears, are the accounts and slots that changed. Those that
///   were only read are not among them, so the database cannot build a complete block-level access
///   list (EIP-7928) out of it, as [`Engine::execute`] does, and does not hear of a contract that
///   comes and goes within one transaction.
/// - A receipt builder sees a result whose status, logs and gas are true and whose output is empty;
///   a transaction that failed looks reverted, whatever halted it.
/// - A precompile lookup that was set on the EVM goes unnoticed.
pub struct ParallelExecutor<'a, DB: Database, I, Spec, R: ReceiptBuilder> {
    eth: EthBlockExecutor<'a, EthEvm<DB, I, PrecompilesMap>, Spec, R>,
    engine: &'a Engine,
    runner: Runner<DB>,
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
        Self { eth, engine, runner: run_lent }
    }

    /// The same executor, whose threads read the database themselves, behind a lock. It is the
    /// better one wherever the database may be sent to another thread, as
    /// [`State`](revm::database::State) may if what lies under it may.
    #[must_use]
    pub fn locking(mut self) -> Self
    where
        DB: Send,
    {
        self.runner = run_locked;
        self
    }

    /// Why `execute_block` would run the transactions one after the other; `None` where it would run
    /// them in parallel.
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
    /// The block as the engine executes it: its transactions, and nothing around them.
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
        let Run { steps, end } = run.map_err(BlockExecutionError::other)?;
        let count = steps.len();
        for (step, signed) in steps.into_iter().zip(&signed) {
            self.commit_step(step, signed.tx())?;
        }
        match end {
            Ok(_) => {
                assert_eq!(count, signed.len(), "a block that is valid told of every transaction");
                Ok(())
            }
            Err(error) if failed_at(&error) == Some(TxIndex::new(count)) => {
                Err(self.say_again(error, &block.transactions[count], &signed[count]))
            }
            Err(error) => Err(own_words(error)),
        }
    }

    fn commit_step(
        &mut self,
        Done { receipt, gas, changes }: Done,
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

    /// What alloy-evm says of the transaction at which the engine stopped: it is executed once more,
    /// on the state that the ones before it left, so that the error is the one that clients know.
    fn say_again(
        &mut self,
        error: BlockError,
        transaction: &Transaction,
        signed: &impl RecoveredTx<R::Transaction>,
    ) -> BlockExecutionError {
        let again = (transaction.env.clone(), signed);
        match self.eth.execute_transaction_without_commit(again) {
            Err(error) => error,
            Ok(_) => own_words(error),
        }
    }
}

/// The transaction that an error is about, where alloy-evm would meet it as well.
fn failed_at(error: &BlockError) -> Option<TxIndex> {
    match error.reason {
        Reason::Invalid(Invalid::Transaction { index, .. })
        | Reason::Base { place: BlockStep::Transaction(index, _), .. } => Some(index),
        _ => None,
    }
}

/// An error of the engine as it is. A block that it holds to be invalid stays invalid.
fn own_words(error: BlockError) -> BlockExecutionError {
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
    /// Those of [`EthBlockExecutor`]. Transactions that the engine refuses and alloy-evm does not are
    /// [`BlockValidationError::Other`] with a [`BlockError`] inside; a panic while one ran is an
    /// internal error with one. The transactions before are then committed, as one by one.
    fn execute_block(
        mut self,
        transactions: impl IntoIterator<Item = impl ExecutableTx<Self>>,
    ) -> Result<BlockExecutionResult<R::Receipt>, BlockExecutionError> {
        let transactions: Vec<_> = transactions.into_iter().map(ExecutableTxParts::into_parts).collect();
        match self.rules() {
            Ok(rules) if transactions.len() >= PARALLEL_FROM => {
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
