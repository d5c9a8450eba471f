//! The chain that a file belongs to: created from the genesis of the file, or stored before.

use std::{ops::ControlFlow, path::Path};

use alloy_consensus::Header;
use blockloom_engine::ChainSpec;
use blockloom_fixtures::{DiskChain, DiskGenesis, LongChain, Outline};
use blockloom_state::{DiskConfig, DiskError, DiskStore};

use super::import::ImportFailure;
use crate::{interrupt::is_interrupted, progress};

/// Creates the chain in `folder` from the genesis of a file. Returns the outline of the file as well, or `None` after
/// an interrupt. After that, and after a genesis that is wrong, nothing is left in the folder.
pub(crate) fn create(
    file: &LongChain,
    folder: &Path,
    config: DiskConfig,
) -> Result<Option<(DiskChain, Outline)>, ImportFailure> {
    let mut begun = None;
    let read = read_genesis(file, folder, config, &mut begun);
    match (read, begun) {
        (Ok(Some((spec, header, outline))), Some(genesis)) => {
            let chain = genesis.finish(spec, header);
            Ok(Some((chain.map_err(|error| ImportFailure::of(file.path(), error))?, outline)))
        }
        (read, begun) => {
            // The first failure says more than that of cleaning up.
            let discarded = begun.map_or(Ok(()), DiskGenesis::discard);
            read?;
            discarded?;
            Ok(None)
        }
    }
}

/// Reads the genesis of a file, and begins the chain in `folder` with its accounts. `None` after an interrupt.
fn read_genesis(
    file: &LongChain,
    folder: &Path,
    config: DiskConfig,
    begun: &mut Option<DiskGenesis>,
) -> Result<Option<(ChainSpec, Header, Outline)>, ImportFailure> {
    let bar = progress::count("accounts read");
    let mut failure = None;
    let outline = file.outline(Some(&mut |address, allocation| {
        bar.inc(1);
        // The folder is left alone until a file turned out to have a chain.
        let added = begin(begun, folder, config).and_then(|genesis| genesis.add(address, allocation));
        failure = added.err();
        if failure.is_some() || is_interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }))?;
    bar.finish_and_clear();
    let Some(outline) = outline else { return failure.map_or(Ok(None), |error| Err(error.into())) };
    let spec = spec(file, &outline)?;
    let genesis = begin(begun, folder, config)?;
    let header = outline.genesis.clone().with_root(|| genesis.root())?;
    file.check_genesis(&header)?;
    Ok(Some((spec, header, outline)))
}

/// The chain that was begun, or is begun now.
fn begin<'g>(
    begun: &'g mut Option<DiskGenesis>,
    folder: &Path,
    config: DiskConfig,
) -> Result<&'g mut DiskGenesis, DiskError> {
    match begun {
        Some(genesis) => Ok(genesis),
        none => Ok(none.insert(DiskGenesis::begin(folder, config)?)),
    }
}

/// The outline of a file and its rules, if its genesis is that of the chain in `store`, which is in `folder`. `None`
/// after an interrupt. The accounts of a genesis are not read again: where the file does not say their root, the
/// header is compared with that of the store, and the first block with its hash.
pub(crate) fn outline_of_stored(
    file: &LongChain,
    store: &DiskStore,
    folder: &Path,
) -> Result<Option<(Outline, ChainSpec)>, ImportFailure> {
    let stored = DiskChain::genesis_of(store).map_err(|error| ImportFailure::of(file.path(), error))?;
    let Some(outline) = file.outline(None)? else { return Ok(None) };
    let spec = spec(file, &outline)?;
    let header = outline.genesis.clone().with_root(|| Ok::<_, ImportFailure>(stored.root))?;
    let found = header.hash_slow();
    if stored.hash != found {
        let (path, folder) = (file.path().to_owned(), folder.to_owned());
        return Err(ImportFailure::OtherGenesis { path, folder, stored: stored.hash, found });
    }
    file.check_genesis(&header)?;
    Ok(Some((outline, spec)))
}

/// The rules of the chain in a file.
pub(crate) fn spec(file: &LongChain, outline: &Outline) -> Result<ChainSpec, ImportFailure> {
    let path = || file.path().to_owned();
    outline.chain.clone().map_err(|reason| ImportFailure::Unsupported { path: path(), reason })
}
