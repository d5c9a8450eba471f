//! How a transaction ended, and what it returned: what its receipt does not say.

use alloy_primitives::{Address, Bytes, Log, TxKind};
use revm::context_interface::result::{ExecutionResult, HaltReason, Output, ResultGas, SuccessReason};

/// How a transaction ended, and what it returned. With the receipt and the gas of its
/// [`CommittedStep`](crate::CommittedStep) this is revm's whole result.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct TransactionResult {
    /// How it ended.
    pub end: TransactionEnd,
    /// What it returned: the result of the call, the code of the created contract, or the reason of a revert.
    pub output: Bytes,
    /// The address of the contract that it created, if it is a creation and succeeded.
    pub created: Option<Address>,
}

/// How a transaction ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum TransactionEnd {
    /// It succeeded.
    Success(SuccessReason),
    /// It reverted.
    Revert,
    /// It failed, and its gas is spent.
    Halt(HaltReason),
}

impl TransactionResult {
    /// Splits revm's result.
    pub(crate) fn split(result: ExecutionResult) -> (Self, ResultGas, Vec<Log>) {
        match result {
            ExecutionResult::Success { reason, gas, logs, output } => {
                let end = TransactionEnd::Success(reason);
                let (output, created) = match output {
                    Output::Call(output) => (output, None),
                    Output::Create(output, created) => (output, created),
                };
                (Self { end, output, created }, gas, logs)
            }
            ExecutionResult::Revert { gas, logs, output } => {
                (Self { end: TransactionEnd::Revert, output, created: None }, gas, logs)
            }
            ExecutionResult::Halt { reason, gas, logs } => {
                let end = TransactionEnd::Halt(reason);
                (Self { end, output: Bytes::new(), created: None }, gas, logs)
            }
        }
    }

    /// revm's result, as it was before [`split`](Self::split). `kind` is the recipient of the transaction.
    pub(crate) fn join(self, kind: TxKind, gas: ResultGas, logs: Vec<Log>) -> ExecutionResult {
        let Self { end, output, created } = self;
        match end {
            TransactionEnd::Success(reason) => {
                let output = match kind {
                    TxKind::Create => Output::Create(output, created),
                    TxKind::Call(_) => Output::Call(output),
                };
                ExecutionResult::Success { reason, gas, logs, output }
            }
            TransactionEnd::Revert => ExecutionResult::Revert { gas, logs, output },
            TransactionEnd::Halt(reason) => ExecutionResult::Halt { reason, gas, logs },
        }
    }
}
