//! The chain that a file belongs to: created from the genesis of the file, or stored before.

use std::{ops::ControlFlow, path::Path};

use blockloom_engine::ChainSpec;
use blockloom_fixtures::{DiskChain, DiskGenesis, LongChain, Outline};
use blockloom_state::{DiskConfig, DiskStore};

use super::import::ImportFailure;
use crate::{interrupt::is_interrupted, progress};

/// Creates the chain in `folder` from the genesis of a file. Returns the outline of the file as well, or `None` after
/// an interrupt.
pub(crate) fn create(
    file: &LongChain,
    folder: &Path,
    config: DiskConfig,
) -> Result<Option<(DiskChain, Outline)>, ImportFailure> {
    let bar = progress::count("accounts read");
    let mut begun = None;
    let mut failure = None;
    let outline = file.outline(Some(&mut |address, allocation| {
        bar.inc(1);
        let added = match &mut begun {
            Some(genesis) => DiskGenesis::add(genesis, address, allocation),
            // The folder is left alone until a file turned out to have a chain.
            none => DiskGenesis::begin(folder, config)
                .and_then(|genesis| none.insert(genesis).add(address, allocation)),
        };
        failure = added.err();
        if failure.is_some() || is_interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }))?;
    bar.finish_and_clear();
    let Some(outline) = outline else { return failure.map_or(Ok(None), |error| Err(error.into())) };
    let spec = spec(file, &outline)?;
    let genesis = begun.map_or_else(|| DiskGenesis::begin(folder, config), Ok)?;
    let chain = genesis.finish(spec, outline.genesis.clone());
    Ok(Some((chain.map_err(|error| ImportFailure::of(file.path(), error))?, outline)))
}

/// The outline of a file and its rules, if its genesis is that of the chain in `store`, which is in `folder`. `None`
/// after an interrupt.
pub(crate) fn outline_of_stored(
    file: &LongChain,
    store: &DiskStore,
    folder: &Path,
) -> Result<Option<(Outline, ChainSpec)>, ImportFailure> {
    let stored = DiskChain::genesis_of(store).map_err(|error| ImportFailure::of(file.path(), error))?;
    let Some(outline) = file.outline(None)? else { return Ok(None) };
    let (found, spec) = (outline.genesis.hash_slow(), spec(file, &outline)?);
    if stored != found {
        let (path, folder) = (file.path().to_owned(), folder.to_owned());
        return Err(ImportFailure::OtherGenesis { path, folder, stored, found });
    }
    Ok(Some((outline, spec)))
}

/// The rules of the chain in a file.
pub(crate) fn spec(file: &LongChain, outline: &Outline) -> Result<ChainSpec, ImportFailure> {
    let path = || file.path().to_owned();
    outline.chain.clone().map_err(|reason| ImportFailure::Unsupported { path: path(), reason })
}
