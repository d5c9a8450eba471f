//! The results of single transactions, which `replay --transactions` adds to the line of their block.

use std::ops::ControlFlow;

use alloy_primitives::{Address, B256, Bytes, Log};
use blockloom_engine::{Block, BlockStep, CommittedStep, Config, Engine, TransactionEnd};
use blockloom_fixtures::CaseBase;
use serde::Serialize;

/// The results of the last block's transactions.
#[derive(Debug, Default)]
pub(crate) enum TransactionLines {
    /// They are not asked for.
    #[default]
    Omitted,
    /// Those of the transactions that were committed.
    Written(Vec<TransactionLine>),
}

/// How one transaction ended.
#[derive(Debug, Serialize)]
pub(crate) struct TransactionLine {
    index: usize,
    hash: B256,
    status: &'static str,
    /// Why it succeeded or halted.
    reason: Option<String>,
    gas: u64,
    refunded: u64,
    created: Option<Address>,
    output: Bytes,
    logs: Vec<Log>,
}

impl TransactionLines {
    /// Executes a block once more, sequentially, and keeps the results if they are asked for. So the measured executions
    /// take no longer.
    pub(crate) fn execute(&mut self, base: CaseBase<'_>, block: &Block) {
        let Self::Written(lines) = self else { return };
        lines.clear();
        // An error of the block is reported by the measured execution.
        let _ = Engine::new(Config::sequential()).execute_with(&base, block, |step| {
            lines.extend(TransactionLine::of(step));
            ControlFlow::Continue(())
        });
    }

    /// The lines, if they are asked for.
    pub(crate) fn lines(&self) -> Option<&[TransactionLine]> {
        match self {
            Self::Omitted => None,
            Self::Written(lines) => Some(lines),
        }
    }
}

impl TransactionLine {
    /// The line of a committed step, if the step is a transaction.
    fn of(step: CommittedStep<'_>) -> Option<Self> {
        let BlockStep::Transaction(index, hash) = step.step else { return None };
        let (receipt, result) = (step.receipt?, step.result?);
        let (status, reason) = match result.end {
            TransactionEnd::Success(reason) => ("success", Some(format!("{reason:?}"))),
            TransactionEnd::Revert => ("revert", None),
            TransactionEnd::Halt(reason) => ("halt", Some(format!("{reason:?}"))),
        };
        Some(Self {
            index: index.get(),
            hash,
            status,
            reason,
            gas: step.gas.tx_gas_used(),
            refunded: step.gas.final_refunded(),
            created: result.created,
            output: result.output,
            logs: receipt.logs.clone(),
        })
    }
}
