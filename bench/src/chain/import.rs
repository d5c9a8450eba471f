//! Importing files of blocks into a chain, one after the other.

use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use alloy_primitives::B256;
use blockloom_engine::{ChainSpec, Engine};
use blockloom_fixtures::{
    Arrival, BlockPosition, Chain, DiskChain, DiskChainError, DiskGenesis, FixtureError, ImportError,
    LongChain, Outline, Source, Sources, Summary, Unsupported, WireBlock,
};
use blockloom_state::{DiskConfig, DiskError, DiskStore};

use super::pace::Pace;
use crate::{Status, interrupt::is_interrupted, progress};

/// Why an import came to nothing, or not to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum ImportFailure {
    /// A file cannot be read.
    #[error(transparent)]
    Fixture(#[from] FixtureError),
    /// A folder is no chain.
    #[error("{}: there is a single block in this folder, and no chain", .0.display())]
    NoChain(PathBuf),
    /// Nobody has the rules.
    #[error("{}: {reason}", .path.display())]
    Unsupported { path: PathBuf, reason: Unsupported },
    /// A block is none.
    #[error("{}: blocks[{position}]: {error}", .path.display())]
    NoBlock { path: PathBuf, position: BlockPosition, error: Box<ImportError> },
    /// The file is of another chain.
    #[error(
        "{}: its first block is {found}, and that of the chain in {} is {stored}",
        .path.display(), .folder.display()
    )]
    OtherGenesis { path: PathBuf, folder: PathBuf, stored: B256, found: B256 },
    /// The file is of another branch.
    #[error("{}: {error}; to import it, go back first: --revert {undo}", .path.display())]
    OtherBranch { path: PathBuf, error: Box<DiskChainError>, undo: u64 },
    /// The chain ends in another block than the file says.
    #[error("{}: it says that it ends in block {expected}, but it ends in {found}", .path.display())]
    End { path: PathBuf, expected: B256, found: B256 },
    /// A block, or the first state, is not as it should be.
    #[error("{}: {error}", .path.display())]
    Chain { path: PathBuf, error: Box<DiskChainError> },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] DiskError),
}

impl ImportFailure {
    fn of(path: &Path, error: DiskChainError) -> Self {
        let path = path.to_owned();
        match error {
            DiskChainError::OtherBranch { number, head, .. } => {
                Self::OtherBranch { path, error: Box::new(error), undo: head + 1 - number }
            }
            DiskChainError::Store(error) => Self::Store(error),
            error => Self::Chain { path, error: Box::new(error) },
        }
    }

    /// How the command ends because of it.
    pub(super) fn status(&self) -> Status {
        match self {
            Self::NoBlock { .. } | Self::End { .. } => Status::Failed,
            Self::Chain { error, .. } => match **error {
                DiskChainError::Block(_) | DiskChainError::GenesisRoot { .. } => Status::Failed,
                _ => Status::Unusable,
            },
            _ => Status::Unusable,
        }
    }
}

/// An import into a chain.
#[derive(Debug)]
pub(super) struct Import<'a> {
    folder: &'a Path,
    config: DiskConfig,
    case: Option<String>,
    engine: Engine,
    /// The chain's store, once there is one.
    pub(super) store: Option<DiskStore>,
    pub(super) pace: Pace,
}

impl<'a> Import<'a> {
    pub(super) fn new(
        folder: &'a Path,
        config: DiskConfig,
        case: Option<String>,
        engine: Engine,
        store: Option<DiskStore>,
    ) -> Self {
        Self { folder, config, case, engine, store, pace: Pace::new() }
    }

    /// Imports all files, until one cannot be imported. What was imported is on disk in the end.
    pub(super) fn run(&mut self, paths: &[PathBuf]) -> Result<Status, ImportFailure> {
        let result = Sources::new(paths).try_for_each(|source| match self.import(source) {
            Ok(ControlFlow::Continue(())) => ControlFlow::Continue(()),
            Ok(ControlFlow::Break(())) => ControlFlow::Break(Ok(Status::Interrupted)),
            Err(failure) => ControlFlow::Break(Err(failure)),
        });
        if let Some(store) = &mut self.store {
            store.flush()?;
        }
        result.break_value().unwrap_or(Ok(Status::Verified))
    }

    /// Imports a file. Breaks off where somebody asks to stop.
    fn import(&mut self, source: Result<Source, FixtureError>) -> Result<ControlFlow<()>, ImportFailure> {
        let path = match source? {
            Source::File(path) => path,
            Source::Folder(path) => return Err(ImportFailure::NoChain(path)),
        };
        let file = LongChain::new(path, self.case.clone());
        let Some((mut chain, outline)) = self.enter(&file)? else { return Ok(ControlFlow::Break(())) };
        self.pace.begin(outline.blocks);
        let imported = self.import_blocks(&file, &outline, &mut chain);
        self.pace.end();
        self.store = Some(chain.into_store());
        imported
    }

    /// The chain that a file is of, which is made if it is not there, and what the file says of it. Nothing
    /// if somebody asks to stop.
    fn enter(&mut self, file: &LongChain) -> Result<Option<(DiskChain, Outline)>, ImportFailure> {
        let failure = |error| ImportFailure::of(file.path(), error);
        let Some(store) = &self.store else { return self.make(file) };
        let stored = DiskChain::genesis_of(store).map_err(failure)?;
        let Some(outline) = file.outline(None)? else { return Ok(None) };
        let (found, spec) = (outline.genesis.hash_slow(), spec(file, &outline)?);
        if stored != found {
            let (path, folder) = (file.path().to_owned(), self.folder.to_owned());
            return Err(ImportFailure::OtherGenesis { path, folder, stored, found });
        }
        let chain = self.store.take().map(|store| DiskChain::open(store, spec));
        chain.transpose().map(|chain| chain.map(|chain| (chain, outline))).map_err(failure)
    }

    /// Makes the chain that a file is of.
    fn make(&self, file: &LongChain) -> Result<Option<(DiskChain, Outline)>, ImportFailure> {
        let bar = progress::count("accounts read");
        let mut begun = None;
        let mut failure = None;
        let outline = file.outline(Some(&mut |address, allocation| {
            bar.inc(1);
            let added = match &mut begun {
                Some(genesis) => DiskGenesis::add(genesis, address, allocation),
                none => DiskGenesis::begin(self.folder, self.config)
                    .and_then(|genesis| none.insert(genesis).add(address, allocation)),
            };
            let flow = flow_after(&added);
            failure = added.err();
            flow
        }))?;
        bar.finish_and_clear();
        let Some(outline) = outline else { return failure.map_or(Ok(None), |error| Err(error.into())) };
        let spec = spec(file, &outline)?;
        let genesis = begun.map_or_else(|| DiskGenesis::begin(self.folder, self.config), Ok)?;
        let chain = genesis.finish(spec, outline.genesis.clone());
        Ok(Some((chain.map_err(|error| ImportFailure::of(file.path(), error))?, outline)))
    }

    fn import_blocks(
        &mut self,
        file: &LongChain,
        outline: &Outline,
        chain: &mut DiskChain,
    ) -> Result<ControlFlow<()>, ImportFailure> {
        let mut last = Ok(Arrival::Known);
        let flow = file.blocks(|block| {
            if block.expect.is_some() {
                self.pace.left_out();
                return ControlFlow::Continue(());
            }
            last = self.import_block(file.path(), block, chain);
            flow_after(&last)
        })?;
        let (path, expected) = (file.path().to_owned(), outline.last_block_hash);
        match last? {
            Arrival::Added(Summary { hash: found, .. }) if flow.is_continue() && found != expected => {
                Err(ImportFailure::End { path, expected, found })
            }
            Arrival::Added(_) | Arrival::Known => Ok(flow),
        }
    }

    fn import_block(
        &mut self,
        path: &Path,
        block: WireBlock,
        chain: &mut DiskChain,
    ) -> Result<Arrival, ImportFailure> {
        let WireBlock { position, rlp, access_list, .. } = block;
        let no_block =
            |error| ImportFailure::NoBlock { path: path.to_owned(), position, error: Box::new(error) };
        let signed = Chain::decode(&rlp).map_err(no_block)?;
        let arrival = chain.import(signed, access_list, &self.engine);
        let arrival = arrival.map_err(|error| ImportFailure::of(path, error))?;
        match &arrival {
            Arrival::Added(summary) => self.pace.added(summary),
            Arrival::Known => self.pace.passed_over(),
        }
        Ok(arrival)
    }
}

/// Whether to go on after this.
fn flow_after<T, E>(result: &Result<T, E>) -> ControlFlow<()> {
    if result.is_err() || is_interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

fn spec(file: &LongChain, outline: &Outline) -> Result<ChainSpec, ImportFailure> {
    let unsupported =
        |reason: &Unsupported| ImportFailure::Unsupported { path: file.path().to_owned(), reason: *reason };
    outline.chain.as_ref().cloned().map_err(unsupported)
}
