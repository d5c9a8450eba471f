//! The database under a store: one ordered space of keys, written in batches that are there whole or not
//! at all.
//!
//! Owns the database's folder and, beside it, the seal: a small file that says that this is a store, of
//! which format, and which block was written last. The database leaves out the end of its journal where
//! that was torn; the seal tells a torn end, which is none of ours, from one that was damaged later.
//! The only file that names the database.

use std::{
    fs,
    io::{self, ErrorKind},
    panic::catch_unwind,
    path::{Path, PathBuf},
};

use fjall::{
    Database, Keyspace, KeyspaceCreateOptions, PersistMode,
    config::{BlockSizePolicy, PinningPolicy},
};

use crate::stores::disk::{
    error::{DiskError, Operation},
    superblock::Superblock,
    tables::{Batch, Pair},
};

/// How much of what was written lately the database keeps in memory, and in its journal.
const MEMTABLE_BYTES: u64 = 32 << 20;
const JOURNAL_BYTES: u64 = 128 << 20;
/// How much of its tables it keeps in memory. What is asked for often is in the cache in front of it.
const CACHE_BYTES: u64 = 64 << 20;

/// An open database.
pub(super) struct DatabaseFile {
    path: PathBuf,
    /// Nothing after something failed, until it is opened again.
    open: Option<(Database, Keyspace)>,
    seal: Superblock,
}

impl std::fmt::Debug for DatabaseFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DatabaseFile").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Where the database is in the folder of a store.
fn database_path(path: &Path) -> PathBuf {
    path.join("state")
}

impl DatabaseFile {
    /// Makes an empty one in an empty folder.
    pub(super) fn create(path: &Path) -> Result<Self, DiskError> {
        let seal = Superblock::create(path)?;
        let open = open(path, Operation::Create)?;
        Ok(Self { path: path.to_owned(), open: Some(open), seal })
    }

    /// Opens the one in a folder.
    pub(super) fn open(path: &Path) -> Result<Self, DiskError> {
        let seal = Superblock::open(path)?;
        match open_existing(path) {
            Ok(open) => Ok(Self { path: path.to_owned(), open: Some(open), seal }),
            // Whoever made it was stopped before it was whole; no block was ever in it.
            Err(error) if seal.block().is_none() && is_torn(&error) => {
                Err(DiskError::Incomplete { path: path.to_owned() })
            }
            Err(error) => Err(error),
        }
    }

    /// Removes all of it from a folder.
    pub(super) fn remove(path: &Path) -> Result<(), DiskError> {
        let remove = || match fs::remove_dir_all(database_path(path)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Superblock::remove(path),
        };
        remove().map_err(|error| DiskError::database(path, Operation::Create, error))
    }

    /// What stands under a key.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, DiskError> {
        let value = self.space()?.get(key).map_err(|error| self.explain(Operation::Read, error))?;
        Ok(value.map(|value| value.to_vec()))
    }

    /// What stands under the keys from one to before another, in order.
    pub(super) fn range(
        &self,
        from: &[u8],
        to: &[u8],
    ) -> Result<impl Iterator<Item = Result<Pair, DiskError>> + '_, DiskError> {
        let pairs = self.space()?.range(from.to_vec()..to.to_vec());
        Ok(pairs.map(|pair| {
            let (key, value) = pair.into_inner().map_err(|error| self.explain(Operation::Read, error))?;
            Ok((key.to_vec(), value.to_vec()))
        }))
    }

    /// Writes a batch, for good, after which `block` is the last block. If that fails, the file holds what it
    /// held, or all of the batch.
    pub(super) fn write(&mut self, batch: &Batch, block: Option<u64>) -> Result<(), DiskError> {
        // The seal may fall behind, but is never ahead.
        if block < self.seal.block() {
            self.seal.set(block)?;
            self.seal.sync()?;
        }
        let written = self.write_batch(batch).map_err(|error| self.explain(Operation::Write, error));
        if written.is_err() {
            // Whatever was begun is undone when the database is opened again.
            self.close();
            return written;
        }
        let is_first = self.seal.block().is_none();
        self.seal.set(block)?;
        if is_first && block.is_some() { self.seal.sync() } else { Ok(()) }
    }

    fn write_batch(&self, batch: &Batch) -> fjall::Result<()> {
        let Some((database, space)) = &self.open else { return Err(fjall::Error::Poisoned) };
        let mut writes = database.batch().durability(Some(PersistMode::SyncAll));
        for (key, value) in batch {
            match value {
                Some(value) => writes.insert(space, key.as_slice(), value.as_slice()),
                None => writes.remove(space, key.as_slice()),
            }
        }
        writes.commit()
    }

    /// Lets go of the database. Nothing can be read or written then.
    pub(super) fn close(&mut self) {
        self.open = None;
    }

    /// Opens the database again, if it was let go of.
    pub(super) fn reopen(&mut self) -> Result<(), DiskError> {
        if self.open.is_none() {
            self.open = Some(open(&self.path, Operation::Open)?);
        }
        Ok(())
    }

    /// Whether the database can be written.
    pub(super) fn check_open(&self) -> Result<(), DiskError> {
        if self.open.is_some() { Ok(()) } else { Err(self.closed(Operation::Write)) }
    }

    /// The number of the block that was written last, as the seal has it.
    pub(super) fn sealed_block(&self) -> Option<u64> {
        self.seal.block()
    }

    fn space(&self) -> Result<&Keyspace, DiskError> {
        let space = self.open.as_ref().map(|(_, space)| space);
        space.ok_or_else(|| self.closed(Operation::Read))
    }

    fn closed(&self, operation: Operation) -> DiskError {
        self.explain(operation, fjall::Error::Poisoned)
    }

    fn explain(&self, operation: Operation, error: fjall::Error) -> DiskError {
        explain(&self.path, operation, error)
    }
}

fn open_existing(path: &Path) -> Result<(Database, Keyspace), DiskError> {
    if !database_path(path).is_dir() {
        let (what, reason) = ("the database".to_owned(), "it is not there".to_owned());
        return Err(DiskError::Damaged { path: path.to_owned(), what, reason });
    }
    open(path, Operation::Open)
}

/// Whether a database that cannot be opened may be one that was never whole.
fn is_torn(error: &DiskError) -> bool {
    match error {
        DiskError::Damaged { .. } => true,
        DiskError::Database { source, .. } => source.downcast_ref::<io::Error>().is_some_and(|error| {
            matches!(
                error.kind(),
                ErrorKind::NotFound
                    | ErrorKind::AlreadyExists
                    | ErrorKind::UnexpectedEof
                    | ErrorKind::InvalidData
            )
        }),
        _ => false,
    }
}

/// Opens the database, or makes one. What is damaged may make it panic.
fn open(path: &Path, operation: Operation) -> Result<(Database, Keyspace), DiskError> {
    let opened = catch_unwind(|| open_database(path));
    let damaged = |_| DiskError::Damaged {
        path: path.to_owned(),
        what: "the database".to_owned(),
        reason: "it cannot make sense of itself".to_owned(),
    };
    opened.map_err(damaged)?.map_err(|error| explain(path, operation, error))
}

fn open_database(path: &Path) -> fjall::Result<(Database, Keyspace)> {
    let database = Database::builder(database_path(path))
        .cache_size(CACHE_BYTES)
        .max_journaling_size(JOURNAL_BYTES)
        .manual_journal_persist(true)
        .open()?;
    let options = || {
        KeyspaceCreateOptions::default()
            .manual_journal_persist(true)
            .max_memtable_size(MEMTABLE_BYTES)
            .data_block_size_policy(BlockSizePolicy::all(4096))
            .index_block_pinning_policy(PinningPolicy::all(true))
            .filter_block_pinning_policy(PinningPolicy::all(true))
    };
    let space = database.keyspace("state", options)?;
    Ok((database, space))
}

/// What an error of the database means.
fn explain(path: &Path, operation: Operation, error: fjall::Error) -> DiskError {
    let damaged = |what: &str, reason: String| DiskError::Damaged {
        path: path.to_owned(),
        what: what.to_owned(),
        reason,
    };
    match error {
        fjall::Error::Locked => DiskError::InUse { path: path.to_owned() },
        fjall::Error::Io(error) => DiskError::database(path, operation, error),
        fjall::Error::Storage(fjall::LsmError::Io(error)) => DiskError::database(path, operation, error),
        fjall::Error::Poisoned => DiskError::database(path, operation, error),
        fjall::Error::JournalRecovery(error) => damaged("the journal", error.to_string()),
        fjall::Error::Storage(error) => damaged("the database", error.to_string()),
        error => damaged("the database", error.to_string()),
    }
}
