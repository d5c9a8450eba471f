//! The key space of a store: the database, overlaid with the pending writes.
//!
//! Owns both. Promises that a batch is visible as a whole or not at all, to readers and after a crash.
//!
//! Thread R reads a key that the read cache lacks: it notes how often batches were added, and reads without a lock.
//! Thread A adds a batch and puts its values into the cache, under the lock of the pending writes. R takes this lock to
//! put its value into the cache, sees that a batch was added, and leaves the cache alone: no old value replaces a newer one.
//! Thread W sets the pending writes apart, writes them without the lock, and drops them once the database has them.
//!
//! Locks are taken in this order: that of the thread that writes, that of the thread that adds, the pending writes, the
//! superblock, the database. Only the first two are held while the disk is read or written.

use std::{collections::BTreeMap, iter::Peekable, mem::take, ops::Bound, sync::Arc};

use crate::{
    stores::disk::{database::DatabaseFile, error::DiskError, keys::Key},
    sync::RwLock,
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
}

/// Writes that are not in the database yet.
#[derive(Debug, Default)]
struct Pending {
    /// Those that are being written.
    in_writing: Arc<WriteBatch>,
    /// The later ones.
    added: Arc<WriteBatch>,
    /// How many batches were added, or dropped.
    changes: u64,
    /// The last block of all of them.
    last_block: Option<u64>,
}

impl Pending {
    /// The value of a key; `None` if only the database knows.
    fn get(&self, key: &Key) -> Option<Option<Vec<u8>>> {
        self.added.get(key).or_else(|| self.in_writing.get(key)).cloned()
    }
}

impl Tables {
    /// The key space of a database, without pending writes.
    pub(super) fn new(database: DatabaseFile) -> Self {
        Self { database, pending: RwLock::default() }
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, DiskError> {
        let pending = self.pending.read().get(key);
        pending.map_or_else(|| self.database.get(key.as_slice()), Ok)
    }

    /// The decoded value of a key. `keep` may put it into a cache; it is called only if no batch was added since the value
    /// was read, and before another one is.
    pub(super) fn get_and_keep<T>(
        &self,
        key: &Key,
        decode: impl FnOnce(Option<Vec<u8>>) -> Result<T, DiskError>,
        keep: impl FnOnce(&T),
    ) -> Result<T, DiskError> {
        let (found, changes) = {
            let pending = self.pending.read();
            (pending.get(key), pending.changes)
        };
        let value = decode(match found {
            Some(value) => value,
            None => self.database.get(key.as_slice())?,
        })?;
        let pending = self.pending.read();
        if pending.changes == changes {
            keep(&value);
        }
        drop(pending);
        Ok(value)
    }

    /// The keys and values from `from` to before `to`, in order. No batch may be written meanwhile.
    pub(super) fn range(
        &self,
        from: &Key,
        to: &Key,
    ) -> Result<impl Iterator<Item = Result<KeyValue, DiskError>> + '_, DiskError> {
        let pending = self.pending.read();
        let [in_writing, added] = [&pending.in_writing, &pending.added].map(|batch| PendingRange {
            batch: Arc::clone(batch),
            from: Bound::Included(from.clone()),
            to: to.clone(),
        });
        let database = self.database.range(from.as_slice(), to.as_slice())?.peekable();
        let older = MergedRange { older: database, newer: in_writing.peekable() };
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
        pending.last_block = block.or(pending.last_block);
        pending.changes += 1;
        then();
    }

    /// Writes all pending writes durably to the database; calls `then` once these can be told from later ones. After a
    /// failure they are still pending. One thread at a time may call this.
    pub(super) fn flush(&self, then: impl FnOnce()) -> Result<(), DiskError> {
        let (batch, block) = {
            let mut pending = self.pending.write();
            let added = take(&mut pending.added);
            if pending.in_writing.is_empty() {
                pending.in_writing = added;
            } else {
                let later = added.iter().map(|(key, value)| (key.clone(), value.clone()));
                Arc::make_mut(&mut pending.in_writing).extend(later);
            }
            then();
            (Arc::clone(&pending.in_writing), pending.last_block)
        };
        if batch.is_empty() {
            return self.database.check_open();
        }
        self.database.write(&batch, block)?;
        self.pending.write().in_writing = Arc::default();
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
        *pending = Pending { changes: pending.changes + 1, ..Pending::default() };
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a value may be kept that was read while `meanwhile` was done.
    fn is_kept(meanwhile: impl FnOnce(&Tables)) -> bool {
        let folder = tempfile::tempdir().unwrap();
        let tables = Tables::new(DatabaseFile::create(folder.path()).unwrap());
        let write = |value: u8| [(Key::head(), Some(vec![value]))].into();
        tables.add(write(1), Some(1), || ());
        let mut is_kept = false;
        let read = |value| {
            meanwhile(&tables);
            Ok(value)
        };
        let value = tables.get_and_keep(&Key::head(), read, |_| is_kept = true).unwrap();
        assert_eq!(value, Some(vec![1]));
        is_kept
    }

    #[test]
    fn a_value_is_kept_only_if_no_batch_came_while_it_was_read() {
        assert!(is_kept(|_| ()));
        assert!(is_kept(|tables| tables.flush(|| ()).unwrap()));
        let newer = || [(Key::head(), Some(vec![2]))].into();
        assert!(!is_kept(|tables| tables.add(newer(), Some(2), || ())));
        assert!(!is_kept(|tables| tables.reload(|| ()).unwrap()));
    }

    #[test]
    fn a_flush_writes_what_was_added_before_it_with_its_last_block() {
        let folder = tempfile::tempdir().unwrap();
        let tables = Tables::new(DatabaseFile::create(folder.path()).unwrap());
        let write = |value: u8| [(Key::block(value.into()), Some(vec![value]))].into();
        tables.add(write(1), Some(1), || ());
        // The next block comes while the first is set apart.
        tables.flush(|| ()).unwrap();
        assert_eq!(tables.last_written_block(), Some(1));
        tables.add(write(2), Some(2), || ());
        assert_eq!(tables.last_written_block(), Some(1), "it is pending");
        let found = |tables: &Tables| [1, 2].map(|number| tables.get(&Key::block(number)).unwrap());
        assert_eq!(found(&tables), [Some(vec![1]), Some(vec![2])]);
        tables.reload(|| ()).unwrap();
        assert_eq!(found(&tables), [Some(vec![1]), None], "what was pending is gone");
    }
}
