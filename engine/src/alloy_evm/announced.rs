//! Announced transactions: the transactions of a block that a client is going to give one by one.
//!
//! The block is executed in parallel when the client gives the first transaction. Then the client receives
//! the result of each transaction when it gives that transaction. So the state, the receipts and the gas
//! between two transactions are those of sequential execution. A result holds only after the results before
//! it: a client that deviates from what it announced loses the results that are left.

use std::{fmt, vec};

use alloy_primitives::B256;
use revm::context::TxEnv;

use crate::{
    alloy_evm::{
        obstacle::Obstacle,
        run::{Executed, ExecutedTransaction},
    },
    block::{block::Transaction, error::BlockError},
};

/// Returns the announced transactions, and waits for them if need be.
pub(super) type Announcement<'a> = Box<dyn FnOnce() -> Option<Vec<Transaction>> + 'a>;

/// What an executor knows about the transactions that the client is going to give.
///
/// ```text
///   Unannounced -- announce --> Announced -- first transaction, --> Executed
///        |                          |        no obstacle                |
///        | second transaction       | first transaction, obstacle       | deviation, error of the engine
///        v                          v                                   v
///       Over                       Over                                Over
/// ```
#[derive(Default)]
pub(super) enum Ahead<'a> {
    /// Nothing was announced, and at most one transaction was committed.
    #[default]
    Unannounced,
    /// The transactions were announced, and none was given.
    Announced(Announcement<'a>),
    /// They were executed.
    Executed(Results),
    /// No result is left: each transaction is executed when the client gives it.
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

/// What there is for a transaction that the client gives.
#[derive(Debug)]
pub(super) enum Found {
    /// Its result.
    Result(ExecutedTransaction),
    /// The engine stopped at it.
    Stopped(BlockError),
    /// Nothing: the client must execute it.
    Nothing,
}

/// The results that are left.
#[derive(Debug)]
pub(super) struct Results {
    /// The announced transactions that the client has not given yet.
    left: vec::IntoIter<Transaction>,
    executed: vec::IntoIter<ExecutedTransaction>,
    /// The error at which the engine stopped.
    error: Option<BlockError>,
    last: LastResult,
}

impl Results {
    pub(super) fn new(announced: Vec<Transaction>, Executed { transactions, end }: Executed) -> Self {
        Self {
            left: announced.into_iter(),
            executed: transactions.into_iter(),
            error: end.err(),
            last: LastResult::Committed,
        }
    }

    /// What there is for the transaction with this hash and environment.
    ///
    /// # Errors
    ///
    /// If the client deviates from what it announced.
    pub(super) fn take(&mut self, hash: B256, env: &TxEnv) -> Result<Found, Obstacle> {
        if self.last == LastResult::HandedOut {
            return Err(Obstacle::Interrupted);
        }
        if !self.left.next().is_some_and(|announced| is_same(&announced, hash, env)) {
            return Err(Obstacle::Unexpected);
        }
        self.last = LastResult::HandedOut;
        Ok(match self.executed.next() {
            Some(executed) => Found::Result(executed),
            None => {
                Found::Stopped(self.error.take().expect("a block without an error has all of its results"))
            }
        })
    }

    /// Notes that the client commits a result. That it is the one that was handed out cannot be checked.
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

/// Whether the client gives what it announced. The hash alone does not say so: it covers neither the sender
/// nor what a client changes in the environment.
pub(super) fn is_same(announced: &Transaction, hash: B256, env: &TxEnv) -> bool {
    announced.hash == hash && announced.env == *env
}

#[cfg(test)]
mod tests {
    use blockloom_state::Changes;
    use revm::context_interface::result::{ExecutionResult, Output, ResultGas, SuccessReason};

    use super::*;
    use crate::block::outcome::Outcome;

    fn announced() -> [Transaction; 2] {
        [1, 2].map(|number| Transaction {
            hash: B256::repeat_byte(number),
            env: TxEnv { nonce: number.into(), ..TxEnv::default() },
        })
    }

    fn results() -> Results {
        let executed = || {
            let (gas, output) = (ResultGas::default(), Output::Call(Default::default()));
            let result =
                ExecutionResult::Success { reason: SuccessReason::Stop, gas, logs: Vec::new(), output };
            ExecutedTransaction { result, changes: Changes::default() }
        };
        let transactions = vec![executed(), executed()];
        Results::new(announced().to_vec(), Executed { transactions, end: Ok(Outcome::default()) })
    }

    #[test]
    fn a_commit_without_a_result_invalidates_the_results() {
        assert_eq!(results().commit(), Err(Obstacle::Interrupted));
        let mut results = results();
        let [first, _] = announced();
        assert!(matches!(results.take(first.hash, &first.env), Ok(Found::Result(_))));
        assert_eq!(results.commit(), Ok(()));
        assert_eq!(results.commit(), Err(Obstacle::Interrupted));
    }

    #[test]
    fn no_result_is_left_when_all_transactions_were_given() {
        let mut results = results();
        for Transaction { hash, env } in announced() {
            assert!(!results.is_empty());
            assert!(matches!(results.take(hash, &env), Ok(Found::Result(_))));
            assert_eq!(results.commit(), Ok(()));
        }
        assert!(results.is_empty());
        assert!(matches!(results.take(B256::ZERO, &TxEnv::default()), Err(Obstacle::Unexpected)));
    }

    #[test]
    fn a_result_belongs_to_the_whole_environment_of_its_transaction() {
        let [first, _] = announced();
        let changes: [fn(&mut TxEnv); 4] = [
            |env| env.caller = alloy_primitives::Address::repeat_byte(1),
            |env| env.gas_limit += 1,
            |env| env.data = vec![1].into(),
            |env| env.gas_priority_fee = Some(1),
        ];
        for change in changes {
            let mut env = first.env.clone();
            change(&mut env);
            assert!(matches!(results().take(first.hash, &env), Err(Obstacle::Unexpected)), "{env:?}");
        }
        let other = B256::repeat_byte(9);
        assert!(matches!(results().take(other, &first.env), Err(Obstacle::Unexpected)));
    }
}
