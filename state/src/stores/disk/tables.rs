//! The key space of a store: the database, overlaid with the pending writes.
//!
//! Owns both. Promises that a batch is visible as a whole or not at all, to readers and after a crash.

use std::{collections::BTreeMap, iter::Peekable, mem::take, ops::Bound, sync::Arc};

use crate::{
    stores::disk::{database::DatabaseFile, error::DiskError, keys::Key},
    sync::{Mutex, RwLock},
};

/// An atomic batch of writes: a new value for each key, or `None` to delete it.
pub(super) type WriteBatch = BTreeMap<Key, Option<Vec<u8>>>;

/// A key and its value.
pub(super) type KeyValue = (Vec<u8>, Vec<u8>);

/// The database and the pending writes. Threads may read while another one adds a batch, and another one writes.
#[derive(Debug)]
pub(super) struct Tables {
    database: DatabaseFile,
    pending: RwLock<Pending>,
    /// Held while pending writes go to the database.
    writing: Mutex<()>,
}

/// Writes that are not in the database yet.
#[derive(Debug, Default)]
struct Pending {
    /// Those that are being written, or failed to be written.
    written: Arc<WriteBatch>,
    /// The later ones.
    added: Arc<WriteBatch>,
    /// The last block of all of them.
    last_block: Option<u64>,
}

impl Pending {
    /// The value of a key; `None` if only the database knows.
    fn get(&self, key: &Key) -> Option<Option<Vec<u8>>> {
        self.added.get(key).or_else(|| self.written.get(key)).cloned()
    }
}

impl Tables {
    /// The key space of a database, without pending writes.
    pub(super) fn new(database: DatabaseFile) -> Self {
        Self { database, pending: RwLock::default(), writing: Mutex::default() }
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, DiskError> {
        self.get_then(key, Ok)
    }

    /// Passes the value of a key to `then`; no batch is added before that returns. What `then` puts into a cache is
    /// therefore older than what a later batch puts there.
    pub(super) fn get_then<T>(
        &self,
        key: &Key,
        then: impl FnOnce(Option<Vec<u8>>) -> Result<T, DiskError>,
    ) -> Result<T, DiskError> {
        let pending = self.pending.read();
        then(match pending.get(key) {
            Some(value) => value,
            None => self.database.get(key.as_slice())?,
        })
    }

    /// The keys and values from `from` to before `to`, in order, as they are now.
    pub(super) fn range(
        &self,
        from: &Key,
        to: &Key,
    ) -> Result<impl Iterator<Item = Result<KeyValue, DiskError>> + '_, DiskError> {
        let pending = self.pending.read();
        let [written, added] = [&pending.written, &pending.added].map(|batch| PendingRange {
            batch: Arc::clone(batch),
            from: Bound::Included(from.clone()),
            to: to.clone(),
        });
        let database = self.database.range(from.as_slice(), to.as_slice())?.peekable();
        let older = MergedRange { older: database, newer: written.peekable() };
        Ok(MergedRange { older: older.peekable(), newer: added.peekable() })
    }

    /// The first key at or after `from`, with its value.
    pub(super) fn first_from(&self, from: &Key, to: &Key) -> Result<Option<KeyValue>, DiskError> {
        self.range(from, to)?.next().transpose()
    }

    /// Adds a batch to the pending writes, after which `block` is the last block, and calls `then` before any other
    /// thread reads them.
    pub(super) fn add(&self, batch: WriteBatch, block: Option<u64>, then: impl FnOnce()) {
        let mut pending = self.pending.write();
        if pending.added.is_empty() {
            pending.added = Arc::new(batch);
        } else {
            Arc::make_mut(&mut pending.added).extend(batch);
        }
        pending.last_block = block;
        then();
    }

    /// Writes all pending writes durably to the database; calls `then` once these can be told from later ones. After a
    /// failure they are still pending.
    pub(super) fn flush(&self, then: impl FnOnce()) -> Result<(), DiskError> {
        let _one = self.writing.lock();
        let (batch, block) = {
            let mut pending = self.pending.write();
            let added = take(&mut pending.added);
            if pending.written.is_empty() {
                pending.written = added;
            } else {
                let later = added.iter().map(|(key, value)| (key.clone(), value.clone()));
                Arc::make_mut(&mut pending.written).extend(later);
            }
            then();
            (Arc::clone(&pending.written), pending.last_block)
        };
        if batch.is_empty() {
            return self.database.check_open();
        }
        self.database.write(&batch, block)?;
        self.pending.write().written = Arc::default();
        Ok(())
    }

    /// Fails if the database is closed.
    pub(super) fn check_open(&self) -> Result<(), DiskError> {
        self.database.check_open()
    }

    /// Closes the database. All reads and writes fail until it is opened again.
    pub(super) fn close(&self) {
        self.database.close();
    }

    /// Drops the pending writes, opens the database again if it was closed, and calls `then` before any other thread
    /// reads.
    pub(super) fn reload(&self, then: impl FnOnce()) -> Result<(), DiskError> {
        let mut pending = self.pending.write();
        *pending = Pending::default();
        then();
        self.database.reopen()
    }

    /// The last written block, according to the superblock.
    pub(super) fn last_written_block(&self) -> Option<u64> {
        self.database.last_written_block()
    }
}

/// The writes of a batch whose keys are in a range.
struct PendingRange {
    batch: Arc<WriteBatch>,
    /// Where the next key is.
    from: Bound<Key>,
    to: Key,
}

impl Iterator for PendingRange {
    type Item = (Key, Option<Vec<u8>>);

    fn next(&mut self) -> Option<Self::Item> {
        let bounds = (self.from.as_ref(), Bound::Excluded(&self.to));
        let (key, value) = self.batch.range(bounds).next()?;
        self.from = Bound::Excluded(key.clone());
        Some((key.clone(), value.clone()))
    }
}

/// Two ordered sequences merged. A newer write replaces the older value of the same key.
struct MergedRange<F: Iterator, P: Iterator> {
    older: Peekable<F>,
    newer: Peekable<P>,
}

impl<F, P> Iterator for MergedRange<F, P>
where
    F: Iterator<Item = Result<KeyValue, DiskError>>,
    P: Iterator<Item = (Key, Option<Vec<u8>>)>,
{
    type Item = Result<KeyValue, DiskError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some((key, _)) = self.newer.peek() else { return self.older.next() };
            let newer = key.as_slice();
            let is_older_first = match self.older.peek() {
                Some(Ok((key, _))) if key.as_slice() < newer => true,
                Some(Ok((key, _))) => {
                    if key.as_slice() == newer {
                        self.older.next();
                    }
                    false
                }
                Some(Err(_)) => true,
                None => false,
            };
            if is_older_first {
                return self.older.next();
            }
            let (key, value) = self.newer.next()?;
            if let Some(value) = value {
                return Some(Ok((key.as_slice().to_vec(), value)));
            }
        }
    }
}
