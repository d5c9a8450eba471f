//! The key space of a store: the database, overlaid with the pending writes.
//!
//! Owns both. Promises that a batch is visible as a whole or not at all, to readers and after a crash.

use std::{collections::BTreeMap, iter::Peekable};

use crate::stores::disk::{database::DatabaseFile, error::DiskError, keys::Key};

/// An atomic batch of writes: a new value for each key, or `None` to delete it.
pub(super) type WriteBatch = BTreeMap<Key, Option<Vec<u8>>>;

/// A key and its value.
pub(super) type KeyValue = (Vec<u8>, Vec<u8>);

/// The database and the pending writes.
#[derive(Debug)]
pub(super) struct Tables {
    database: DatabaseFile,
    pending: WriteBatch,
}

impl Tables {
    /// The key space of a database, without pending writes.
    pub(super) fn new(database: DatabaseFile) -> Self {
        Self { database, pending: WriteBatch::new() }
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, DiskError> {
        match self.pending.get(key) {
            Some(value) => Ok(value.clone()),
            None => self.database.get(key.as_slice()),
        }
    }

    /// The keys and values from `from` to before `to`, in order.
    pub(super) fn range(
        &self,
        from: &Key,
        to: &Key,
    ) -> Result<impl Iterator<Item = Result<KeyValue, DiskError>> + '_, DiskError> {
        let database = self.database.range(from.as_slice(), to.as_slice())?.peekable();
        let pending = self.pending.range(from.clone()..to.clone()).peekable();
        Ok(MergedRange { database, pending })
    }

    /// The first key at or after `from`, with its value.
    pub(super) fn first_from(&self, from: &Key, to: &Key) -> Result<Option<KeyValue>, DiskError> {
        self.range(from, to)?.next().transpose()
    }

    /// Adds a batch to the pending writes.
    pub(super) fn add(&mut self, batch: WriteBatch) {
        if self.pending.is_empty() {
            self.pending = batch;
        } else {
            self.pending.extend(batch);
        }
    }

    /// Writes all pending writes durably to the database, after which `block` is the last block. After a failure the
    /// writes are still pending.
    pub(super) fn flush(&mut self, block: Option<u64>) -> Result<(), DiskError> {
        if self.pending.is_empty() {
            return self.database.check_open();
        }
        self.database.write(&self.pending, block)?;
        self.pending.clear();
        Ok(())
    }

    /// Fails if the database is closed.
    pub(super) fn check_open(&self) -> Result<(), DiskError> {
        self.database.check_open()
    }

    /// Closes the database. All reads and writes fail until it is opened again.
    pub(super) fn close(&mut self) {
        self.database.close();
    }

    /// Drops the pending writes, and opens the database again if it was closed.
    pub(super) fn reload(&mut self) -> Result<(), DiskError> {
        self.pending.clear();
        self.database.reopen()
    }

    /// The last written block, according to the superblock.
    pub(super) fn last_written_block(&self) -> Option<u64> {
        self.database.last_written_block()
    }
}

/// Two ordered sequences merged. A pending write replaces the database's value of the same key.
struct MergedRange<F: Iterator, P: Iterator> {
    database: Peekable<F>,
    pending: Peekable<P>,
}

impl<'p, F, P> Iterator for MergedRange<F, P>
where
    F: Iterator<Item = Result<KeyValue, DiskError>>,
    P: Iterator<Item = (&'p Key, &'p Option<Vec<u8>>)>,
{
    type Item = Result<KeyValue, DiskError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some((key, _)) = self.pending.peek() else { return self.database.next() };
            let pending = key.as_slice();
            let is_database_first = match self.database.peek() {
                Some(Ok((key, _))) if key.as_slice() < pending => true,
                Some(Ok((key, _))) => {
                    if key.as_slice() == pending {
                        self.database.next();
                    }
                    false
                }
                Some(Err(_)) => true,
                None => false,
            };
            if is_database_first {
                return self.database.next();
            }
            let (key, value) = self.pending.next()?;
            if let Some(value) = value {
                return Some(Ok((key.as_slice().to_vec(), value.clone())));
            }
        }
    }
}
