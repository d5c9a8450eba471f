//! Announced transactions: a client that gives a block's transactions one by one tells them beforehand.
//!
//! The block is executed in parallel when the client gives the first transaction. The results are then handed out, each
//! when the client gives its transaction. So the state, the receipts and the gas between two transactions are those of
//! sequential execution. A client that deviates loses the results that are left: they hold only after the announced ones
//! before them.

use std::{fmt, vec};

use alloy_primitives::{Address, B256};

use crate::{
    alloy_evm::{
        obstacle::Obstacle,
        run::{ExecutedBlock, ExecutedTransaction},
    },
    block::{block::Transaction, error::BlockError},
};

/// Waits for the announced transactions, and returns them.
pub(super) type Announcement<'a> = Box<dyn FnOnce() -> Option<Vec<Transaction>> + 'a>;

/// What an executor knows about transactions that the client will give.
///
/// ```text
///                announce              first transaction          last one, or a deviation
///   Unannounced ----------> Announced --------------------> Executed -------------> Over
///        \____________________________first transaction_____________________________/
/// ```
#[derive(Default)]
pub(super) enum Ahead<'a> {
    /// Nothing, and no transaction was given.
    #[default]
    Unannounced,
    /// The transactions were announced.
    Announced(Announcement<'a>),
    /// They were executed.
    Executed(Results),
    /// There are no results for transactions that come now.
    Over,
}

impl fmt::Debug for Ahead<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unannounced => "Unannounced",
            Self::Announced(_) => "Announced",
            Self::Executed(_) => "Executed",
            Self::Over => "Over",
        })
    }
}

/// What the client did with the last result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LastResult {
    Committed,
    HandedOut,
}

/// The results that are left.
#[derive(Debug)]
pub(super) struct Results {
    /// Hash and sender of each announced transaction that was not given yet.
    left: vec::IntoIter<(B256, Address)>,
    executed: vec::IntoIter<ExecutedTransaction>,
    /// The error at which the engine stopped.
    error: Option<BlockError>,
    last: LastResult,
}

impl Results {
    pub(super) fn new(
        announced: Vec<Transaction>,
        ExecutedBlock { transactions, end }: ExecutedBlock,
    ) -> Self {
        let left: Vec<_> =
            announced.into_iter().map(|transaction| (transaction.hash, transaction.env.caller)).collect();
        Self {
            left: left.into_iter(),
            executed: transactions.into_iter(),
            error: end.err(),
            last: LastResult::Committed,
        }
    }

    /// The result of the transaction with this hash and sender, or the error of the engine.
    ///
    /// # Errors
    ///
    /// If the client deviates from what it announced.
    pub(super) fn take(
        &mut self,
        hash: B256,
        sender: Address,
    ) -> Result<Result<ExecutedTransaction, BlockError>, Obstacle> {
        if self.last == LastResult::HandedOut {
            return Err(Obstacle::Interrupted);
        }
        if self.left.next() != Some((hash, sender)) {
            return Err(Obstacle::Unexpected);
        }
        self.last = LastResult::HandedOut;
        match self.executed.next() {
            Some(executed) => Ok(Ok(executed)),
            None => Ok(Err(self.error.take().expect("a block without an error has all of its results"))),
        }
    }

    /// Notes that the client commits a result.
    ///
    /// # Errors
    ///
    /// If no result was handed out.
    pub(super) fn commit(&mut self) -> Result<(), Obstacle> {
        if self.last == LastResult::Committed {
            return Err(Obstacle::Interrupted);
        }
        self.last = LastResult::Committed;
        Ok(())
    }

    /// Whether the client has given all announced transactions.
    pub(super) fn is_empty(&self) -> bool {
        self.left.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use blockloom_state::Changes;
    use revm::context_interface::result::{ExecutionResult, Output, ResultGas, SuccessReason};

    use super::*;
    use crate::block::outcome::Outcome;

    const ANNOUNCED: [(B256, Address); 2] =
        [(B256::repeat_byte(1), Address::ZERO), (B256::repeat_byte(2), Address::ZERO)];

    fn results() -> Results {
        let executed = || {
            let (gas, output) = (ResultGas::default(), Output::Call(Default::default()));
            let result =
                ExecutionResult::Success { reason: SuccessReason::Stop, gas, logs: Vec::new(), output };
            ExecutedTransaction { result, changes: Changes::default() }
        };
        let announced = ANNOUNCED.map(|(hash, caller)| Transaction {
            hash,
            env: revm::context::TxEnv { caller, ..Default::default() },
        });
        let transactions = announced.iter().map(|_| executed()).collect();
        Results::new(announced.to_vec(), ExecutedBlock { transactions, end: Ok(Outcome::default()) })
    }

    #[test]
    fn a_commit_of_something_else_invalidates_the_results() {
        assert_eq!(results().commit(), Err(Obstacle::Interrupted));
        let mut results = results();
        let [(hash, sender), _] = ANNOUNCED;
        assert!(matches!(results.take(hash, sender), Ok(Ok(_))));
        assert_eq!(results.commit(), Ok(()));
        assert_eq!(results.commit(), Err(Obstacle::Interrupted));
    }

    #[test]
    fn no_result_is_left_when_all_transactions_were_given() {
        let mut results = results();
        for (hash, sender) in ANNOUNCED {
            assert!(!results.is_empty());
            assert!(matches!(results.take(hash, sender), Ok(Ok(_))));
            assert_eq!(results.commit(), Ok(()));
        }
        assert!(results.is_empty());
        assert!(matches!(results.take(B256::ZERO, Address::ZERO), Err(Obstacle::Unexpected)));
    }
}
