//! Folders of access lists: the names of the files, reading, and writing.
//!
//! A name has the fixture, the case and the block number, shortened for every file system, and a digest that
//! distinguishes blocks. It does not depend on the folder of the fixture.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
};

use alloy_eips::eip7928::{BlockAccessList, compute_block_access_list_hash};
use alloy_primitives::{B256, Keccak256};
use blockloom_engine::Block;
use blockloom_fixtures::{Problem, list_json, read_list};

/// The name of the files with a block's list, without the extension.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct BlockName(String);

/// The most characters of a fixture and of a case in a name. Most file systems allow 255 characters in total.
const MOST_OF_FIXTURE: usize = 60;
const MOST_OF_CASE: usize = 120;

impl BlockName {
    /// The name of a block in a case of a fixture.
    pub(crate) fn new(fixture: &str, case: &str, block: &Block) -> Self {
        let file = Path::new(fixture).file_stem().unwrap_or_default().to_string_lossy();
        let (number, digest) = (block.number(), digest(&file, case, block));
        let mut name = safe(&file, MOST_OF_FIXTURE);
        if case != file {
            name = format!("{name}-{}", safe(case, MOST_OF_CASE));
        }
        Self(format!("{name}-{number}-{}", &format!("{digest:x}")[2..14]))
    }
}

/// The end of a text, restricted to characters without a meaning to file systems and shells. The end, because
/// cases that are named by paths differ there.
fn safe(text: &str, most: usize) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ".=".contains(c);
    let mut safe = String::new();
    for c in text.chars() {
        if is_plain(c) {
            safe.push(c);
        } else if !safe.ends_with('_') {
            safe.push('_');
        }
    }
    let safe = safe.trim_end_matches(['_', '.']);
    safe[safe.len().saturating_sub(most)..].trim_start_matches(['_', '.']).to_owned()
}

/// Distinguishes blocks with the same number in one case: siblings, and the variants of a state test.
fn digest(file: &str, case: &str, block: &Block) -> B256 {
    let mut hasher = Keccak256::new();
    for text in [file, case, block.rules.fork.name()] {
        hasher.update((text.len() as u64).to_be_bytes());
        hasher.update(text);
    }
    hasher.update(block.number().to_be_bytes());
    hasher.update(block.parent_hash);
    hasher.update(block.env.timestamp.to_be_bytes::<32>());
    hasher.update(block.env.beneficiary);
    for transaction in &block.transactions {
        hasher.update(transaction.hash);
        // The transaction hash of a state test is not a real one.
        hasher.update(transaction.env.gas_limit.to_be_bytes());
        hasher.update(transaction.env.value.to_be_bytes::<32>());
    }
    hasher.finalize()
}

/// A folder of access lists.
#[derive(Debug)]
pub(crate) struct ListFolder {
    path: PathBuf,
    /// The hash of each written list.
    written: HashMap<BlockName, B256>,
}

/// The result of reading a block's list.
#[derive(Debug)]
pub(crate) enum Found {
    List(BlockAccessList),
    Nothing,
    /// Why the file cannot be used.
    Unusable(String),
}

impl ListFolder {
    /// Opens a folder for reading.
    ///
    /// # Errors
    ///
    /// If it has no list. A likely mistake is to pass the folder of the fixtures.
    pub(crate) fn open(path: &Path) -> Result<Self, String> {
        let is_list =
            |entry: fs::DirEntry| entry.path().extension().is_some_and(|extension| extension == "rlp");
        let mut entries = fs::read_dir(path).map_err(|error| {
            format!("{}: cannot read the folder of access lists: {error}", path.display())
        })?;
        if entries.any(|entry| entry.is_ok_and(is_list)) {
            Ok(Self::at(path))
        } else {
            Err(format!("{}: this folder has no access list (*.rlp)", path.display()))
        }
    }

    fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), written: HashMap::new() }
    }

    /// Opens a folder for writing, and creates it if necessary.
    ///
    /// # Errors
    ///
    /// If it cannot be created.
    pub(crate) fn make(path: &Path) -> Result<Self, String> {
        fs::create_dir_all(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self::at(path))
    }

    /// Reads a block's list. Returns the path of the file as well.
    pub(crate) fn read(&self, name: &BlockName) -> (PathBuf, Found) {
        let file = self.file(name, "rlp");
        let found = match read_list(&file) {
            Ok(list) => Found::List(list),
            Err(error) if matches!(error.problem, Problem::NoSuchPath) => Found::Nothing,
            Err(error) => Found::Unusable(error.to_string()),
        };
        (file, found)
    }

    /// Writes a block's list, as RLP and as JSON.
    ///
    /// # Errors
    ///
    /// If a file cannot be written, or a different list was written for a block with the same name.
    pub(crate) fn write(&mut self, name: BlockName, list: &BlockAccessList) -> Result<(), String> {
        let file = self.file(&name, "rlp");
        let failure = |file: &Path, error: io::Error| format!("{}: {error}", file.display());
        let hash = compute_block_access_list_hash(list);
        if self.written.get(&name).is_some_and(|written| *written != hash) {
            return Err(format!("{}: two blocks with different lists have this name", file.display()));
        }
        fs::write(&file, alloy_rlp::encode(list)).map_err(|error| failure(&file, error))?;
        let file = self.file(&name, "json");
        fs::write(&file, format!("{:#}\n", list_json(list))).map_err(|error| failure(&file, error))?;
        self.written.insert(name, hash);
        Ok(())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn file(&self, name: &BlockName, extension: &str) -> PathBuf {
        self.path.join(format!("{}.{extension}", name.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_only_characters_that_are_safe_everywhere() {
        let text = "../a b::test_x[fork_Osaka-blob\u{e9}>1]";
        assert_eq!(safe(text, 120), "a_b_test_x_fork_Osaka_blob_1");
        assert_eq!(safe(text, 10), "aka_blob_1");
        assert_eq!(safe("..", 10), "");
    }
}
