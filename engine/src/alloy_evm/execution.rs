//! The execution of a block's transactions on the engine, at once or when the first announced one is given.

use alloy_consensus::{Transaction as _, TransactionEnvelope, TxReceipt};
use alloy_eips::Encodable2718;
use alloy_evm::{
    Evm, FromRecoveredTx, FromTxWithEncoded, RecoveredTx,
    block::{BlockExecutionError, BlockExecutor, StateDB},
    eth::{EthEvmContext, EthTxResult, receipt_builder::ReceiptBuilder, spec::EthExecutorSpec},
};
use alloy_primitives::{B256, Log};
use revm::{
    Inspector,
    context::TxEnv,
    context_interface::result::{EVMError, ResultAndState},
};

use crate::{
    alloy_evm::{
        announced::{Ahead, Found, Results, is_same},
        block::{ParallelExecutor, TxResultOf},
        commit,
        error::{is_invalid, stop_if_cancelled},
        obstacle::Obstacle,
        run::{Executed, ExecutedTransaction},
    },
    block::{
        block::{Block, Frame, GivenList, Transaction},
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

    /// Executes a block on the engine; `None`, and a report, if there is an obstacle.
    fn run(&mut self, block: &Block) -> Option<Executed> {
        match self.runner.run(self.eth.evm.db_mut(), self.engine, block) {
            Ok(executed) => {
                let is_failed = executed.end.as_ref().is_err_and(|error| !is_invalid(error));
                if !is_failed {
                    self.reports.parallel();
                }
                Some(executed)
            }
            Err(obstacle) => {
                self.report(obstacle);
                None
            }
        }
    }

    /// Executes the transactions on the engine and commits them to the database. What the engine does not
    /// execute is executed sequentially.
    pub(super) fn execute_transactions<T: RecoveredTx<R::Transaction>>(
        &mut self,
        rules: Rules,
        transactions: Vec<Transaction>,
        signed: Vec<T>,
    ) -> Result<(), BlockExecutionError> {
        let block = self.block(rules, transactions);
        let (executed, mut stopped) = match self.run(&block) {
            Some(Executed { transactions, end }) => (transactions, end.err()),
            None => (Vec::new(), None),
        };
        let count = executed.len();
        for (executed, signed) in executed.into_iter().zip(&signed) {
            let result = self.result(executed, signed.tx())?;
            let _ = self.eth.commit_transaction(result);
        }
        if let Some(error) = stopped.take() {
            stopped = Some(stop_if_cancelled(error)?);
        }
        for (transaction, signed) in block.transactions.into_iter().zip(signed).skip(count) {
            self.eth.execute_transaction((transaction.env, signed))?;
            if let Some(error) = stopped.take() {
                self.reports.failed(&error);
            }
        }
        // The engine may have failed after the last transaction.
        if let Some(error) = stopped {
            self.reports.failed(&error);
        }
        Ok(())
    }

    /// What there is for a transaction that the client gives: the block is executed if it is the first
    /// announced one.
    pub(super) fn take_announced(&mut self, env: &TxEnv, signed: &impl RecoveredTx<R::Transaction>) -> Found {
        match &self.ahead {
            Ahead::Over => return Found::Nothing,
            Ahead::Unannounced => {
                // A single transaction is nothing to report.
                if !self.eth.receipts.is_empty() {
                    self.give_up(self.declined.unwrap_or(Obstacle::OneByOne));
                }
                return Found::Nothing;
            }
            Ahead::Announced(_) | Ahead::Executed(_) => {}
        }
        let hash = signed.tx().trie_hash();
        self.execute_announced(hash, env);
        let Ahead::Executed(results) = &mut self.ahead else { return Found::Nothing };
        match results.take(hash, env) {
            Ok(stopped @ Found::Stopped(_)) => {
                self.ahead = Ahead::Over;
                stopped
            }
            Ok(found) => found,
            Err(obstacle) => {
                self.give_up(obstacle);
                Found::Nothing
            }
        }
    }

    /// Executes the announced transactions, if they were not executed yet. The client gives the one with this
    /// hash and environment first.
    fn execute_announced(&mut self, hash: B256, env: &TxEnv) {
        let announcement = match std::mem::replace(&mut self.ahead, Ahead::Over) {
            Ahead::Announced(announcement) => announcement,
            ahead => {
                self.ahead = ahead;
                return;
            }
        };
        // The obstacles are looked for first, because the transactions may not all be there yet.
        let rules = match self.rules_without_lookup() {
            Ok(rules) => rules,
            Err(obstacle) => {
                if self.eth.ctx.tx_count_hint != Some(1) {
                    self.report(obstacle);
                }
                return;
            }
        };
        let Some(transactions) = announcement() else { return self.report(Obstacle::Withdrawn) };
        if !transactions.first().is_some_and(|first| is_same(first, hash, env)) {
            return self.report(Obstacle::Unexpected);
        }
        if transactions.len() < 2 {
            return;
        }
        if self.is_small(&transactions) {
            return self.report(Obstacle::Small);
        }
        let block = self.block(rules, transactions);
        if let Some(executed) = self.run(&block) {
            self.ahead = Ahead::Executed(Results::new(block.transactions, executed));
        }
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
}
