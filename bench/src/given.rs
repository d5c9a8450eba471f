//! The access lists (EIP-7928) that blocks are executed with, and where they come from.

use std::{
    borrow::Cow,
    fmt,
    path::{Path, PathBuf},
};

use blockloom_engine::{Block, BlockError, Config, Engine, GivenList, Lists};
use blockloom_state::MemoryStore;

use crate::list_files::{BlockName, Found, ListFolder};

/// The block without the access list that came with it, if one did.
pub(crate) fn without_list(block: &Block) -> Cow<'_, Block> {
    match block.list {
        GivenList::Nothing => Cow::Borrowed(block),
        GivenList::Hint(_) | GivenList::Claim(_) => {
            Cow::Owned(Block { list: GivenList::Nothing, ..block.clone() })
        }
    }
}

/// The block with the access list that executing it yields, as a hint.
///
/// # Errors
///
/// If the block is invalid.
pub(crate) fn with_own_list(base: &MemoryStore, block: &Block) -> Result<Block, BlockError> {
    let config = Config { lists: Lists::Always, ..Config::sequential() };
    let list = Engine::new(config).execute(base, block)?.access_list;
    let list = list.expect("the engine lists what every block accesses");
    Ok(block.clone().with_hint(list).expect("a list that execution yields is in order"))
}

/// Hands out the access lists of blocks, and notes what was wrong with them.
#[derive(Debug)]
pub(crate) struct GivenLists {
    /// Where lists are read that did not come with their blocks.
    folder: Option<ListFolder>,
    /// How many blocks had a list.
    given: usize,
    /// How many that were executed have none in the folder.
    missing: usize,
    /// Where the list of the first of these should be.
    first_missing: Option<PathBuf>,
    /// Which files are unusable, and why.
    unusable: Vec<String>,
}

/// What was found for a block.
#[derive(Debug)]
pub(crate) enum Given {
    /// The block with its list.
    Listed(Box<Block>),
    /// No list; the folder should have one in this file.
    Missing(PathBuf),
    /// No list, which is nothing to speak of.
    Nothing,
}

impl Given {
    pub(crate) fn listed(&self) -> Option<&Block> {
        match self {
            Self::Listed(block) => Some(block),
            Self::Missing(_) | Self::Nothing => None,
        }
    }
}

impl GivenLists {
    /// The lists that come with the blocks, and those in a folder for blocks that come with none.
    ///
    /// # Errors
    ///
    /// If there is no such folder.
    pub(crate) fn new(folder: Option<&Path>) -> Result<Self, String> {
        let folder = folder.map(ListFolder::open).transpose()?;
        Ok(Self { folder, given: 0, missing: 0, first_missing: None, unusable: Vec::new() })
    }

    /// The block with its list, where there is one.
    pub(crate) fn give(&mut self, block: &Block, name: impl FnOnce() -> BlockName) -> Given {
        if block.list.foresight().is_some() {
            self.given += 1;
            return Given::Listed(Box::new(block.clone()));
        }
        let Some(folder) = &self.folder else { return Given::Nothing };
        let (file, found) = folder.read(&name());
        let listed = match found {
            Found::List(list) => block.clone().with_hint(list).map_err(|error| error.to_string()),
            Found::Nothing => return Given::Missing(file),
            Found::Unusable(error) => {
                self.unusable.push(error);
                return Given::Nothing;
            }
        };
        match listed {
            Ok(listed) => {
                self.given += 1;
                Given::Listed(Box::new(listed))
            }
            Err(error) => {
                self.unusable.push(format!("{}: {error}", file.display()));
                Given::Nothing
            }
        }
    }

    /// Notes that a block that should have had its list in `file` was executed without one.
    pub(crate) fn miss(&mut self, file: PathBuf) {
        self.missing += 1;
        self.first_missing.get_or_insert(file);
    }

    /// Whether lists were looked for and none was found: a slip of the pen, and no success.
    pub(crate) fn are_elsewhere(&self) -> bool {
        self.given == 0 && self.missing > 0
    }

    /// Hands out what is unusable, as found since the last call.
    pub(crate) fn take_unusable(&mut self) -> Vec<String> {
        std::mem::take(&mut self.unusable)
    }
}

/// Lines about how many blocks had a list, and how many had none.
impl fmt::Display for GivenLists {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} blocks were executed with an access list", self.given)?;
        let Some(first) = &self.first_missing else { return Ok(()) };
        writeln!(f, "{} blocks have none, the first would be {}", self.missing, first.display())
    }
}
