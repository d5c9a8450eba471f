//! The superblock of a store: identifies the store, its format and the last written block.
//!
//! The file has two copies with a checksum each, which are written alternately: a crash damages at most the copy that
//! is being written. The database is ahead of its superblock by at most one batch, and is behind it only after
//! damage.

use std::{
    fs::{self, OpenOptions},
    io::{self, ErrorKind},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use crate::stores::disk::error::{DiskError, Operation};

/// The first bytes of each copy.
const MAGIC: &[u8; 16] = b"blockloom state\n";

/// The size of a copy in bytes.
const COPY_BYTES: usize = 64;

/// The offsets of the copies: so far apart that no torn sector or page damages both.
const COPY_OFFSETS: [usize; 2] = [0, 4096];

/// The superblock of an open store.
#[derive(Debug)]
pub(super) struct Superblock {
    path: PathBuf,
    file: fs::File,
    newest: SuperblockCopy,
}

/// The content of a copy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct SuperblockCopy {
    /// The number of this write. The copy with the highest number is valid.
    sequence: u64,
    /// The last written block; `None` before the first one.
    block: Option<u64>,
}

impl Superblock {
    /// The format that this library reads and writes.
    const FORMAT: u32 = 3;

    /// Creates the superblock of an empty store, atomically.
    pub(super) fn create(path: &Path) -> Result<Self, DiskError> {
        let failure = |error| DiskError::database(path, Operation::Create, error);
        let temporary = temporary_path(path);
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&temporary);
        let file = file.map_err(failure)?;
        let mut superblock = Self { path: path.to_owned(), file, newest: SuperblockCopy::default() };
        superblock.set(None)?;
        superblock.set(None)?;
        superblock.file.sync_all().and_then(|()| fs::rename(&temporary, file_path(path))).map_err(failure)?;
        fs::File::open(path).and_then(|folder| folder.sync_all()).map_err(failure)?;
        Ok(superblock)
    }

    /// Opens the superblock of the store in a folder.
    pub(super) fn open(path: &Path) -> Result<Self, DiskError> {
        let unreadable = |error| DiskError::database(path, Operation::Open, error);
        let file = match OpenOptions::new().read(true).write(true).open(file_path(path)) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(no_superblock(path)),
            Err(error) => return Err(unreadable(error)),
        };
        let mut bytes = [0; COPY_OFFSETS[1] + COPY_BYTES];
        let length = read_up_to(&file, &mut bytes).map_err(unreadable)?;
        let newest = newest_copy(path, &bytes[..length])?;
        Ok(Self { path: path.to_owned(), file, newest })
    }

    /// Removes the superblock from a folder, also an incomplete one.
    pub(super) fn remove(path: &Path) -> io::Result<()> {
        [temporary_path(path), file_path(path)].into_iter().try_for_each(|file| match fs::remove_file(file) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        })
    }

    /// The last written block.
    pub(super) fn block(&self) -> Option<u64> {
        self.newest.block
    }

    /// Sets the last written block.
    pub(super) fn set(&mut self, block: Option<u64>) -> Result<(), DiskError> {
        let next = SuperblockCopy { sequence: self.newest.sequence + 1, block };
        let offset = COPY_OFFSETS[usize::from(next.sequence.is_multiple_of(2))];
        let written = self.file.write_all_at(&next.encode(), offset as u64);
        written.map_err(|error| DiskError::database(&self.path, Operation::Write, error))?;
        self.newest = next;
        Ok(())
    }

    /// Makes the last write survive a power failure.
    pub(super) fn sync(&self) -> Result<(), DiskError> {
        self.file.sync_all().map_err(|error| DiskError::database(&self.path, Operation::Write, error))
    }
}

fn file_path(path: &Path) -> PathBuf {
    path.join("superblock")
}

/// The path of a superblock that is not complete yet.
fn temporary_path(path: &Path) -> PathBuf {
    path.join("superblock.new")
}

/// The error for a folder without superblock.
fn no_superblock(path: &Path) -> DiskError {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let names: Vec<_> = entries.map(|entry| entry.path()).collect();
    let path = path.to_owned();
    match &names[..] {
        [] if !path.exists() || path.is_dir() => DiskError::NotFound { path },
        names if names.contains(&temporary_path(&path)) => DiskError::Incomplete { path },
        _ => DiskError::NotAStore { path, reason: "it has no file `superblock`".to_owned() },
    }
}

fn read_up_to(file: &fs::File, bytes: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < bytes.len() {
        match file.read_at(&mut bytes[length..], length as u64)? {
            0 => break,
            more => length += more,
        }
    }
    Ok(length)
}

/// The newest valid copy.
fn newest_copy(path: &Path, bytes: &[u8]) -> Result<SuperblockCopy, DiskError> {
    let copies = || COPY_OFFSETS.into_iter().filter_map(|from| bytes.get(from..from + COPY_BYTES));
    if !copies().any(|copy| copy.starts_with(MAGIC)) {
        return Err(DiskError::NotAStore {
            path: path.to_owned(),
            reason: "its file `superblock` is not from Blockloom".to_owned(),
        });
    }
    let newest = copies().filter_map(SuperblockCopy::decode).max_by_key(|(_, copy)| copy.sequence);
    let Some((found, newest)) = newest else {
        let (what, reason) = ("the superblock".to_owned(), "no copy has a valid checksum".to_owned());
        return Err(DiskError::Damaged { path: path.to_owned(), what, reason });
    };
    if found != Superblock::FORMAT {
        return Err(DiskError::UnsupportedFormat {
            path: path.to_owned(),
            expected: Superblock::FORMAT,
            found,
        });
    }
    Ok(newest)
}

impl SuperblockCopy {
    fn encode(self) -> [u8; COPY_BYTES] {
        let mut copy = [0; COPY_BYTES];
        copy[..16].copy_from_slice(MAGIC);
        copy[16..20].copy_from_slice(&Superblock::FORMAT.to_be_bytes());
        copy[20..28].copy_from_slice(&self.sequence.to_be_bytes());
        copy[28] = u8::from(self.block.is_some());
        copy[29..37].copy_from_slice(&self.block.unwrap_or_default().to_be_bytes());
        let sum = alloy_primitives::keccak256(&copy[..37]);
        copy[37..].copy_from_slice(&sum[..COPY_BYTES - 37]);
        copy
    }

    /// The format and the content of a copy; `None` if its checksum is wrong.
    fn decode(copy: &[u8]) -> Option<(u32, Self)> {
        let number = |from: usize| Some(u64::from_be_bytes(copy.get(from..from + 8)?.try_into().ok()?));
        let sum = alloy_primitives::keccak256(copy.get(..37)?);
        if copy.get(37..)? != &sum[..COPY_BYTES - 37] {
            return None;
        }
        let format = u32::from_be_bytes(copy[16..20].try_into().ok()?);
        let block = number(29)?;
        Some((format, Self { sequence: number(20)?, block: (copy[28] == 1).then_some(block) }))
    }
}
