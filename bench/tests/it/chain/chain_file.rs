//! Generated chains in files, and runs of `blockloom chain` on them.

use std::{
    fs::File,
    io::BufWriter,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use alloy_consensus::Header;
use blockloom_bench::workloads::{
    Kind,
    chain::{ChainRecipe, GeneratedChain},
};
use blockloom_fixtures::ChainWriter;
use blockloom_state::MemoryStore;

/// The recipe of small chains.
pub(crate) const RECIPE: ChainRecipe =
    ChainRecipe { kind: Kind::Mixed, gas: 300_000, accounts: 120, seed: 1 };

/// A chain in a file, in a temporary folder.
pub(crate) struct ChainFile {
    pub(crate) folder: tempfile::TempDir,
    /// The headers of all blocks, genesis included.
    pub(crate) headers: Vec<Header>,
}

/// The result of one run of the command.
pub(crate) struct CommandResult {
    pub(crate) status: Option<i32>,
    pub(crate) output: String,
    pub(crate) error: String,
}

impl ChainFile {
    /// A chain of small blocks. Every root is computed from the whole state.
    pub(crate) fn new(blocks: usize) -> Self {
        let mut file = Self { folder: tempfile::tempdir().unwrap(), headers: Vec::new() };
        file.headers = file.write("chain.json", RECIPE, blocks);
        file
    }

    /// Writes a chain, and returns the headers.
    pub(crate) fn write(&self, name: &str, recipe: ChainRecipe, blocks: usize) -> Vec<Header> {
        let genesis = recipe.genesis();
        let store = MemoryStore::from_genesis(genesis.accounts());
        let root = store.root();
        let mut chain = GeneratedChain::new(&recipe, genesis, store, root);
        let output = BufWriter::new(File::create(self.path(name)).unwrap());
        let mut writer = ChainWriter::begin(output, &chain.head(name), chain.genesis().accounts()).unwrap();
        let mut headers = vec![chain.last().clone()];
        for _ in 0..blocks {
            writer.block(&chain.grow().unwrap()).unwrap();
            headers.push(chain.last().clone());
        }
        writer.finish(chain.last()).unwrap();
        headers
    }

    /// A path in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs `blockloom chain` on a chain in the folder.
    pub(crate) fn chain(&self, name: &str, arguments: &[&str]) -> CommandResult {
        result(command(&self.path(name), arguments).current_dir(self.folder.path()).output().unwrap())
    }

    /// The last line of a run that ends at this block.
    pub(crate) fn line(&self, number: usize) -> String {
        line(&self.headers[number])
    }
}

/// The last line of a run that ends at this block.
pub(crate) fn line(header: &Header) -> String {
    format!("block {}: hash {}, state root {}", header.number, header.hash_slow(), header.state_root)
}

/// The command on the chain in `folder`, not started yet.
pub(crate) fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = crate::command::command();
    command.arg("chain").arg(folder).args(arguments).stdin(Stdio::null());
    command
}

/// The result of a finished run.
pub(crate) fn result(output: Output) -> CommandResult {
    CommandResult {
        status: output.status.code(),
        output: String::from_utf8(output.stdout).unwrap(),
        error: String::from_utf8(output.stderr).unwrap(),
    }
}

impl CommandResult {
    /// The last line of the output; asserts that the run succeeded.
    pub(crate) fn last_line(&self) -> &str {
        assert_eq!(self.status, Some(0), "{}{}", self.output, self.error);
        self.output.lines().last().unwrap_or_default()
    }
}
