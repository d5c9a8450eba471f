//! The executor of one block: alloy-evm's executor, with `execute_block` on the engine.

use std::fmt;

use alloy_consensus::{TransactionEnvelope, TxReceipt};
use alloy_eips::Encodable2718;
use alloy_evm::{
    Database, EthEvm, Evm, FromRecoveredTx, FromTxWithEncoded, RecoveredTx,
    block::{
        BalIndexedDatabase, BlockExecutionError, BlockExecutionResult, BlockExecutor, ExecutableTx,
        ExecutableTxParts, GasOutput, StateDB,
    },
    eth::{
        EthBlockExecutor, EthEvmContext, EthTxResult, receipt_builder::ReceiptBuilder, spec::EthExecutorSpec,
    },
    precompiles::PrecompilesMap,
};
use alloy_primitives::Log;
use revm::{Inspector, context::TxEnv, context_interface::result::HaltReason};

use crate::{
    alloy_evm::{
        announced::{Ahead, Found},
        environment::{ClientPrecompiles, are_of_fork, has_lookup, is_no_inspector, rules},
        error::stop_if_cancelled,
        obstacle::{Obstacle, Reports},
        run::{BlockRun, ExecutedBlock, Runner, run_on_db_actor, run_on_locked_db},
    },
    block::{block::Transaction, rules::Rules},
    engine::Engine,
};

/// The result of a transaction.
pub(super) type TxResultOf<R> =
    EthTxResult<HaltReason, <<R as ReceiptBuilder>::Transaction as TransactionEnvelope>::TxType>;

/// alloy-evm's executor on an engine, made by
/// [`ParallelExecutorFactory`](crate::ParallelExecutorFactory).
///
/// Its `execute_block` runs a block's transactions in parallel, unless there is an [`Obstacle`]. So does its
/// `execute_transaction` if the client [announces](Self::announce) the transactions of the block. The result
/// is that of [`EthBlockExecutor`]: the same receipts, requests, gas and errors, and the same commits to the
/// database, one for each transaction, in order. Everything else is done by [`EthBlockExecutor`] on the
/// calling thread: the steps before and after the transactions, and transactions that were not announced.
///
/// An error of the engine alone is no error of the block: [`EthBlockExecutor`] executes the transaction at
/// which the engine stopped, and its error counts. If there is none, it executes the rest of the block too
/// ([`Obstacle::Failed`]).
///
/// # The database
///
/// Any database of [`EthBlockExecutor`] works, even one that is neither `Sync` nor `Send`: the calling
/// thread keeps the database, and answers the requests of the executing threads. Coinbase, senders,
/// recipients, authorities and access lists are prefetched. Every other first read costs two messages between
/// threads, some microseconds. So parallel execution pays if transactions compute much and read little.
///
/// With [`locking`](Self::locking), which needs a database that is `Send`, a read costs a lock. In both cases
/// only one read runs at a time, and a database that caches what it reads, as
/// [`State`](revm::database::State) does, also has in its cache what was prefetched and what discarded runs
/// read. With [`read_from`](Self::read_from) threads read a base of the client's at once. Faster still is
/// [`Engine::execute`] on a [`Base`](blockloom_state::Base), without this executor;
/// [`Outcome`](crate::Outcome) then has the changes for the store.
///
/// # What differs
///
/// - Transactions are committed after all of them have run. A state hook receives each of them in order,
///   but not while others still run. [`Engine::execute_with`] reports each as soon as it is committed.
/// - Commits, and calls of the hook, contain only changed accounts and slots, and no contract that is
///   created and destroyed within one transaction. So the database cannot build a complete block-level
///   access list (EIP-7928) from them, as [`Engine::execute`] does.
pub struct ParallelExecutor<'a, DB: Database, I, Spec, R: ReceiptBuilder> {
    pub(super) eth: EthBlockExecutor<'a, EthEvm<DB, I, PrecompilesMap>, Spec, R>,
    pub(super) engine: &'a Engine,
    pub(super) runner: Runner<'a, DB>,
    pub(super) precompiles: ClientPrecompiles,
    pub(super) ahead: Ahead<'a>,
    pub(super) declined: Option<Obstacle>,
    pub(super) reports: Reports,
}

impl<'a, DB, I, Spec, R> ParallelExecutor<'a, DB, I, Spec, R>
where
    DB: StateDB,
    I: Inspector<EthEvmContext<DB>>,
    R: ReceiptBuilder,
{
    pub(super) fn new(
        eth: EthBlockExecutor<'a, EthEvm<DB, I, PrecompilesMap>, Spec, R>,
        engine: &'a Engine,
        precompiles: ClientPrecompiles,
        reports: Reports,
    ) -> Self {
        let ahead = Ahead::Unannounced;
        Self {
            eth,
            engine,
            runner: Runner::Database(run_on_db_actor),
            precompiles,
            ahead,
            declined: None,
            reports,
        }
    }

    /// The same executor, to which the client is going to give the block's transactions one by one, in this
    /// order. `transactions` returns them, and may wait for them; `None` if one of them turned out to be no
    /// transaction. It is called when the client gives the first transaction, unless there is an
    /// [`Obstacle`].
    ///
    /// With the first transaction the whole block is executed in parallel; then the client receives the
    /// result of each transaction when it gives that transaction. Receipts, gas and the state are at each
    /// moment those of sequential execution.
    ///
    /// The executor compares each transaction with the announced one, hash and environment, and notices when
    /// the client gives the next transaction without a commit, commits without a transaction, or asks for the
    /// EVM: from there on it executes sequentially. It does not notice that the client changes a result
    /// before the commit, or commits a result of something else in its place: such a client must not
    /// announce.
    #[must_use]
    pub fn announce(mut self, transactions: impl FnOnce() -> Option<Vec<Transaction>> + 'a) -> Self {
        self.ahead = Ahead::Announced(Box::new(transactions));
        self
    }

    /// The same executor, which executes the block sequentially, and reports that it is for this reason.
    #[must_use]
    pub const fn decline(mut self, obstacle: Obstacle) -> Self {
        self.declined = Some(obstacle);
        self
    }

    /// The same executor with threads that read the database themselves, under a lock. It is faster, and
    /// needs a database that is `Send`, as [`State`](revm::database::State) is on a database that is
    /// `Send`.
    #[must_use]
    pub fn locking(mut self) -> Self
    where
        DB: Send,
    {
        self.runner = Runner::Database(run_on_locked_db);
        self
    }

    /// The same executor, whose threads read a base of the client's instead of the database. `run` gets the
    /// database, with the state before the transactions, and calls [`BlockRun::on`] with a base that has the
    /// same state: out of several connections to the client's store, for example, and what the database has
    /// in its cache. Without such a base it returns `None`, and the block is executed sequentially
    /// ([`Obstacle::Database`]).
    #[must_use]
    pub fn read_from(mut self, run: impl FnMut(&mut DB, BlockRun<'_>) -> Option<ExecutedBlock> + 'a) -> Self {
        self.runner = Runner::Base(Box::new(run));
        self
    }

    /// The same executor without a way to read for other threads: it executes sequentially
    /// ([`Obstacle::Database`]).
    #[must_use]
    pub fn without_reads(mut self) -> Self {
        self.runner = Runner::None;
        self
    }

    /// Why `execute_block` would run the transactions one after the other; `None` if it would run them in
    /// parallel. A precompile lookup, and a block that is too small, are found when the block is executed.
    pub fn obstacle(&self) -> Option<Obstacle> {
        self.rules().err()
    }

    fn rules(&self) -> Result<Rules, Obstacle> {
        let cfg = self.eth.evm.cfg_env();
        if let Some(obstacle) = self.declined {
            return Err(obstacle);
        }
        if matches!(self.runner, Runner::None) {
            return Err(Obstacle::Database);
        }
        if self.engine.threads() == 1 {
            return Err(Obstacle::OneThread);
        }
        if !is_no_inspector::<I>() {
            return Err(Obstacle::Inspector);
        }
        if !are_of_fork(self.eth.evm.precompiles(), cfg.spec, self.precompiles) {
            return Err(Obstacle::Precompiles);
        }
        if !self.eth.receipts.is_empty() {
            return Err(Obstacle::HalfDone);
        }
        rules(cfg).ok_or(Obstacle::Configuration)
    }

    /// The rules for parallel execution, before the transactions are known.
    ///
    /// # Errors
    ///
    /// If there is an obstacle.
    pub(super) fn rules_without_lookup(&mut self) -> Result<Rules, Obstacle> {
        let rules = self.rules()?;
        let spec = self.eth.evm.cfg_env().spec;
        if has_lookup(self.eth.evm.precompiles_mut(), spec) { Err(Obstacle::Precompiles) } else { Ok(rules) }
    }

    /// Whether helpers cannot pay for these transactions. A base of the client's is asked when it is there.
    pub(super) fn is_small(&self, transactions: &[Transaction]) -> bool {
        matches!(self.runner, Runner::Database(_)) && !self.engine.uses_helpers(transactions)
    }

    /// The rules for parallel execution of these transactions; `None` if there is an obstacle.
    fn rules_of_block(&mut self, transactions: &[Transaction]) -> Option<Rules> {
        if transactions.len() < 2 {
            return None;
        }
        match self.rules_without_lookup() {
            Ok(rules) if !self.is_small(transactions) => return Some(rules),
            Ok(_) => self.report(Obstacle::Small),
            Err(obstacle) => self.report(obstacle),
        }
        None
    }

    pub(super) fn report(&self, obstacle: Obstacle) {
        self.reports.sequential(self.eth.evm.block().number.saturating_to(), obstacle);
    }

    /// Drops the results that are left: the state may no longer be the one that they belong to.
    pub(super) fn give_up(&mut self, obstacle: Obstacle) {
        self.ahead = Ahead::Over;
        self.report(obstacle);
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
    type Result = TxResultOf<R>;

    fn apply_pre_execution_changes(&mut self) -> Result<(), BlockExecutionError> {
        self.eth.apply_pre_execution_changes()
    }

    fn execute_transaction_without_commit(
        &mut self,
        tx: impl ExecutableTx<Self>,
    ) -> Result<Self::Result, BlockExecutionError> {
        let (env, signed) = tx.into_parts();
        match self.take_announced(&env, &signed) {
            Found::Result(executed) => self.result(executed, signed.tx()),
            Found::Nothing => self.eth.execute_transaction_without_commit((env, signed)),
            Found::Stopped(error) => {
                let error = stop_if_cancelled(error)?;
                let accepted = self.eth.execute_transaction_without_commit((env, signed))?;
                self.reports.failed(&error);
                Ok(accepted)
            }
        }
    }

    /// The index of an access list is set without [`evm_mut`](BlockExecutor::evm_mut), which would drop the
    /// results that are left.
    fn execute_transaction_with_index_and_result_closure(
        &mut self,
        tx: impl ExecutableTx<Self>,
        tx_index: usize,
        f: impl FnOnce(&Self::Result),
    ) -> Result<GasOutput, BlockExecutionError>
    where
        DB: BalIndexedDatabase,
    {
        self.eth.evm.db_mut().set_bal_index(tx_index as u64 + 1);
        self.execute_transaction_with_result_closure(tx, f)
    }

    fn commit_transaction(&mut self, output: Self::Result) -> GasOutput {
        if let Ahead::Executed(results) = &mut self.ahead
            && let Err(obstacle) = results.commit()
        {
            self.give_up(obstacle);
        }
        self.eth.commit_transaction(output)
    }

    fn finish(self) -> Result<(Self::Evm, BlockExecutionResult<R::Receipt>), BlockExecutionError> {
        self.eth.finish()
    }

    fn evm_mut(&mut self) -> &mut Self::Evm {
        if matches!(&self.ahead, Ahead::Executed(results) if !results.is_empty()) {
            self.give_up(Obstacle::Interrupted);
        }
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
    /// The errors of [`EthBlockExecutor`], and an internal error with a [`BlockError`](crate::BlockError)
    /// inside if the block is cancelled. As in sequential execution, the transactions before the error are
    /// committed.
    fn execute_block(
        mut self,
        transactions: impl IntoIterator<Item = impl ExecutableTx<Self>>,
    ) -> Result<BlockExecutionResult<R::Receipt>, BlockExecutionError> {
        let (transactions, signed): (Vec<_>, Vec<_>) = transactions
            .into_iter()
            .map(ExecutableTxParts::into_parts)
            .map(|(env, signed)| (Transaction { hash: signed.tx().trie_hash(), env }, signed))
            .unzip();
        match self.rules_of_block(&transactions) {
            Some(rules) => {
                self.apply_pre_execution_changes()?;
                self.execute_transactions(rules, transactions, signed)?;
                self.apply_post_execution_changes()
            }
            None => {
                let envs = transactions.into_iter().map(|transaction| transaction.env);
                self.eth.execute_block(envs.zip(signed))
            }
        }
    }
}

impl<DB: Database, I, Spec, R: ReceiptBuilder> fmt::Debug for ParallelExecutor<'_, DB, I, Spec, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParallelExecutor")
            .field("ctx", &self.eth.ctx)
            .field("engine", &self.engine)
            .field("ahead", &self.ahead)
            .finish_non_exhaustive()
    }
}
