//! The access lists (EIP-7928) that blocks are executed with: from the blocks themselves, or from a folder.

use std::{
    borrow::Cow,
    fmt,
    path::{Path, PathBuf},
};

use blockloom_engine::{Block, BlockError, Config, Engine, GivenList, Lists};
use blockloom_state::Base;

use crate::{
    list_files::{BlockName, Found, ListFolder},
    quantity::counted,
};

/// The block without its access list.
pub(crate) fn without_list(block: &Block) -> Cow<'_, Block> {
    match block.list {
        GivenList::Nothing => Cow::Borrowed(block),
        GivenList::Hint(_) | GivenList::Claim(_) => {
            Cow::Owned(Block { list: GivenList::Nothing, ..block.clone() })
        }
    }
}

/// The block with the access list of its own execution, as a hint.
///
/// # Errors
///
/// If the block is invalid.
pub(crate) fn with_own_list(base: &impl Base, block: &Block) -> Result<Block, BlockError> {
    let config = Config { lists: Lists::Always, ..Config::sequential() };
    let list = Engine::new(config).execute(base, block)?.access_list;
    let list = list.expect("`Lists::Always` produces a list");
    Ok(block.clone().with_hint(list).expect("a list that execution produces is well-formed"))
}

/// Finds the access lists of blocks, and records the missing and unusable ones.
#[derive(Debug)]
pub(crate) struct ListSource {
    /// The lists of blocks that come without one.
    folder: Option<ListFolder>,
    /// The number of blocks with a list.
    found: usize,
    /// The number of executed blocks without a list in the folder.
    missing: usize,
    /// The expected file of the first missing list.
    first_missing: Option<PathBuf>,
    /// The unusable files, with the reasons.
    unusable: Vec<String>,
}

/// The result of a search for the list of a block.
#[derive(Debug)]
pub(crate) enum Lookup {
    /// The block with its list.
    Found(Box<Block>),
    /// The folder has no such file.
    Missing(PathBuf),
    /// No list was expected, or the list is unusable.
    Nothing,
}

impl Lookup {
    pub(crate) fn found(&self) -> Option<&Block> {
        match self {
            Self::Found(block) => Some(block),
            Self::Missing(_) | Self::Nothing => None,
        }
    }
}

impl ListSource {
    /// Uses the lists of the blocks, and those in `folder` for blocks without one.
    ///
    /// # Errors
    ///
    /// If the folder cannot be read, or has no list.
    pub(crate) fn new(folder: Option<&Path>) -> Result<Self, String> {
        let folder = folder.map(ListFolder::open).transpose()?;
        Ok(Self { folder, found: 0, missing: 0, first_missing: None, unusable: Vec::new() })
    }

    /// Finds the list of a block.
    pub(crate) fn find(&mut self, block: &Block, name: impl FnOnce() -> BlockName) -> Lookup {
        if block.list.index().is_some() {
            self.found += 1;
            return Lookup::Found(Box::new(block.clone()));
        }
        let Some(folder) = &self.folder else { return Lookup::Nothing };
        let (file, found) = folder.read(&name());
        let listed = match found {
            Found::List(list) => block.clone().with_hint(list).map_err(|error| error.to_string()),
            Found::Nothing => return Lookup::Missing(file),
            Found::Unusable(error) => {
                self.unusable.push(error);
                return Lookup::Nothing;
            }
        };
        match listed {
            Ok(listed) => {
                self.found += 1;
                Lookup::Found(Box::new(listed))
            }
            Err(error) => {
                self.unusable.push(format!("{}: {error}", file.display()));
                Lookup::Nothing
            }
        }
    }

    /// Records that a block was executed without a list, because `file` does not exist.
    pub(crate) fn add_missing(&mut self, file: PathBuf) {
        self.missing += 1;
        self.first_missing.get_or_insert(file);
    }

    /// Whether no list was found at all: the folder is probably the wrong one.
    pub(crate) fn found_none(&self) -> bool {
        self.found == 0 && self.missing > 0
    }

    /// Takes the messages about unusable files since the last call.
    pub(crate) fn take_unusable(&mut self) -> Vec<String> {
        std::mem::take(&mut self.unusable)
    }
}

/// The numbers of blocks with and without a list.
impl fmt::Display for ListSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} executed with an access list", counted(self.found, "block"))?;
        let Some(first) = &self.first_missing else { return Ok(()) };
        let missing = counted(self.missing, "block");
        writeln!(f, "{missing} without a list; the first missing file is {}", first.display())
    }
}
