//! The execution of a block's transactions on the engine, at once or when the first announced one is given.

use alloy_consensus::{Transaction as _, TransactionEnvelope, TxReceipt};
use alloy_eips::Encodable2718;
use alloy_evm::{
    Evm, FromRecoveredTx, FromTxWithEncoded, RecoveredTx,
    block::{BlockExecutionError, BlockExecutor, StateDB},
    eth::{EthEvmContext, EthTxResult, receipt_builder::ReceiptBuilder, spec::EthExecutorSpec},
};
use alloy_primitives::Log;
use blockloom_state::TxIndex;
use revm::{
    Inspector,
    context::TxEnv,
    context_interface::result::{EVMError, ResultAndState},
};

use crate::{
    alloy_evm::{
        announced::{Ahead, Results},
        block::{ParallelExecutor, TxResultOf},
        commit,
        error::{engine_error, failed_at},
        obstacle::Obstacle,
        run::{ExecutedBlock, ExecutedTransaction},
    },
    block::{
        block::{Block, Frame, GivenList, Transaction},
        error::BlockError,
        rules::Rules,
    },
};

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
    pub(super) fn execute_transactions<T: RecoveredTx<R::Transaction>>(
        &mut self,
        rules: Rules,
        transactions: Vec<Transaction>,
        signed: Vec<T>,
    ) -> Result<(), BlockExecutionError> {
        let block = self.block(rules, transactions);
        let run = self.runner.run(self.eth.evm.db_mut(), self.engine, &block);
        let Some(run) = run.map_err(BlockExecutionError::other)? else {
            self.report(Obstacle::Database);
            let mut envs = block.transactions.into_iter().map(|transaction| transaction.env).zip(signed);
            return envs.try_for_each(|transaction| self.eth.execute_transaction(transaction).map(drop));
        };
        let ExecutedBlock { transactions: executed, end } = run;
        let count = executed.len();
        for (executed, signed) in executed.into_iter().zip(&signed) {
            let result = self.result(executed, signed.tx())?;
            let _ = self.eth.commit_transaction(result);
        }
        match end {
            Ok(_) => {
                assert_eq!(count, signed.len(), "a valid block has all of its transactions executed");
                Ok(())
            }
            Err(error) => {
                let stopped = block.transactions.into_iter().zip(signed).nth(count);
                Err(self.alloy_error(error, stopped.map(|(transaction, signed)| (transaction.env, signed))))
            }
        }
    }

    /// Executes the announced transactions when the first of them is given.
    pub(super) fn run_ahead(&mut self) -> Result<(), BlockExecutionError> {
        match std::mem::replace(&mut self.ahead, Ahead::Over) {
            Ahead::Over => {}
            executed @ Ahead::Executed(_) => self.ahead = executed,
            // A single transaction is nothing to report.
            Ahead::Unannounced if self.eth.receipts.is_empty() => self.ahead = Ahead::Unannounced,
            Ahead::Unannounced => self.report(self.declined.unwrap_or(Obstacle::OneByOne)),
            Ahead::Announced(transactions) => {
                let Some(transactions) = transactions() else {
                    self.report(Obstacle::Withdrawn);
                    return Ok(());
                };
                if let Some(rules) = self.rules_of_block(&transactions) {
                    let block = self.block(rules, transactions);
                    let run = self.runner.run(self.eth.evm.db_mut(), self.engine, &block);
                    match run.map_err(BlockExecutionError::other)? {
                        Some(run) => self.ahead = Ahead::Executed(Results::new(block.transactions, run)),
                        None => self.report(Obstacle::Database),
                    }
                }
            }
        }
        Ok(())
    }

    /// alloy-evm's result of an executed transaction. The database has the state before it.
    pub(super) fn result(
        &mut self,
        ExecutedTransaction { result, changes }: ExecutedTransaction,
        signed: &R::Transaction,
    ) -> Result<TxResultOf<R>, BlockExecutionError> {
        let state = commit::evm_state(self.eth.evm.db_mut(), &changes).map_err(|error| {
            BlockExecutionError::evm(EVMError::<DB::Error>::Database(error), signed.trie_hash())
        })?;
        Ok(EthTxResult {
            result: ResultAndState::new(result, state),
            blob_gas_used: signed.blob_gas_used().unwrap_or_default(),
            tx_type: signed.tx_type(),
        })
    }

    /// alloy-evm's error for the transaction at which the engine stopped. The transaction runs once more,
    /// on the state before it, so that the client gets the error that it expects.
    pub(super) fn alloy_error(
        &mut self,
        error: BlockError,
        stopped: Option<(TxEnv, impl RecoveredTx<R::Transaction>)>,
    ) -> BlockExecutionError {
        let index = TxIndex::new(self.eth.receipts.len());
        let again = stopped.filter(|_| failed_at(&error) == Some(index));
        match again.map(|transaction| self.eth.execute_transaction_without_commit(transaction)) {
            Some(Err(error)) => error,
            _ => engine_error(error),
        }
    }
}
