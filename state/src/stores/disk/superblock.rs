//! The seal of a store: what it is, of which format, and which block was written last.
//!
//! Two places of the same size take turns, each with a check sum: while one is written the other is whole,
//! so that a crash at any moment leaves one that is right. A store is never ahead of its seal by more than
//! a batch, and never behind it unless it was damaged.

use std::{
    fs::{self, OpenOptions},
    io::{self, ErrorKind},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use crate::stores::disk::error::{DiskError, Operation};

/// What every seal begins with.
const MAGIC: &[u8; 16] = b"blockloom state\n";

/// How many bytes a place takes.
const PLACE: usize = 64;

/// Where the places are: so far apart that no torn sector or page takes both.
const PLACES: [usize; 2] = [0, 4096];

/// The seal of an open store.
#[derive(Debug)]
pub(super) struct Superblock {
    path: PathBuf,
    file: fs::File,
    last: SuperblockCopy,
}

/// What a place says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct SuperblockCopy {
    /// How many were made before it.
    turn: u64,
    /// The block that was written last; `None` if there was none yet.
    block: Option<u64>,
}

impl Superblock {
    /// The format that this library reads and writes.
    const FORMAT: u32 = 2;

    /// Seals an empty store. It is sealed or not, and never half.
    pub(super) fn create(path: &Path) -> Result<Self, DiskError> {
        let failure = |error| DiskError::database(path, Operation::Create, error);
        let blank = blank_path(path);
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&blank);
        let file = file.map_err(failure)?;
        let mut seal = Self { path: path.to_owned(), file, last: SuperblockCopy::default() };
        seal.set(None)?;
        seal.set(None)?;
        seal.file.sync_all().and_then(|()| fs::rename(&blank, file_path(path))).map_err(failure)?;
        fs::File::open(path).and_then(|folder| folder.sync_all()).map_err(failure)?;
        Ok(seal)
    }

    /// Reads the seal of the store in a folder.
    pub(super) fn open(path: &Path) -> Result<Self, DiskError> {
        let unreadable = |error| DiskError::database(path, Operation::Open, error);
        let file = match OpenOptions::new().read(true).write(true).open(file_path(path)) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(none(path)),
            Err(error) => return Err(unreadable(error)),
        };
        let mut bytes = [0; PLACES[1] + PLACE];
        let length = read_up_to(&file, &mut bytes).map_err(unreadable)?;
        let last = read(path, &bytes[..length])?;
        Ok(Self { path: path.to_owned(), file, last })
    }

    /// Removes the seal from a folder, or what was to become one.
    pub(super) fn remove(path: &Path) -> io::Result<()> {
        [blank_path(path), file_path(path)].into_iter().try_for_each(|file| match fs::remove_file(file) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        })
    }

    /// The block that was written last.
    pub(super) fn block(&self) -> Option<u64> {
        self.last.block
    }

    /// Says which block was written last.
    pub(super) fn set(&mut self, block: Option<u64>) -> Result<(), DiskError> {
        let next = SuperblockCopy { turn: self.last.turn + 1, block };
        let place = PLACES[usize::from(next.turn.is_multiple_of(2))];
        let written = self.file.write_all_at(&next.encode(), place as u64);
        written.map_err(|error| DiskError::database(&self.path, Operation::Write, error))?;
        self.last = next;
        Ok(())
    }

    /// Sees to it that what it says survives a power failure.
    pub(super) fn sync(&self) -> Result<(), DiskError> {
        self.file.sync_all().map_err(|error| DiskError::database(&self.path, Operation::Write, error))
    }
}

fn file_path(path: &Path) -> PathBuf {
    path.join("seal")
}

/// What becomes the seal once it is whole.
fn blank_path(path: &Path) -> PathBuf {
    path.join("seal.new")
}

/// What is said of a folder in which there is no seal.
fn none(path: &Path) -> DiskError {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let names: Vec<_> = entries.map(|entry| entry.path()).collect();
    let path = path.to_owned();
    match &names[..] {
        [] if !path.exists() || path.is_dir() => DiskError::NotFound { path },
        names if names.contains(&blank_path(&path)) => DiskError::Incomplete { path },
        _ => DiskError::NotAStore { path, reason: "it has no seal".to_owned() },
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

/// The newest of what both places say.
fn read(path: &Path, bytes: &[u8]) -> Result<SuperblockCopy, DiskError> {
    let places = || PLACES.into_iter().filter_map(|from| bytes.get(from..from + PLACE));
    if !places().any(|place| place.starts_with(MAGIC)) {
        return Err(DiskError::NotAStore { path: path.to_owned(), reason: "its seal is another's".to_owned() });
    }
    let newest = places().filter_map(SuperblockCopy::decode).max_by_key(|(_, impression)| impression.turn);
    let Some((found, last)) = newest else {
        let (what, reason) = ("the seal".to_owned(), "no place of it has its check sum".to_owned());
        return Err(DiskError::Damaged { path: path.to_owned(), what, reason });
    };
    if found != Superblock::FORMAT {
        return Err(DiskError::UnsupportedFormat { path: path.to_owned(), expected: Superblock::FORMAT, found });
    }
    Ok(last)
}

impl SuperblockCopy {
    fn encode(self) -> [u8; PLACE] {
        let mut place = [0; PLACE];
        place[..16].copy_from_slice(MAGIC);
        place[16..20].copy_from_slice(&Superblock::FORMAT.to_be_bytes());
        place[20..28].copy_from_slice(&self.turn.to_be_bytes());
        place[28] = u8::from(self.block.is_some());
        place[29..37].copy_from_slice(&self.block.unwrap_or_default().to_be_bytes());
        let sum = alloy_primitives::keccak256(&place[..37]);
        place[37..].copy_from_slice(&sum[..PLACE - 37]);
        place
    }

    /// The format, and what is said in it.
    fn decode(place: &[u8]) -> Option<(u32, Self)> {
        let number = |from: usize| Some(u64::from_be_bytes(place.get(from..from + 8)?.try_into().ok()?));
        let sum = alloy_primitives::keccak256(place.get(..37)?);
        if place.get(37..)? != &sum[..PLACE - 37] {
            return None;
        }
        let format = u32::from_be_bytes(place[16..20].try_into().ok()?);
        let block = number(29)?;
        Some((format, Self { turn: number(20)?, block: (place[28] == 1).then_some(block) }))
    }
}
