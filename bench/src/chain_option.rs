//! The options `--chain` and `--genesis`: the chain of blocks that do not name theirs.

use std::path::{Path, PathBuf};

use blockloom_engine::ChainSpec;
use blockloom_fixtures::{Fixture, FixtureError, Genesis, Note, Problem, Source, read_encoded, read_on};

use crate::{
    input::{input_path, refuse_url},
    terminal::print_remark,
};

/// The chain of blocks in folders of their own, and the genesis of encoded blocks.
#[derive(Debug, clap::Args)]
pub(crate) struct ChainOption {
    /// The chain of blocks in folders of their own: mainnet, sepolia, holesky, hoodi, or the path of a
    /// genesis.json. Default: the genesis.json beside a block or its folder, the chain.json beside it, or the
    /// network that its chain id, number and time say. Files of tests name their chains themselves.
    #[arg(long, value_name = "NAME|FILE", value_parser = named_chain)]
    chain: Option<ChainSpec>,
    /// The genesis of encoded blocks, as geth reads it. Default: the genesis.json beside them.
    #[arg(long, value_name = "FILE", value_parser = input_path())]
    genesis: Option<PathBuf>,
}

impl ChainOption {
    /// The chain that is named.
    pub(crate) fn chain(&self) -> Option<&ChainSpec> {
        self.chain.as_ref()
    }

    /// Whether the genesis of encoded blocks is named.
    pub(crate) fn names_genesis(&self) -> bool {
        self.genesis.is_some()
    }

    /// Reads a source that was found.
    pub(crate) fn read(&self, source: Result<Source, FixtureError>) -> Result<Fixture, FixtureError> {
        let source = source?;
        if let (Source::File(path), Some(genesis)) = (&source, &self.genesis)
            && let Some(fixture) = read_encoded(path, Some(genesis))?
        {
            return Ok(fixture);
        }
        read_on(&source, self.chain.as_ref())
    }
}

/// Parses the name of a network, or reads the chain in a `genesis.json`.
pub(crate) fn named_chain(text: &str) -> Result<ChainSpec, String> {
    if let Some(network) = ChainSpec::named(text) {
        return Ok(network);
    }
    refuse_url(text)?;
    Genesis::read_chain(Path::new(text)).map_err(|error| match error.problem {
        Problem::NoSuchPath => {
            format!("neither a network ({}) nor the path of a genesis.json", ChainSpec::NAMES.join(", "))
        }
        _ => error.to_string(),
    })
}

/// What is printed of a note about a case.
pub(crate) fn note_line(fixture: &str, case: &str, note: &Note) -> String {
    format!("note: {fixture}: {case}: {note}")
}

/// Prints the notes that say that a file contradicts itself.
pub(crate) fn print_contradictions(fixture: &str, case: &str, notes: &[Note]) {
    let contradictions = notes.iter().filter(|note| note.is_contradiction());
    contradictions.for_each(|note| print_remark(&note_line(fixture, case, note)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_is_a_name_or_a_genesis() {
        assert_eq!(named_chain("holesky"), Ok(ChainSpec::holesky()));
        let unknown = named_chain("atlantis").unwrap_err();
        assert!(ChainSpec::NAMES.iter().all(|name| unknown.contains(name)), "{unknown}");
        assert!(named_chain("https://example.org/genesis.json").unwrap_err().contains("URL"));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("genesis.json");
        std::fs::write(&path, r#"{"config": {"homesteadBlock": 0}}"#).unwrap();
        let damaged = named_chain(path.to_str().unwrap()).unwrap_err();
        assert!(damaged.contains("config.chainId"), "{damaged}");
        std::fs::write(&path, r#"{"config": {"chainId": 31337}}"#).unwrap();
        assert_eq!(named_chain(path.to_str().unwrap()).map(|chain| chain.chain_id()), Ok(31_337));
    }
}
