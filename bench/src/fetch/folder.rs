//! The folder that fetched blocks are written to.
//!
//! Promises that a block's folder is whole or not there, also if the process is killed or the disk is full: it is written
//! under a hidden name, read again, and renamed. One process writes to a folder at a time.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
};

use alloy_primitives::B256;
use blockloom_fixtures::{
    Case, Source,
    node::{FetchedBlock, NodeChain},
    read_on,
};

/// A folder of blocks, locked for this process.
#[derive(Debug)]
pub(super) struct BlockFolder {
    path: PathBuf,
    /// Holds the lock, which ends with the process.
    _lock: File,
}

/// Whether a block is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    Absent,
    /// A block that can be read. The node may have another one with this number.
    There {
        hash: B256,
    },
}

impl BlockFolder {
    /// Makes the folder if it is not there, and locks it.
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let named = |error: io::Error| format!("--out {}: {error}", path.display());
        fs::create_dir_all(path).map_err(named)?;
        let lock = File::open(path).map_err(named)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => {
                Err(format!("--out {}: another process fetches blocks into it", path.display()))
            }
            Err(TryLockError::Error(error)) => Err(named(error)),
        }
    }

    /// Whether a block `number` of this chain is there.
    ///
    /// # Errors
    ///
    /// If something else is there. It is not overwritten.
    pub(super) fn presence(&self, number: u64, chain: &NodeChain) -> Result<Presence, String> {
        let folder = self.folder(number);
        match folder.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Presence::Absent),
            Err(error) => return Err(format!("{}: {error}", folder.display())),
            Ok(_) => {}
        }
        let there = format!("{} is there already, and not overwritten", folder.display());
        let fixture = read_on(&Source::Folder(folder), Some(&chain.chain));
        let fixture = fixture.map_err(|error| format!("{there}, but cannot be read: {error}"))?;
        match &fixture.cases[..] {
            [Case::Block(case)] if case.header.number == number => {
                Ok(Presence::There { hash: case.header.hash_slow() })
            }
            _ => Err(format!("{there}, but is not block {number}")),
        }
    }

    /// The folder of a block.
    pub(super) fn folder(&self, number: u64) -> PathBuf {
        self.path.join(number.to_string())
    }

    /// Writes a block.
    pub(super) fn write(&self, block: &FetchedBlock, chain: &NodeChain) -> Result<(), String> {
        let number = block.header.number;
        let partial = self.path.join(format!(".{number}.partial"));
        let written = self.write_partial(block, &partial, chain);
        let renamed = written.and_then(|()| {
            fs::rename(&partial, self.folder(number)).map_err(|error| in_file(&partial, &error))
        });
        if renamed.is_err() {
            // The first error is the one to report.
            let _ = fs::remove_dir_all(&partial);
        }
        renamed
    }

    fn write_partial(&self, block: &FetchedBlock, partial: &Path, chain: &NodeChain) -> Result<(), String> {
        // A process that was killed may have left it.
        match fs::remove_dir_all(partial) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(in_file(partial, &error)),
            _ => fs::create_dir(partial).map_err(|error| in_file(partial, &error))?,
        }
        for (name, text) in block.files() {
            let path = partial.join(name);
            let write = || {
                let mut file = File::create_new(&path)?;
                file.write_all(text.as_bytes())?;
                // Before the rename, so that a crash of the machine leaves no empty file under the final name.
                file.sync_all()
            };
            write().map_err(|error: io::Error| in_file(&path, &error))?;
        }
        let read = read_on(&Source::Folder(partial.to_owned()), Some(&chain.chain));
        let read = read.map_err(|error| format!("what was written cannot be read: {error}"))?;
        match &read.cases[..] {
            [Case::Block(case)] if case.header == block.header => Ok(()),
            _ => Err(format!("{}: what was written is another block", partial.display())),
        }
    }
}

fn in_file(path: &Path, error: &io::Error) -> String {
    format!("{}: {error}", path.display())
}
