//! The errors of a store on disk.

use std::{
    error::Error,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use alloy_primitives::{Address, B256};
use revm_database_interface::DBErrorMarker;

use crate::{
    model::{base::MissingCode, mismatch::Mismatch},
    trie::error::TrieError,
};

/// Why a store on disk cannot be opened, read or written.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DiskError {
    /// The database failed, for example because the disk is full or not readable.
    #[error("{}: cannot {operation}: {source}", .path.display())]
    Database {
        /// The path of the store.
        path: PathBuf,
        /// The operation that failed.
        operation: Operation,
        /// The error of the database.
        source: Arc<dyn Error + Send + Sync>,
    },
    /// Another process has the store open.
    #[error("{}: the store is in use by another process", .path.display())]
    InUse {
        /// The path of the store.
        path: PathBuf,
    },
    /// The path has no store.
    #[error("{}: there is no store here", .path.display())]
    NotFound {
        /// The path.
        path: PathBuf,
    },
    /// The path of a new store is not empty.
    #[error("{}: the folder is not empty", .path.display())]
    AlreadyExists {
        /// The path.
        path: PathBuf,
    },
    /// The path has other content than a store.
    #[error("{}: this is not a store: {reason}", .path.display())]
    NotAStore {
        /// The path.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The store was made by another version of this library.
    #[error("{}: the store has format {found}, but this program reads format {expected}", .path.display())]
    UnsupportedFormat {
        /// The path of the store.
        path: PathBuf,
        /// The format that this library reads.
        expected: u32,
        /// The format of the store.
        found: u32,
    },
    /// The store was never finished: writing its first state was interrupted.
    #[error("{}: the first state of the store is incomplete", .path.display())]
    Incomplete {
        /// The path of the store.
        path: PathBuf,
    },
    /// Something in the store differs from what was written.
    #[error("{}: the store is damaged: {what}: {reason}", .path.display())]
    Damaged {
        /// The path of the store.
        path: PathBuf,
        /// What is damaged.
        what: String,
        /// What is wrong.
        reason: String,
    },
    /// The flat state has another root than its last block.
    #[error("block {number} has the state root {expected}, but the accounts and slots have {found}")]
    Root {
        /// The number of the last block.
        number: u64,
        /// The root of the block.
        expected: B256,
        /// The root of the state.
        found: B256,
    },
    /// The slots of an account have another root than the account.
    #[error(
        "the account with the hashed address {account} has the storage root {expected}, but its slots have {found}"
    )]
    StorageRoot {
        /// The hash of its address.
        account: B256,
        /// The storage root of the account.
        expected: B256,
        /// The root of its slots.
        found: B256,
    },
    /// The changes started from another state. Boxed, because it is large and rare.
    #[error("the changes do not fit the state: {0}")]
    Mismatch(Box<Mismatch>),
    /// A trie has a missing or malformed node: the store is damaged.
    #[error("the store is damaged: {0}")]
    Trie(#[from] TrieError),
    /// The code of an account is missing.
    #[error(transparent)]
    MissingCode(#[from] MissingCode),
    /// The undo data of the blocks is not kept that far back.
    #[error("cannot go back to block {to}: the last one is {head}, and {kept} blocks can be undone")]
    TooFarBack {
        /// The number of the requested block.
        to: u64,
        /// The last block.
        head: u64,
        /// The number of blocks that can be undone.
        kept: u64,
    },
    /// The block does not follow the last one.
    #[error("block {number} does not follow block {head}")]
    OutOfOrder {
        /// The number of the block.
        number: u64,
        /// The number of the last block.
        head: u64,
    },
    /// The changes of the block were staged on another state than the one after the last block.
    #[error("block {number} was staged on a state that is no longer the last block's")]
    StagedOnOtherState {
        /// The number of the block.
        number: u64,
    },
    /// The first state of a store lists an account twice.
    #[error("the account {0} is listed twice")]
    DuplicateAccount(Address),
}

/// An operation of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Creating a store.
    Create,
    /// Opening a store.
    Open,
    /// Reading from a store.
    Read,
    /// Writing to a store.
    Write,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create => "create the store",
            Self::Open => "open the store",
            Self::Read => "read",
            Self::Write => "write",
        })
    }
}

impl DBErrorMarker for DiskError {}

impl DiskError {
    /// The error of a failed operation.
    pub(super) fn database(
        path: &Path,
        operation: Operation,
        source: impl Error + Send + Sync + 'static,
    ) -> Self {
        Self::Database { path: path.to_owned(), operation, source: Arc::new(source) }
    }
}

impl From<Mismatch> for DiskError {
    fn from(mismatch: Mismatch) -> Self {
        Self::Mismatch(Box::new(mismatch))
    }
}
