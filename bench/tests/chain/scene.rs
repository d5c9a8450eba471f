//! What the tests share: generated chains in files, and the command as a person runs it.

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

/// What small chains are made from.
pub(crate) const RECIPE: ChainRecipe =
    ChainRecipe { kind: Kind::Mixed, gas: 300_000, accounts: 120, seed: 1 };

/// A chain in a file.
pub(crate) struct Scene {
    pub(crate) folder: tempfile::TempDir,
    /// The headers of its blocks, the first block's among them.
    pub(crate) headers: Vec<Header>,
}

/// How one run of the command ended.
pub(crate) struct Told {
    pub(crate) status: Option<i32>,
    pub(crate) output: String,
    pub(crate) error: String,
}

impl Scene {
    /// A chain of so many small blocks, every root of which is computed from the whole state.
    pub(crate) fn new(blocks: usize) -> Self {
        let mut scene = Self { folder: tempfile::tempdir().unwrap(), headers: Vec::new() };
        scene.headers = scene.write("chain.json", RECIPE, blocks);
        scene
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

    /// Something in the scene's folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs `blockloom chain` on a chain in the scene's folder.
    pub(crate) fn chain(&self, name: &str, arguments: &[&str]) -> Told {
        told(command(&self.path(name), arguments).current_dir(self.folder.path()).output().unwrap())
    }

    /// What is said of a block in the end.
    pub(crate) fn line(&self, number: usize) -> String {
        line(&self.headers[number])
    }
}

/// What is said of a block with this header in the end.
pub(crate) fn line(header: &Header) -> String {
    format!("block {}: hash {}, state root {}", header.number, header.hash_slow(), header.state_root)
}

/// The command on the chain in `folder`, not started yet.
pub(crate) fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_blockloom"));
    command.arg("chain").arg(folder).args(arguments).stdin(Stdio::null());
    command
}

/// What a run said.
pub(crate) fn told(output: Output) -> Told {
    Told {
        status: output.status.code(),
        output: String::from_utf8(output.stdout).unwrap(),
        error: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Told {
    /// The last line of what a run without a failure said.
    pub(crate) fn last_line(&self) -> &str {
        assert_eq!(self.status, Some(0), "{}{}", self.output, self.error);
        self.output.lines().last().unwrap_or_default()
    }
}
