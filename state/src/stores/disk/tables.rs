//! What is kept, as one space of keys: what lies in the file, and over it what was written since.
//!
//! Owns both. Promises that a batch is seen whole or not at all, by readers here and by whoever opens
//! the file after a crash.

use std::{collections::BTreeMap, iter::Peekable};

use crate::stores::disk::{error::DiskError, database::DatabaseFile, keys::Key};

/// What is written at once: under each key a value, or nothing any more.
pub(super) type Batch = BTreeMap<Key, Option<Vec<u8>>>;

/// A key with what stands under it.
pub(super) type Pair = (Vec<u8>, Vec<u8>);

/// The file, and what is not in it yet.
#[derive(Debug)]
pub(super) struct Tables {
    file: DatabaseFile,
    pending: Batch,
}

impl Tables {
    /// What lies in a file.
    pub(super) fn new(file: DatabaseFile) -> Self {
        Self { file, pending: Batch::new() }
    }

    /// What stands under a key.
    pub(super) fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, DiskError> {
        match self.pending.get(key) {
            Some(value) => Ok(value.clone()),
            None => self.file.get(key.as_slice()),
        }
    }

    /// What stands under the keys from one to before another, in order.
    pub(super) fn range(
        &self,
        from: &Key,
        to: &Key,
    ) -> Result<impl Iterator<Item = Result<Pair, DiskError>> + '_, DiskError> {
        let file = self.file.range(from.as_slice(), to.as_slice())?.peekable();
        let pending = self.pending.range(from.clone()..to.clone()).peekable();
        Ok(MergedRange { file, pending })
    }

    /// The first key from this one on, and what stands under it.
    pub(super) fn first_from(&self, from: &Key, to: &Key) -> Result<Option<Pair>, DiskError> {
        self.range(from, to)?.next().transpose()
    }

    /// Adds a batch to what is not in the file yet.
    pub(super) fn add(&mut self, batch: Batch) {
        if self.pending.is_empty() {
            self.pending = batch;
        } else {
            self.pending.extend(batch);
        }
    }

    /// Writes everything into the file, for good, after which `block` is the last block. If that fails the
    /// file is as it was, and nothing is lost here.
    pub(super) fn flush(&mut self, block: Option<u64>) -> Result<(), DiskError> {
        if self.pending.is_empty() {
            return self.file.check_open();
        }
        self.file.write(&self.pending, block)?;
        self.pending.clear();
        Ok(())
    }

    /// Whether the file can be written.
    pub(super) fn check_open(&self) -> Result<(), DiskError> {
        self.file.check_open()
    }

    /// Lets go of the file: nothing can be read or written then.
    pub(super) fn close(&mut self) {
        self.file.close();
    }

    /// Goes back to what is in the file, which is opened again if somebody let go of it.
    pub(super) fn reload(&mut self) -> Result<(), DiskError> {
        self.pending.clear();
        self.file.reopen()
    }

    /// The block that was written last, as far as the file's seal knows.
    pub(super) fn sealed_block(&self) -> Option<u64> {
        self.file.sealed_block()
    }
}

/// Two ordered sequences as one; what is pending stands in front of what is in the file.
struct MergedRange<F: Iterator, P: Iterator> {
    file: Peekable<F>,
    pending: Peekable<P>,
}

impl<'p, F, P> Iterator for MergedRange<F, P>
where
    F: Iterator<Item = Result<Pair, DiskError>>,
    P: Iterator<Item = (&'p Key, &'p Option<Vec<u8>>)>,
{
    type Item = Result<Pair, DiskError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some((key, _)) = self.pending.peek() else { return self.file.next() };
            let pending = key.as_slice();
            let is_file_first = match self.file.peek() {
                Some(Ok((key, _))) if key.as_slice() < pending => true,
                Some(Ok((key, _))) => {
                    if key.as_slice() == pending {
                        self.file.next();
                    }
                    false
                }
                Some(Err(_)) => true,
                None => false,
            };
            if is_file_first {
                return self.file.next();
            }
            let (key, value) = self.pending.next()?;
            if let Some(value) = value {
                return Some(Ok((key.as_slice().to_vec(), value.clone())));
            }
        }
    }
}
