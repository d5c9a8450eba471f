//! The folder of one block with its witness. It appears whole or not at all.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use alloy_consensus::transaction::SignerRecoverable;
use blockloom_engine::{ChainSpec, SignedBlock};
use blockloom_fixtures::{ExecutionWitness, rpc_block_json, rules_json};
use serde_json::{Value, json};
use tempfile::TempDir;

/// What a folder is created with; the process's mask takes the rest away.
const MODE: u32 = 0o777;

/// Why a folder cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub(super) struct FolderError {
    path: PathBuf,
    source: io::Error,
}

/// A folder under construction. If it is dropped before [`keep`](Self::keep), nothing is left of it.
#[derive(Debug)]
pub(super) struct WitnessFolder {
    under_construction: TempDir,
    path: PathBuf,
}

impl WitnessFolder {
    /// Starts the folder of block `number` in `out`, which is created if it does not exist.
    pub(super) fn begin(out: &Path, number: u64) -> Result<Self, FolderError> {
        let path = out.join(number.to_string());
        if path.symlink_metadata().is_ok() {
            let exists = "it exists already and is not overwritten";
            return Err(at(&path)(io::Error::new(io::ErrorKind::AlreadyExists, exists)));
        }
        fs::create_dir_all(out).map_err(at(out))?;
        let mut builder = tempfile::Builder::new();
        builder.prefix(".witness").permissions(fs::Permissions::from_mode(MODE));
        let under_construction = builder.tempdir_in(out).map_err(at(out))?;
        Ok(Self { under_construction, path })
    }

    /// Where the files are until the folder is kept.
    pub(super) fn path(&self) -> &Path {
        self.under_construction.path()
    }

    /// Writes the files.
    pub(super) fn write(
        &self,
        spec: &ChainSpec,
        block: &SignedBlock,
        witness: &ExecutionWitness,
    ) -> Result<(), Box<dyn std::error::Error>> {
        let senders: Result<Vec<_>, _> =
            block.body.transactions.iter().map(|tx| tx.recover_signer()).collect();
        self.write_json("block.json", &rpc_block_json(block, &senders?))?;
        self.write_json("execution_witness.json", &witness.json())?;
        if !block.body.ommers.is_empty() {
            self.write_json("ommers.json", &json!(block.body.ommers))?;
        }
        self.write_json("chain.json", &json!({ "chainId": spec.chain_id() }))?;
        let rules = spec.rules(&block.header);
        let known = ChainSpec::known(spec.chain_id()).map(|known| known.rules(&block.header));
        if known.is_none_or(|known| known != rules) {
            self.write_json("genesis.json", &rules_json(&rules))?;
        }
        Ok(())
    }

    fn write_json(&self, name: &str, value: &Value) -> Result<(), FolderError> {
        let path = self.path().join(name);
        fs::write(&path, format!("{value}\n")).map_err(at(&path))
    }

    /// Gives the folder its final name.
    pub(super) fn keep(self) -> Result<(), FolderError> {
        fs::rename(self.path(), &self.path).map_err(at(&self.path))?;
        // Nothing is left at the temporary path to remove.
        let _ = self.under_construction.keep();
        Ok(())
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> FolderError {
    let path = path.to_owned();
    move |source| FolderError { path, source }
}
