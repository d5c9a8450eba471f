//! A new file that appears whole or not at all, and never replaces an existing file.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

/// A file under construction. It has a temporary name until [`keep`](Self::keep) renames it; if it is dropped
/// before that, the temporary file is removed.
#[derive(Debug)]
pub(crate) struct NewFile {
    path: PathBuf,
    partial: PathBuf,
    output: BufWriter<File>,
}

impl NewFile {
    /// Creates the temporary file.
    ///
    /// # Errors
    ///
    /// If `path` exists already, or the temporary file cannot be created.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        if path.symlink_metadata().is_ok() {
            let error = "it exists already and is not overwritten";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, error));
        }
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        // Overwrites a temporary file that a killed run left.
        let output = BufWriter::with_capacity(1 << 16, File::create(&partial)?);
        Ok(Self { path: path.to_owned(), partial: partial.into(), output })
    }

    /// Renames the temporary file to its final name.
    ///
    /// # Errors
    ///
    /// If the last bytes cannot be written, or the file cannot be renamed.
    pub(crate) fn keep(mut self) -> io::Result<()> {
        self.output.flush()?;
        fs::rename(&self.partial, &self.path)
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // After `keep` there is no file with the temporary name.
        let _ = fs::remove_file(&self.partial);
    }
}

#[cfg(test)]
mod tests {
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
}
