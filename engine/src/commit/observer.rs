//! What is reported of committed blocks: steps, outcomes, and how far the execution has come.

use std::ops::ControlFlow;

use blockloom_state::Changes;
use revm::context_interface::result::ResultGas;

use crate::block::{
    error::BlockStep,
    outcome::{Outcome, Receipt},
    transaction_result::TransactionResult,
};

/// One committed step of a block: the steps before the transactions, a transaction, or the steps after
/// them.
#[derive(Debug)]
#[non_exhaustive]
pub struct CommittedStep<'a> {
    /// The position in the block.
    pub step: BlockStep,
    /// The receipt, if the step is a transaction.
    pub receipt: Option<&'a Receipt>,
    /// How the transaction ended and what it returned, if the step is a transaction.
    pub result: Option<TransactionResult>,
    /// The gas of the transaction; zero for other steps.
    pub gas: ResultGas,
    /// The changes of the step to the state before it.
    pub changes: Changes,
}

/// The observer of what is committed.
pub(crate) enum Observer<'o, W = ()> {
    /// No observer: the changes of single steps are not recorded.
    None,
    /// A callback for each step in order, once it is committed. It also receives what watches the runs.
    Steps(&'o mut dyn FnMut(&mut W, CommittedStep<'_>) -> ControlFlow<()>),
    /// A callback for the outcome of each block.
    Blocks(&'o mut dyn FnMut(Outcome) -> ControlFlow<()>),
}

/// The step that is executed, for the error report of a panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The position of its block among the blocks.
    pub(crate) block: usize,
    /// The step of the block.
    pub(crate) step: BlockStep,
}

impl Progress {
    /// The opening of the first block.
    pub(crate) const START: Self = Self { block: 0, step: BlockStep::Opening };
}

impl<'o, W> Observer<'o, W> {
    /// The same observer for a shorter time.
    pub(crate) fn shorten<'s>(self) -> Observer<'s, W>
    where
        'o: 's,
    {
        match self {
            Self::None => Observer::None,
            Self::Steps(callback) => Observer::Steps(callback),
            Self::Blocks(callback) => Observer::Blocks(callback),
        }
    }
}
