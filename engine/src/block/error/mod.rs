//! What can be wrong with a block, or with the world around it.
//!
//! Two kinds of trouble are errors. The block is invalid: consensus forbids it. Or the base could
//! not be read: nothing is known about the block then.

use std::{error::Error, fmt, sync::Arc};

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

/// Why a block was not executed, or not accepted. Nothing of it has any effect.
#[derive(Clone, Debug, thiserror::Error)]
#[error("block {number}: {reason}")]
pub struct BlockError {
    /// The number of the block.
    pub number: u64,
    /// What is wrong.
    pub reason: Reason,
}

/// What is wrong with a block, or around it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Reason {
    /// Consensus forbids the block.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The state before the block could not be read. The block may well be valid.
    #[error("{place}: reading the base failed: {source}")]
    Base {
        /// What was being executed.
        place: BlockStep,
        /// What the base said.
        source: Arc<dyn Error + Send + Sync>,
    },
    /// A precompile, or another part that the embedder supplied, gave up.
    #[error("{place}: execution was abandoned: {message}")]
    Abandoned {
        /// What was being executed.
        place: BlockStep,
        /// What it said.
        message: String,
    },
    /// Something panicked: a base, a precompile, the callback, or Blockloom itself.
    #[error("{place}: a panic: {message}")]
    Panicked {
        /// What was being executed, or told.
        place: BlockStep,
        /// What it said.
        message: String,
    },
    /// The caller did not want the rest of the block.
    #[error("{place}: the caller cancelled the block")]
    Cancelled {
        /// The last step that was told.
        place: BlockStep,
    },
}

/// Why consensus forbids a block.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// The header does not follow from its parent or from the rules.
    #[error("header: {0}")]
    Header(#[from] HeaderError),
    /// The body is not the one that the header commits to.
    #[error("body: {0}")]
    Body(#[from] BodyError),
    /// An ommer may not be included here.
    #[error("ommer {position}: {reason}")]
    Ommer {
        /// Its position among the block's ommers.
        position: usize,
        /// Why not.
        reason: OmmerError,
    },
    /// A transaction may not stand where it stands.
    #[error("transaction {index} ({hash}): {reason}")]
    Transaction {
        /// Its place in the block.
        index: TxIndex,
        /// Its hash.
        hash: B256,
        /// Why not.
        reason: TransactionError,
    },
    /// A call to a system contract failed.
    #[error("system call to {contract}: {reason}")]
    SystemCall {
        /// The contract.
        contract: Address,
        /// How it failed.
        reason: SystemCallError,
    },
    /// A log of the deposit contract is not a deposit.
    #[error("deposit log of transaction {index}: {reason}")]
    Deposit {
        /// The transaction that emitted it.
        index: TxIndex,
        /// What is wrong with it.
        reason: DepositError,
    },
    /// The block says that it must have a parent beacon block root, and has none.
    #[error("the parent beacon block root is missing")]
    MissingBeaconRoot,
    /// The block's environment lacks what its fork needs.
    #[error("environment: {0}")]
    Environment(String),
    /// The access list that came with the block is not the block's.
    #[error("access list: {0}")]
    List(#[from] ListError),
    /// What execution yields is not what the header says.
    #[error("outcome: {0}")]
    Outcome(#[from] OutcomeError),
}

/// Why a transaction may not stand where it stands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransactionError {
    /// Nobody signed it: the signature fits no key, or the fork does not allow its form.
    #[error("the signature is invalid")]
    Signature,
    /// It is protected against replay (EIP-155) before the fork that knows such signatures.
    #[error("it is signed for a chain, which the fork does not know yet")]
    Protected,
    /// It has a type that Ethereum does not know.
    #[error("its type {0} is unknown")]
    UnknownType(u8),
    /// It asks for more gas than the block has left.
    #[error("its gas limit {limit} exceeds the {available} that the block has left")]
    GasAboveBlock {
        /// What it asks for.
        limit: u64,
        /// What is left.
        available: u64,
    },
    /// It has more blobs than the block has room for.
    #[error("its blob gas {wanted} exceeds the {available} that the block has left")]
    BlobsAboveBlock {
        /// What its blobs take.
        wanted: u64,
        /// What is left.
        available: u64,
    },
    /// revm refused it before running it.
    #[error(transparent)]
    Refused(#[from] InvalidTransaction),
}

/// How a call to a system contract failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SystemCallError {
    /// There is no code where the contract should be.
    #[error("the contract has no code")]
    NoCode,
    /// The contract reverted or halted.
    #[error("{0}")]
    Failed(String),
}

/// What is wrong with a log of the deposit contract.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DepositError {
    /// Its data has not the length that five fixed fields make.
    #[error("its data has {0} bytes instead of 576")]
    Length(usize),
    /// A field does not lie where it should, or has another length.
    #[error("field {field} does not lie where it should, or has another length")]
    Layout {
        /// The name of the field.
        field: &'static str,
    },
}

/// What was being executed when something failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockStep {
    /// What happens before the first transaction.
    Opening,
    /// A transaction.
    Transaction(TxIndex, B256),
    /// What happens after the last transaction.
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

impl Reason {
    /// The same reason, said of block `number`.
    pub(crate) fn of(self, number: u64) -> BlockError {
        BlockError { number, reason: self }
    }
}

impl Invalid {
    /// The same reason, said of block `number`.
    pub fn of(self, number: u64) -> BlockError {
        Reason::from(self).of(number)
    }
}
