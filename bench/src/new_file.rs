//! A file that is there whole or not at all, and never in the place of another.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

/// A file that is being written, under another name until it is [kept](Self::keep); who is dropped before
/// that leaves nothing.
#[derive(Debug)]
pub(crate) struct NewFile {
    path: PathBuf,
    partial: PathBuf,
    output: BufWriter<File>,
}

impl NewFile {
    /// Begins a file.
    ///
    /// # Errors
    ///
    /// If there is something at `path`, or the folder takes no file.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        if path.symlink_metadata().is_ok() {
            let error = "it is there already, and is not written over";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, error));
        }
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        // What an earlier run left that was killed is of no use to anybody.
        let output = BufWriter::with_capacity(1 << 16, File::create(&partial)?);
        Ok(Self { path: path.to_owned(), partial: partial.into(), output })
    }

    /// Gives the file its name.
    ///
    /// # Errors
    ///
    /// If what was written is not all there, or the name cannot be given.
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
        // Where it was kept, there is none of that name any more.
        let _ = fs::remove_file(&self.partial);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_kept_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut file = NewFile::create(&path).unwrap();
        file.write_all(b"half").unwrap();
        drop(file);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_that_is_there_stays() {
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
