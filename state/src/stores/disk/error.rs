//! What can go wrong with a store on disk.

use std::{
    error::Error,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use alloy_primitives::{Address, B256};
use revm_database_interface::DBErrorMarker;

use crate::{model::mismatch::Mismatch, stores::memory::MissingCode, trie::error::TrieError};

/// Why a store on disk cannot be opened, read or written.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DiskError {
    /// The database under it failed: the disk is full, or cannot be read, or may not be.
    #[error("{}: cannot {operation}: {source}", .path.display())]
    Database {
        /// Where the store is.
        path: PathBuf,
        /// What was being done.
        operation: Operation,
        /// What the database says.
        source: Arc<dyn Error + Send + Sync>,
    },
    /// Somebody else has it open.
    #[error("{}: the store is in use by another process", .path.display())]
    InUse {
        /// Where the store is.
        path: PathBuf,
    },
    /// There is no store.
    #[error("{}: there is no store here", .path.display())]
    Absent {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// There is something already where a store is to be made.
    #[error("{}: there is something here already", .path.display())]
    Occupied {
        /// Where the store was to be made.
        path: PathBuf,
    },
    /// What is there is something else.
    #[error("{}: this is no store: {reason}", .path.display())]
    Foreign {
        /// Where it is.
        path: PathBuf,
        /// How that shows.
        reason: String,
    },
    /// It was made by another version of this library.
    #[error("{}: the store has format {found}, and this program has format {expected}", .path.display())]
    Version {
        /// Where the store is.
        path: PathBuf,
        /// The format that is understood.
        expected: u32,
        /// The format that the store has.
        found: u32,
    },
    /// It was never finished: whoever made it did not come to the end of the state that it begins with.
    #[error("{}: the state that the store begins with is not complete", .path.display())]
    Unfinished {
        /// Where the store is.
        path: PathBuf,
    },
    /// Something in it is not as it was written.
    #[error("{}: the store is damaged: {what}: {reason}", .path.display())]
    Damaged {
        /// Where the store is.
        path: PathBuf,
        /// What is damaged.
        what: String,
        /// How that shows.
        reason: String,
    },
    /// The flat state has another root than its last block says.
    #[error("block {number} has the state root {expected}, but the accounts and slots have {found}")]
    Root {
        /// The number of the last block.
        number: u64,
        /// What the block says.
        expected: B256,
        /// What the state has.
        found: B256,
    },
    /// The slots of an account have another root than the account says.
    #[error(
        "the account with the hashed address {account} has the storage root {expected}, but its slots have {found}"
    )]
    StorageRoot {
        /// The hash of its address.
        account: B256,
        /// What the account says.
        expected: B256,
        /// What its slots have.
        found: B256,
    },
    /// The changes were not made on this state. Boxed, as it is large and rare.
    #[error("the changes do not fit the state: {0}")]
    Misfit(Box<Mismatch>),
    /// A trie leads nowhere: the store is damaged.
    #[error("the store is damaged: {0}")]
    Trie(#[from] TrieError),
    /// An account has a code that is not there.
    #[error(transparent)]
    MissingCode(#[from] MissingCode),
    /// What undoes a block is not kept so long.
    #[error("cannot go back to block {to}: the last one is {head}, and {kept} blocks can be undone")]
    TooFarBack {
        /// Where to go.
        to: u64,
        /// The last block.
        head: u64,
        /// How many blocks can be undone.
        kept: u64,
    },
    /// A block that does not follow the last one.
    #[error("block {number} does not follow block {head}")]
    OutOfOrder {
        /// The number that it has.
        number: u64,
        /// The number of the last block.
        head: u64,
    },
    /// A block whose changes were staged on another state than the one after the last block.
    #[error("block {number} was staged on a state that is not the last block's any more")]
    StagedElsewhere {
        /// The number that it has.
        number: u64,
    },
    /// An account that was listed twice in the state that a store begins with.
    #[error("the account {0} is listed twice")]
    Twice(Address),
}

/// What was being done when the database failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Making a store.
    Create,
    /// Opening one.
    Open,
    /// Reading from it.
    Read,
    /// BlockWrites to it.
    Write,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create => "create the store",
            Self::Revealed => "open the store",
            Self::Read => "read",
            Self::Write => "write",
        })
    }
}

impl DBErrorMarker for DiskError {}

impl DiskError {
    /// The database failed at something.
    pub(super) fn database(path: &Path, operation: Operation, source: impl Error + Send + Sync + 'static) -> Self {
        Self::Database { path: path.to_owned(), operation, source: Arc::new(source) }
    }
}

impl From<Mismatch> for DiskError {
    fn from(mismatch: Mismatch) -> Self {
        Self::Misfit(Box::new(mismatch))
    }
}
