//! A file that is there only once it is whole; packed if its name ends in `.gz`.

use std::{
    io::{self, BufWriter, Write},
    path::Path,
};

use flate2::{Compression, write::GzEncoder};

/// Writes a file in place of the one that may be there. After an error there is the file from before.
///
/// # Errors
///
/// If it cannot be written. The error names the file.
pub(crate) fn write_file(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), String> {
    write_whole(path, write).map_err(|error| format!("{}: {error}", path.display()))
}

fn write_whole(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let file = tempfile::Builder::new().permissions(permissions()).tempfile_in(folder)?;
    let mut output = BufWriter::new(file);
    if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gz")) {
        let mut packed = GzEncoder::new(&mut output, Compression::default());
        write(&mut packed)?;
        packed.finish()?;
    } else {
        write(&mut output)?;
    }
    let file = output.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

/// The usual ones of a new file; the system takes away what the user does not want to give.
fn permissions() -> std::fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o666)
}
