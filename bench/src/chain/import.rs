//! Imports files of blocks into a chain, one after the other.

use std::{
    error::Error,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use alloy_primitives::B256;
use blockloom_engine::SignedBlock;
use blockloom_fixtures::{
    BlockPosition, BlockSender, Chain, DiskChain, DiskChainError, FixtureError, ImportError, ImportProgress,
    Importer, LongChain, Outline, Sent, Source, Sources, Unsupported, WireBlock,
};
use blockloom_state::{DiskError, DiskStore};

use super::{
    Arguments,
    opening::{create, outline_of_stored},
    pictures::Pictures,
    throughput::Throughput,
};
use crate::{ExitStatus, input::print_skipped, interrupt::is_interrupted};

/// Why an import failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImportFailure {
    /// A file cannot be read.
    #[error(transparent)]
    Fixture(#[from] FixtureError),
    /// A folder has a single block instead of a chain.
    #[error("{}: this folder has a single block, not a chain", .0.display())]
    NoChain(PathBuf),
    /// The rules of the chain are not supported.
    #[error("{}: {reason}", .path.display())]
    Unsupported { path: PathBuf, reason: Unsupported },
    /// A block does not decode.
    #[error("{}: {position}: {error}", .path.display())]
    NoBlock { path: PathBuf, position: BlockPosition, error: Box<ImportError> },
    /// The file has a chain with another genesis.
    #[error(
        "{}: the genesis is {found}, but that of the chain in {} is {stored}",
        .path.display(), .folder.display()
    )]
    OtherGenesis { path: PathBuf, folder: PathBuf, stored: B256, found: B256 },
    /// The file has another branch of the chain.
    #[error("{}: {error}; to import it, undo blocks first: --revert {undo}", .path.display())]
    OtherBranch { path: PathBuf, error: Box<DiskChainError>, undo: u64 },
    /// The last block is not the one that the file declares.
    #[error("{}: the declared last block is {expected}, but the last block is {found}", .path.display())]
    End { path: PathBuf, expected: B256, found: B256 },
    /// A block or the genesis state is wrong.
    #[error("{}: {error}", .path.display())]
    Chain { path: PathBuf, error: Box<DiskChainError> },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] DiskError),
}

impl ImportFailure {
    pub(crate) fn of(path: &Path, error: DiskChainError) -> Self {
        let path = path.to_owned();
        match error {
            DiskChainError::OtherBranch { number, head, .. } => {
                Self::OtherBranch { path, error: Box::new(error), undo: head + 1 - number }
            }
            DiskChainError::Store(error) => Self::Store(error),
            error => Self::Chain { path, error: Box::new(error) },
        }
    }

    /// The exit status of the command for this failure.
    pub(super) fn status(&self) -> ExitStatus {
        match self {
            Self::NoBlock { .. } | Self::End { .. } => ExitStatus::Failed,
            Self::Chain { error, .. } => match **error {
                DiskChainError::Block(_) | DiskChainError::GenesisRoot { .. } => ExitStatus::Failed,
                _ => ExitStatus::Unusable,
            },
            _ => ExitStatus::Unusable,
        }
    }
}

/// An import into a chain.
#[derive(Debug)]
pub(super) struct Import<'a> {
    arguments: &'a Arguments,
    importer: Importer,
    /// The store of the chain, once it exists.
    pub(super) store: Option<DiskStore>,
    pub(super) throughput: Throughput,
    pub(super) pictures: Option<Pictures>,
}

impl<'a> Import<'a> {
    /// An import with the options of the command into `store`, or into a new store.
    pub(super) fn new(arguments: &'a Arguments, store: Option<DiskStore>) -> Result<Self, Box<dyn Error>> {
        let (pictures, config) = Pictures::new(arguments, arguments.engine_config())?;
        let mut importer = Importer::new(config)?;
        if pictures.is_some() {
            importer = importer.with_jobs();
        }
        Ok(Self { arguments, importer, store, throughput: Throughput::new(), pictures })
    }

    /// Imports all files, up to the first failure. Writes the imported blocks to disk in any case.
    pub(super) fn run(&mut self) -> Result<ExitStatus, ImportFailure> {
        let mut sources = Sources::new(&self.arguments.import);
        let result = sources.try_for_each(|source| match self.import(source) {
            Ok(ControlFlow::Continue(())) => ControlFlow::Continue(()),
            Ok(ControlFlow::Break(())) => ControlFlow::Break(Ok(ExitStatus::Interrupted)),
            Err(failure) => ControlFlow::Break(Err(failure)),
        });
        if let Some(store) = &mut self.store {
            store.flush()?;
        }
        print_skipped(sources.skipped());
        result.break_value().unwrap_or(Ok(ExitStatus::Verified))
    }

    /// Imports a file, up to an interrupt.
    fn import(&mut self, source: Result<Source, FixtureError>) -> Result<ControlFlow<()>, ImportFailure> {
        let path = match source? {
            Source::File(path) => path,
            Source::Folder(path) => return Err(ImportFailure::NoChain(path)),
        };
        let Arguments { case, genesis, .. } = self.arguments;
        let file = LongChain::new(path, case.clone()).with_genesis(genesis.clone());
        let Some((mut chain, outline)) = self.open_chain(&file)? else { return Ok(ControlFlow::Break(())) };
        self.throughput.begin(outline.blocks);
        let imported = self.import_blocks(&file, &outline, &mut chain);
        self.throughput.end();
        self.store = Some(chain.into_store());
        imported
    }

    /// Opens the chain that a file belongs to, or creates it. Returns the outline of the file as well, or `None`
    /// after an interrupt.
    fn open_chain(&mut self, file: &LongChain) -> Result<Option<(DiskChain, Outline)>, ImportFailure> {
        let Arguments { folder, .. } = self.arguments;
        match &self.store {
            None => create(file, folder, self.arguments.config()),
            Some(store) => {
                let Some((outline, spec)) = outline_of_stored(file, store, folder)? else { return Ok(None) };
                let chain = self.store.take().map(|store| DiskChain::open(store, spec)).transpose();
                let chain = chain.map_err(|error| ImportFailure::of(file.path(), error))?;
                Ok(chain.map(|chain| (chain, outline)))
            }
        }
    }

    fn import_blocks(
        &mut self,
        file: &LongChain,
        outline: &Outline,
        chain: &mut DiskChain,
    ) -> Result<ControlFlow<()>, ImportFailure> {
        let Self { importer, throughput, pictures, .. } = self;
        let throughput = Mutex::new(throughput);
        let (path, pictures) = (file.path(), pictures.as_mut());
        let mut reader = Reader { path, throughput: &throughput, pictures, last: None, failure: None };
        let read = |sender: &mut BlockSender<'_, '_, '_>| file.blocks(|block| reader.send(block, sender));
        let on_block = |progress: ImportProgress<'_>| {
            if is_interrupted() {
                return ControlFlow::Break(());
            }
            lock(&throughput).added(&progress);
            ControlFlow::Continue(())
        };
        let (flow, report, imported) = chain.import_all(importer, read, on_block);
        let Reader { last, failure, pictures, .. } = reader;
        lock(&throughput).add_times(&report.times);
        if let Some(pictures) = pictures {
            pictures.imported(report);
        }
        imported.map_err(|error| ImportFailure::of(file.path(), error))?;
        failure.map_or(Ok(()), Err)?;
        let flow = if is_interrupted() { ControlFlow::Break(()) } else { flow? };
        match (last, outline.last_block_hash) {
            (Some(found), Some(expected)) if flow.is_continue() && found != expected => {
                Err(ImportFailure::End { path: file.path().to_owned(), expected, found })
            }
            _ => Ok(flow),
        }
    }
}

/// Reads the blocks of a file for an import.
struct Reader<'r, 't> {
    path: &'r Path,
    throughput: &'r Mutex<&'t mut Throughput>,
    pictures: Option<&'r mut Pictures>,
    /// The hash of the last block, if it is new.
    last: Option<B256>,
    failure: Option<ImportFailure>,
}

impl Reader<'_, '_> {
    fn send(&mut self, block: WireBlock, sender: &mut BlockSender<'_, '_, '_>) -> ControlFlow<()> {
        if block.expect.is_some() {
            lock(self.throughput).left_out();
            return ControlFlow::Continue(());
        }
        let signed = match decode(self.path, &block) {
            Ok(signed) => signed,
            Err(failure) => {
                self.failure = Some(failure);
                return ControlFlow::Break(());
            }
        };
        if let Some(pictures) = &mut self.pictures {
            pictures.read(&signed);
        }
        self.last = match sender.send(block.rlp, signed, block.access_list)? {
            Sent::New(hash) => Some(hash),
            Sent::Known => {
                lock(self.throughput).skipped();
                None
            }
        };
        if is_interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// Decodes a block of the file `path`.
pub(crate) fn decode(path: &Path, block: &WireBlock) -> Result<SignedBlock, ImportFailure> {
    Chain::decode(&block.rlp).map_err(|error| {
        let (path, position) = (path.to_owned(), block.position);
        ImportFailure::NoBlock { path, position, error: Box::new(error) }
    })
}

/// The value of a lock that no thread panics with.
fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}
