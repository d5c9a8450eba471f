//! A new file that appears whole or not at all, and never replaces an existing file.

use std::{
    fs::Permissions,
    io::{self, BufWriter, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

/// What a file is created with; the process's mask takes the rest away.
const MODE: u32 = 0o666;

/// A file under construction. It has a temporary name in the same folder until [`keep`](Self::keep) renames it; if it
/// is dropped before that, the temporary file is removed.
#[derive(Debug)]
pub(crate) struct NewFile {
    path: PathBuf,
    output: BufWriter<NamedTempFile>,
}

impl NewFile {
    /// Creates the temporary file.
    ///
    /// # Errors
    ///
    /// If `path` exists already, or the temporary file cannot be created.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        if path.symlink_metadata().is_ok() {
            return Err(exists());
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let mut builder = tempfile::Builder::new();
        builder.prefix(path.file_name().unwrap_or_default()).suffix(".partial");
        builder.permissions(Permissions::from_mode(MODE));
        let file = builder.tempfile_in(folder.unwrap_or(Path::new(".")))?;
        Ok(Self { path: path.to_owned(), output: BufWriter::with_capacity(1 << 16, file) })
    }

    /// Renames the temporary file to its final name.
    ///
    /// # Errors
    ///
    /// If the last bytes cannot be written, the file cannot be renamed, or another process has created it meanwhile.
    pub(crate) fn keep(self) -> io::Result<()> {
        let file = self.output.into_inner()?;
        match file.persist_noclobber(&self.path) {
            Ok(_) => Ok(()),
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Err(exists()),
            Err(error) => Err(error.error),
        }
    }
}

fn exists() -> io::Error {
    io::Error::new(io::ErrorKind::AlreadyExists, "it exists already and is not overwritten")
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_dropped_file_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut file = NewFile::create(&path).unwrap();
        file.write_all(b"half").unwrap();
        drop(file);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn an_existing_file_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut file = NewFile::create(&path).unwrap();
        file.write_all(b"whole").unwrap();
        file.keep().unwrap();
        assert!(NewFile::create(&path).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_appears_meanwhile_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let file = NewFile::create(&path).unwrap();
        fs::write(&path, b"other").unwrap();
        let error = file.keep().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"other");
    }
}
