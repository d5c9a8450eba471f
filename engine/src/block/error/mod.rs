//! Why a block was not executed or not accepted.
//!
//! There are two kinds of errors. Either the block is invalid: consensus forbids it. Or its execution
//! could not be completed, because the base failed for example: the block may be valid then.

use std::{any::Any, error::Error, fmt, sync::Arc};

use alloy_primitives::{Address, B256};
use blockloom_state::TxIndex;
use revm::context_interface::result::InvalidTransaction;

pub(crate) mod body;
pub(crate) mod header;
pub(crate) mod list;
pub(crate) mod ommers;
pub(crate) mod outcome;

use body::BodyError;
use header::HeaderError;
use list::ListError;
use ommers::OmmerError;
use outcome::OutcomeError;

/// Why a block was not executed or not accepted. The block has no effect then.
///
/// Its message is complete. [`source`](Error::source) leads to the rule that an invalid block breaks, or to the error of
/// the base itself, which can be downcast to its type:
///
/// ```
/// use blockloom_engine::{BlockError, Reason};
/// use std::error::Error;
///
/// fn is_missing_code(error: &BlockError) -> bool {
///     error.source().is_some_and(|source| source.is::<blockloom_state::MissingCode>())
/// }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BlockError {
    /// The number of the block.
    pub number: u64,
    /// The reason.
    pub reason: Reason,
}

/// The reason of a [`BlockError`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Reason {
    /// Consensus forbids the block.
    Invalid(Invalid),
    /// The base could not be read. The block may be valid.
    Base {
        /// The step that was executed.
        step: BlockStep,
        /// The error of the base.
        source: Arc<dyn Error + Send + Sync>,
    },
    /// A precompile, or another part of the embedder, gave up.
    Abandoned {
        /// The step that was executed.
        step: BlockStep,
        /// The message of that part.
        message: String,
    },
    /// A base, a precompile, the callback, or Blockloom itself panicked.
    Panicked {
        /// The step that was executed, or passed to the callback.
        step: BlockStep,
        /// The message of the panic.
        message: String,
    },
    /// The callback or a [`CancelHandle`](crate::CancelHandle) cancelled the rest of the block.
    Cancelled {
        /// The last step that was passed to the callback, or the step before which the handle was seen cancelled.
        step: BlockStep,
    },
}

/// Why consensus forbids a block.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Invalid {
    /// The header does not follow from its parent and the rules.
    #[error("header: {0}")]
    Header(#[from] HeaderError),
    /// The body is not the one that the header commits to.
    #[error("body: {0}")]
    Body(#[from] BodyError),
    /// An ommer may not be included in the block.
    #[error("ommer {position}: {reason}")]
    Ommer {
        /// The position among the block's ommers.
        position: usize,
        /// The reason.
        #[source]
        reason: OmmerError,
    },
    /// A transaction is invalid at its place in the block.
    #[error("transaction {index} ({hash}): {reason}")]
    Transaction {
        /// The transaction's index in the block.
        index: TxIndex,
        /// The transaction's hash.
        hash: B256,
        /// The reason.
        #[source]
        reason: TransactionError,
    },
    /// A call to a system contract failed.
    #[error("system call to {contract}: {reason}")]
    SystemCall {
        /// The contract.
        contract: Address,
        /// The reason.
        #[source]
        reason: SystemCallError,
    },
    /// A log of the deposit contract is not a deposit.
    #[error("deposit log of transaction {index}: {reason}")]
    Deposit {
        /// The transaction that emitted it.
        index: TxIndex,
        /// The reason.
        #[source]
        reason: DepositError,
    },
    /// The fork demands a parent beacon block root, and the block has none.
    #[error("the parent beacon block root is missing")]
    MissingBeaconRoot,
    /// The block's environment lacks a field that its fork needs.
    #[error("environment: {0}")]
    Environment(String),
    /// The access list that came with the block is wrong.
    #[error("access list: {0}")]
    List(#[from] ListError),
    /// The outcome contradicts the header.
    #[error("outcome: {0}")]
    Outcome(#[from] OutcomeError),
}

/// Why a transaction is invalid at its place in a block.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransactionError {
    /// The signature belongs to no key, or the fork forbids its form.
    #[error("the signature is invalid")]
    Signature,
    /// The signature contains a chain id (EIP-155), which the fork does not support yet.
    #[error("the signature contains a chain id, which the fork does not support yet")]
    Protected,
    /// Ethereum has no such transaction type.
    #[error("its type {0} is unknown")]
    UnknownType(u8),
    /// Its gas limit exceeds the gas that the block has left.
    #[error("its gas limit {limit} exceeds the {available} that the block has left")]
    GasAboveBlock {
        /// The transaction's gas limit.
        limit: u64,
        /// The gas that is left.
        available: u64,
    },
    /// Its blob gas exceeds the blob gas that the block has left.
    #[error("its blob gas {wanted} exceeds the {available} that the block has left")]
    BlobsAboveBlock {
        /// The blob gas of the transaction.
        wanted: u64,
        /// The blob gas that is left.
        available: u64,
    },
    /// revm's validation refused it.
    #[error(transparent)]
    Refused(#[from] InvalidTransaction),
}

/// Why a call to a system contract failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SystemCallError {
    /// There is no code at the address of the contract.
    #[error("the contract has no code")]
    NoCode,
    /// The contract reverted or halted.
    #[error("{0}")]
    Failed(String),
}

/// Why a log of the deposit contract is not a deposit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DepositError {
    /// The data has not the length of the five fields.
    #[error("its data has {0} bytes instead of 576")]
    Length(usize),
    /// A field has a wrong offset or a wrong length.
    #[error("field {field} has a wrong offset or a wrong length")]
    Layout {
        /// The name of the field.
        field: &'static str,
    },
}

/// A step of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockStep {
    /// Everything before the first transaction.
    Opening,
    /// The transaction with this index and hash.
    Transaction(TxIndex, B256),
    /// Everything after the last transaction.
    Closing,
}

impl fmt::Display for BlockStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opening => f.write_str("before the first transaction"),
            Self::Transaction(index, hash) => write!(f, "transaction {index} ({hash})"),
            Self::Closing => f.write_str("after the last transaction"),
        }
    }
}

impl fmt::Display for BlockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, reason } = self;
        write!(f, "block {number}: {reason}")
    }
}

impl Error for BlockError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.reason.source()
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(invalid) => invalid.fmt(f),
            Self::Base { step, source } => write!(f, "{step}: reading the base failed: {source}"),
            Self::Abandoned { step, message } => write!(f, "{step}: execution was abandoned: {message}"),
            Self::Panicked { step, message } => write!(f, "{step}: a panic: {message}"),
            Self::Cancelled { step } => write!(f, "{step}: the caller cancelled the block"),
        }
    }
}

impl Error for Reason {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Invalid(invalid) => invalid.source(),
            // The error itself, not the pointer around it, which cannot be downcast.
            Self::Base { source, .. } => Some(&**source),
            Self::Abandoned { .. } | Self::Panicked { .. } | Self::Cancelled { .. } => None,
        }
    }
}

impl From<Invalid> for Reason {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(invalid)
    }
}

impl Reason {
    /// The reason of a block that panicked at `step`.
    pub(crate) fn panicked(step: BlockStep, panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let message = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Self::Panicked { step, message: message.unwrap_or_else(|| "its message is no text".to_owned()) }
    }

    /// The error of block `number` with this reason.
    pub(crate) fn of(self, number: u64) -> BlockError {
        BlockError { number, reason: self }
    }
}

impl Invalid {
    /// The error of block `number` with this reason.
    pub fn of(self, number: u64) -> BlockError {
        Reason::from(self).of(number)
    }
}
