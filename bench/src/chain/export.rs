//! Writes the kept blocks of a chain to a file.

use std::{
    error::Error,
    io::{self, Write},
    path::Path,
};

use blockloom_fixtures::KeptBlocks;
use blockloom_state::DiskStore;
use flate2::{Compression, write::GzEncoder};

use crate::{
    ExitStatus, interrupt::is_interrupted, new_file::NewFile, output::print_line, progress, quantity::counted,
};

/// Writes the kept blocks to the file `path`, which does not exist yet. After an interrupt or an error it does not
/// exist either.
pub(super) fn export(store: &DiskStore, path: &Path) -> Result<ExitStatus, Box<dyn Error>> {
    let failure = |error: io::Error| format!("{}: {error}", path.display());
    let blocks = KeptBlocks::of(store)?;
    let last = store.head().number;
    let Some(first) = blocks.next_number() else {
        return Err(format!("{}: no block is kept that could be exported", store.path().display()).into());
    };
    let file = NewFile::create(path).map_err(failure)?;
    let is_packed = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gz"));
    let file = if is_packed {
        let packed = write(blocks, last, GzEncoder::new(file, Compression::default()), failure)?;
        packed.finish().map_err(failure)?
    } else {
        write(blocks, last, file, failure)?
    };
    if is_interrupted() {
        return Ok(ExitStatus::Interrupted);
    }
    file.keep().map_err(failure)?;
    let count = counted(last - first + 1, "block");
    print_line(&format!("exported {count}, {first} to {last}, to {}", path.display()))?;
    Ok(ExitStatus::Verified)
}

/// Writes the blocks up to an interrupt, and returns the output.
fn write<W: Write>(
    blocks: KeptBlocks<'_>,
    last: u64,
    mut output: W,
    failure: impl Fn(io::Error) -> String,
) -> Result<W, Box<dyn Error>> {
    let count = blocks.next_number().map_or(0, |first| last - first + 1);
    let bar = progress::bar(count, "blocks");
    for block in blocks.take_while(|_| !is_interrupted()) {
        output.write_all(&block?).map_err(&failure)?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(output)
}
