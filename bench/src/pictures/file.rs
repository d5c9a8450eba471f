//! A file that is there only once it is whole; packed if its name ends in `.gz`.

use std::{
    fs,
    io::{self, BufWriter, Write},
    path::Path,
};

use flate2::{Compression, write::GzEncoder};

/// Writes a file in place of the one that may be there. After an error there is the file from before. What is no file, such
/// as a pipe, is written to.
///
/// # Errors
///
/// If it cannot be written. The error names the file.
pub(crate) fn write_file(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), String> {
    if path == Path::new("-") {
        return Err("-: a picture needs a file".to_owned());
    }
    write_whole(path, write).map_err(|error| format!("{}: {error}", path.display()))
}

fn write_whole(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    // What a link leads to is replaced, and not the link.
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let is_packed = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gz"));
    if path.exists() && !path.is_file() {
        let mut output = BufWriter::new(fs::OpenOptions::new().write(true).open(path)?);
        write_packed(&mut output, is_packed, write)?;
        return output.flush();
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let file = tempfile::Builder::new().permissions(permissions()).tempfile_in(folder)?;
    let mut output = BufWriter::new(file);
    write_packed(&mut output, is_packed, write)?;
    let file = output.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

fn write_packed(
    output: &mut dyn Write,
    is_packed: bool,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    if !is_packed {
        return write(output);
    }
    let mut packed = GzEncoder::new(output, Compression::default());
    write(&mut packed)?;
    packed.finish().map(drop)
}

/// The usual ones of a new file; the system takes away what the user does not want to give.
fn permissions() -> fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o666)
}
