//! The database of a store: one ordered key space, written in atomic batches.
//!
//! Owns the folder of the database and, beside it, the superblock with the format and the last written block.
//! The database drops the end of its journal if that is torn. The superblock distinguishes a torn end, which a
//! crash causes, from damage to committed data. The only file that names the database library.

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

use crate::{
    stores::disk::{
        error::{DiskError, Operation},
        superblock::Superblock,
        tables::{KeyValue, WriteBatch},
    },
    sync::{Mutex, RwLock},
};

/// The sizes of the database's write buffer and of its journal.
const MEMTABLE_BYTES: u64 = 32 << 20;
const JOURNAL_BYTES: u64 = 128 << 20;
/// The size of the database's own cache. Frequent reads hit the read cache in front of it.
const CACHE_BYTES: u64 = 64 << 20;

/// An open database.
pub(super) struct DatabaseFile {
    path: PathBuf,
    /// `None` after a failure, until the database is opened again.
    open: RwLock<Option<(Database, Keyspace)>>,
    superblock: Mutex<Superblock>,
}

impl std::fmt::Debug for DatabaseFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DatabaseFile").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The path of the database in the folder of a store.
fn database_path(path: &Path) -> PathBuf {
    path.join("state")
}

impl DatabaseFile {
    /// Creates an empty database in an empty folder.
    pub(super) fn create(path: &Path) -> Result<Self, DiskError> {
        let superblock = Superblock::create(path)?;
        let open = open(path, Operation::Create)?;
        Ok(Self::of(path, open, superblock))
    }

    /// Opens the database in a folder.
    pub(super) fn open(path: &Path) -> Result<Self, DiskError> {
        let superblock = Superblock::open(path)?;
        match open_existing(path) {
            Ok(open) => Ok(Self::of(path, open, superblock)),
            // Its creation was interrupted, and it never had a block.
            Err(error) if superblock.block().is_none() && is_torn(&error) => {
                Err(DiskError::Incomplete { path: path.to_owned() })
            }
            Err(error) => Err(error),
        }
    }

    fn of(path: &Path, open: (Database, Keyspace), superblock: Superblock) -> Self {
        Self { path: path.to_owned(), open: RwLock::new(Some(open)), superblock: Mutex::new(superblock) }
    }

    /// Removes the database and the superblock from a folder.
    pub(super) fn remove(path: &Path) -> Result<(), DiskError> {
        let remove = || match fs::remove_dir_all(database_path(path)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Superblock::remove(path),
        };
        remove().map_err(|error| DiskError::database(path, Operation::Create, error))
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, DiskError> {
        let value =
            self.read(|space| space.get(key))?.map_err(|error| self.explain(Operation::Read, error))?;
        Ok(value.map(|value| value.to_vec()))
    }

    /// The keys and values from `from` to before `to`, in order.
    pub(super) fn range(
        &self,
        from: &[u8],
        to: &[u8],
    ) -> Result<impl Iterator<Item = Result<KeyValue, DiskError>> + '_, DiskError> {
        let pairs = self.read(|space| space.range(from.to_vec()..to.to_vec()))?;
        Ok(pairs.map(|pair| {
            let (key, value) = pair.into_inner().map_err(|error| self.explain(Operation::Read, error))?;
            Ok((key.to_vec(), value.to_vec()))
        }))
    }

    /// Writes a batch durably, after which `block` is the last block. After a failure the database has all of the
    /// batch or nothing of it.
    pub(super) fn write(&self, batch: &WriteBatch, block: Option<u64>) -> Result<(), DiskError> {
        let mut superblock = self.superblock.lock();
        // The superblock may be behind the database, but never ahead.
        if block < superblock.block() {
            superblock.set(block)?;
            superblock.sync()?;
        }
        let written = self.write_batch(batch).map_err(|error| self.explain(Operation::Write, error));
        if written.is_err() {
            // Opening the database again rolls an incomplete write back.
            self.close();
            return written;
        }
        let is_first = superblock.block().is_none();
        superblock.set(block)?;
        if is_first && block.is_some() { superblock.sync() } else { Ok(()) }
    }

    fn write_batch(&self, batch: &WriteBatch) -> fjall::Result<()> {
        let open = self.open.read();
        let Some((database, space)) = &*open else { return Err(fjall::Error::Poisoned) };
        let mut writes = database.batch().durability(Some(PersistMode::SyncAll));
        for (key, value) in batch {
            match value {
                Some(value) => writes.insert(space, key.as_slice(), value.as_slice()),
                None => writes.remove(space, key.as_slice()),
            }
        }
        writes.commit()
    }

    /// Closes the database. All reads and writes fail until it is opened again.
    pub(super) fn close(&self) {
        *self.open.write() = None;
    }

    /// Opens the database again, if it was closed.
    pub(super) fn reopen(&self) -> Result<(), DiskError> {
        let mut database = self.open.write();
        if database.is_none() {
            *database = Some(open(&self.path, Operation::Open)?);
        }
        Ok(())
    }

    /// Fails if the database is closed.
    pub(super) fn check_open(&self) -> Result<(), DiskError> {
        if self.open.read().is_some() { Ok(()) } else { Err(self.closed(Operation::Write)) }
    }

    /// The number of the last written block, according to the superblock.
    pub(super) fn last_written_block(&self) -> Option<u64> {
        self.superblock.lock().block()
    }

    /// Reads in the key space.
    fn read<T>(&self, read: impl FnOnce(&Keyspace) -> T) -> Result<T, DiskError> {
        let open = self.open.read();
        let space = open.as_ref().map(|(_, space)| space);
        space.map(read).ok_or_else(|| self.closed(Operation::Read))
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
        let (what, reason) = ("the database".to_owned(), "it is missing".to_owned());
        return Err(DiskError::Damaged { path: path.to_owned(), what, reason });
    }
    open(path, Operation::Open)
}

/// Whether a failure to open may come from an interrupted creation.
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

/// Opens or creates the database. A damaged database may make the library panic.
fn open(path: &Path, operation: Operation) -> Result<(Database, Keyspace), DiskError> {
    let opened = catch_unwind(|| open_database(path));
    let damaged = |_| DiskError::Damaged {
        path: path.to_owned(),
        what: "the database".to_owned(),
        reason: "opening it panics".to_owned(),
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

/// Converts an error of the database.
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
