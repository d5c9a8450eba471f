//! The files of a generated chain: a blockchain test, or encoded blocks and their genesis.
//!
//! Promises that the files appear together when they are whole, and that nothing is left otherwise.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use alloy_consensus::Header;
use alloy_primitives::Address;
use blockloom_engine::SignedBlock;
use blockloom_fixtures::{ChainHead, ChainWriter, write_genesis};
use blockloom_state::Allocation;

use crate::new_file::NewFile;

/// The format of a generated chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// A blockchain test.
    Json,
    /// Encoded blocks, and their genesis.
    Rlp,
}

/// A file that cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("{}: {error}", .path.display())]
pub(super) struct OutputError {
    path: PathBuf,
    error: io::Error,
}

/// The files of a chain, before their first block.
#[derive(Debug)]
pub(super) enum NewFiles {
    Json(NamedFile),
    Rlp { blocks: NamedFile, genesis: NamedFile },
}

/// The files of a chain under construction.
#[derive(Debug)]
pub(super) enum ChainOutput {
    Json(PathBuf, ChainWriter<NewFile>),
    Rlp { blocks: NamedFile, genesis: NamedFile },
}

/// A file that does not have its name yet.
#[derive(Debug)]
pub(super) struct NamedFile {
    path: PathBuf,
    file: NewFile,
}

impl NamedFile {
    fn create(path: PathBuf) -> Result<Self, OutputError> {
        match NewFile::create(&path) {
            Ok(file) => Ok(Self { path, file }),
            Err(error) => Err(OutputError { path, error }),
        }
    }

    fn error(&self, error: io::Error) -> OutputError {
        OutputError { path: self.path.clone(), error }
    }

    /// Gives the file its name, and returns that.
    fn keep(self) -> Result<PathBuf, OutputError> {
        let Self { path, file } = self;
        match file.keep() {
            Ok(()) => Ok(path),
            Err(error) => Err(OutputError { path, error }),
        }
    }
}

impl NewFiles {
    /// Creates the files in a folder.
    pub(super) fn create(format: Format, folder: &Path) -> Result<Self, OutputError> {
        let file = |name| NamedFile::create(folder.join(name));
        Ok(match format {
            Format::Json => Self::Json(file("chain.json")?),
            Format::Rlp => Self::Rlp { blocks: file("chain.rlp")?, genesis: file("genesis.json")? },
        })
    }

    /// Writes everything before the blocks.
    pub(super) fn begin(
        self,
        head: &ChainHead<'_>,
        pre: impl IntoIterator<Item = (Address, Allocation)>,
    ) -> Result<ChainOutput, OutputError> {
        match self {
            Self::Json(NamedFile { path, file }) => match ChainWriter::begin(file, head, pre) {
                Ok(writer) => Ok(ChainOutput::Json(path, writer)),
                Err(error) => Err(OutputError { path, error }),
            },
            Self::Rlp { blocks, mut genesis } => {
                write_genesis(&mut genesis.file, head, pre).map_err(|error| genesis.error(error))?;
                Ok(ChainOutput::Rlp { blocks, genesis })
            }
        }
    }
}

impl ChainOutput {
    /// Writes the next block.
    pub(super) fn block(&mut self, block: &SignedBlock) -> Result<(), OutputError> {
        match self {
            Self::Json(path, writer) => {
                writer.block(block).map_err(|error| OutputError { path: path.clone(), error })
            }
            Self::Rlp { blocks, .. } => {
                blocks.file.write_all(&alloy_rlp::encode(block)).map_err(|error| blocks.error(error))
            }
        }
    }

    /// Ends the files after the block `last`, gives them their names, and returns the name of the file with the blocks.
    pub(super) fn finish(self, last: &Header) -> Result<PathBuf, OutputError> {
        match self {
            Self::Json(path, writer) => match writer.finish(last).and_then(NewFile::keep) {
                Ok(()) => Ok(path),
                Err(error) => Err(OutputError { path, error }),
            },
            Self::Rlp { blocks, genesis } => {
                let genesis = genesis.keep()?;
                // Of two files none may stay without the other.
                blocks.keep().inspect_err(|_| drop(fs::remove_file(genesis)))
            }
        }
    }
}
