//! Files of encoded blocks: generated, imported, exported, killed and continued; and the chain of the execution APIs'
//! tests.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use blockloom_fixtures::BlockReader;
use blockloom_fuzz::suites::sources;

use super::chain_file::{CommandResult, command, result};
use crate::command::{blockloom, text};

/// A generated chain in a temporary folder: `generated/chain.rlp` and its genesis.
struct EncodedChain {
    folder: tempfile::TempDir,
    /// What the generator says of the last block.
    last_line: String,
}

impl EncodedChain {
    fn new(blocks: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (out, blocks) = (folder.path().join("generated"), blocks.to_string());
        let arguments =
            ["generate", "--format", "rlp", "--gas", "300k", "--accounts", "120", "--blocks", &blocks];
        let output = blockloom(&[&arguments[..], &["--out", out.to_str().unwrap()]].concat());
        let generated = result(output);
        let last_line = generated.last_line().to_owned();
        assert!(generated.output.contains("chain.rlp"), "{}", generated.output);
        Self { folder, last_line }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(self.path("generated/chain.rlp")).unwrap()
    }

    /// The first bytes of the blocks after the first one.
    fn borders(&self) -> Vec<usize> {
        let blocks = BlockReader::open(self.path("generated/chain.rlp")).unwrap();
        blocks.skip(1).map(|block| block.unwrap().position.byte().unwrap() as usize).collect()
    }

    /// Runs `blockloom chain` on a chain in the folder.
    fn chain(&self, name: &str, arguments: &[&str]) -> CommandResult {
        result(command(&self.path(name), arguments).current_dir(self.folder.path()).output().unwrap())
    }
}

#[test]
fn a_generated_file_is_imported_replayed_and_exported() {
    let chain = EncodedChain::new(12);
    let imported = chain.chain("kept", &["--import", "generated", "--verify", "--export", "exported.rlp"]);
    assert_eq!(imported.last_line(), chain.last_line);
    assert!(imported.output.contains("exported 12 blocks, 1 to 12, to exported.rlp"), "{}", imported.output);
    assert!(fs::read(chain.path("exported.rlp")).unwrap() == chain.bytes());

    let packed = chain.chain("kept", &["--export", "exported.rlp.gz"]);
    assert_eq!(packed.last_line(), chain.last_line);
    assert!(fs::metadata(chain.path("exported.rlp.gz")).unwrap().len() < chain.bytes().len() as u64);
    let genesis = ["--genesis", "generated/genesis.json"];
    let again = chain.chain("again", &[&["--import", "exported.rlp.gz", "--verify"], &genesis[..]].concat());
    assert_eq!(again.last_line(), chain.last_line);

    let path = |name: &str| chain.path(name).display().to_string();
    for arguments in [
        &[path("generated")][..],
        &[path("exported.rlp.gz"), "--genesis".into(), path("generated/genesis.json")],
    ] {
        let arguments: Vec<_> = ["replay"].into_iter().chain(arguments.iter().map(String::as_str)).collect();
        let output = blockloom(&arguments);
        let report = text(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{report}{}", text(&output.stderr));
        assert!(report.contains("12 of 12 blocks in 1 case passed"), "{report}");
    }
}

#[test]
fn an_export_has_the_blocks_that_are_kept_and_overwrites_nothing() {
    let chain = EncodedChain::new(9);
    let import = ["--import", "generated", "--keep-blocks", "4", "--export", "last.rlp"];
    let result = chain.chain("kept", &import);
    assert_eq!(result.last_line(), chain.last_line);
    assert!(result.output.contains("exported 4 blocks, 6 to 9"), "{}", result.output);
    assert!(fs::read(chain.path("last.rlp")).unwrap() == chain.bytes()[chain.borders()[4]..]);
    let result = chain.chain("kept", &["--export", "last.rlp"]);
    assert_eq!(result.status, Some(2));
    assert!(result.error.contains("last.rlp: it exists already"), "{}", result.error);
    let result = chain.chain("kept", &["--revert", "2", "--export", "fewer.rlp", "--keep-blocks", "4"]);
    assert!(result.output.contains("exported 2 blocks, 6 to 7"), "{}{}", result.output, result.error);
    let result =
        chain.chain("none", &["--import", "generated", "--keep-blocks", "0", "--export", "none.rlp"]);
    assert_eq!(result.status, Some(2));
    assert!(result.error.contains("no block is kept"), "{}", result.error);
    assert!(!chain.path("none.rlp").exists());
}

#[test]
fn a_torn_file_leaves_the_blocks_before_the_tear_and_the_whole_file_continues() {
    let chain = EncodedChain::new(6);
    let (bytes, borders) = (chain.bytes(), chain.borders());
    let genesis = ["--genesis", "generated/genesis.json"];
    for end in [borders[2] - 1, borders[2] + 1, borders[3] + 40] {
        fs::write(chain.path("torn.rlp"), &bytes[..end]).unwrap();
        let result = chain.chain("kept", &[&["--import", "torn.rlp"], &genesis[..]].concat());
        assert_eq!(result.status, Some(2), "{}", result.error);
        let torn = borders.iter().filter(|border| **border < end).count();
        let place = format!("torn.rlp: blocks[{torn}]: the block from byte {} on: ", borders[torn - 1]);
        assert!(result.error.contains(&place), "{place}: {}", result.error);
        assert!(result.output.contains(&format!("block {torn}: hash")), "{}", result.output);
    }
    let arguments = ["replay", &chain.path("torn.rlp").display().to_string(), "--genesis"];
    let output = blockloom(&[&arguments[..], &[&chain.path(genesis[1]).display().to_string()]].concat());
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(
        error.contains("unusable: ") && error.contains("torn.rlp: blocks[4]: the block from byte"),
        "{error}"
    );
    assert!(text(&output.stdout).contains("4 of 4 blocks"), "{}", text(&output.stdout));

    fs::write(chain.path("torn.rlp"), [&bytes[..], b"\0"].concat()).unwrap();
    let result = chain.chain("kept", &[&["--import", "torn.rlp", "--verify"], &genesis[..]].concat());
    assert_eq!(result.status, Some(2));
    assert!(result.error.contains("blocks[6]: "), "{}", result.error);
    let result = chain.chain("kept", &["--import", "generated", "--verify"]);
    assert_eq!(result.last_line(), chain.last_line);
    assert!(result.output.contains("skipped 6 blocks"), "{}", result.output);
}

#[test]
fn a_file_without_blocks_or_genesis_or_with_another_one_is_refused() {
    let chain = EncodedChain::new(3);
    fs::write(chain.path("empty.rlp"), "").unwrap();
    fs::write(chain.path("alone.rlp"), chain.bytes()).unwrap();
    let text = fs::read_to_string(chain.path("generated/genesis.json")).unwrap();
    fs::write(chain.path("other.json"), text.replacen("\"nonce\": \"0x00", "\"nonce\": \"0x01", 1)).unwrap();
    for (file, genesis, why) in [
        ("empty.rlp", Some("generated/genesis.json"), "empty.rlp: there is no block in it"),
        ("alone.rlp", None, "alone.rlp: its blocks need the genesis of their chain: name it (--genesis)"),
        ("alone.rlp", Some("nowhere.json"), "nowhere.json: there is no such file"),
        ("alone.rlp", Some("other.json"), "alone.rlp: blocks[0]: expected a child of the genesis 0x"),
    ] {
        let genesis = genesis.map(|genesis| ["--genesis", genesis]);
        let arguments =
            [&["--import", file][..], genesis.as_ref().map_or(&[], |genesis| &genesis[..])].concat();
        let result = chain.chain("kept", &arguments);
        assert_eq!(result.status, Some(2), "{file}");
        assert!(result.error.contains(why), "{file}: {}", result.error);
        assert!(!chain.path("kept").exists(), "{file}");
    }
    // The chain of a store keeps its genesis.
    chain.chain("kept", &["--import", "generated"]).last_line();
    let result = chain.chain("kept", &["--import", "alone.rlp", "--genesis", "other.json"]);
    assert_eq!(result.status, Some(2));
    assert!(result.error.contains("alone.rlp: the genesis is 0x"), "{}", result.error);
    assert_eq!(chain.chain("kept", &["--verify"]).last_line(), chain.last_line);
}

#[test]
fn an_import_that_is_killed_continues_to_the_same_state() {
    let chain = EncodedChain::new(60);
    let start = Instant::now();
    assert_eq!(chain.chain("whole", &["--import", "generated"]).last_line(), chain.last_line);
    let whole = start.elapsed();
    for kill in 1..=4 {
        let mut child = command(&chain.path("killed"), &["--import", "generated", "--blocks-per-write", "3"])
            .current_dir(chain.folder.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        thread::sleep(whole.mul_f64(f64::from(kill) / 5.0).max(Duration::from_millis(1)));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let result = chain.chain("killed", &["--import", "generated", "--verify", "--export", "exported.rlp"]);
    assert_eq!(result.last_line(), chain.last_line);
    assert!(fs::read(chain.path("exported.rlp")).unwrap() == chain.bytes());
}

/// The hash that a request of the execution APIs' tests names as the head.
fn head(folder: &Path) -> String {
    let text = fs::read_to_string(folder.join("headfcu.json")).unwrap();
    let request: serde_json::Value = serde_json::from_str(&text).unwrap();
    request["params"][0]["headBlockHash"].as_str().unwrap().to_owned()
}

#[test]
fn the_chain_of_the_execution_apis_is_imported_to_its_head_and_replayed() {
    let sources = sources().unwrap();
    let Some(folder) = sources.suite("rpc-chain") else {
        eprintln!("skipped: {sources}");
        return;
    };
    let temporary = tempfile::tempdir().unwrap();
    let [blocks, genesis] = ["chain.rlp", "genesis.json"].map(|name| folder.join(name).display().to_string());
    let arguments = ["--import", &blocks, "--genesis", &genesis, "--verify", "--export", "all.rlp"];
    let imported = command(&temporary.path().join("kept"), &arguments).current_dir(temporary.path()).output();
    let imported = result(imported.unwrap());
    assert!(
        imported.last_line().starts_with(&format!("block 54: hash {}", head(&folder))),
        "{}",
        imported.output
    );
    assert!(fs::read(temporary.path().join("all.rlp")).unwrap() == fs::read(&blocks).unwrap());

    let output = blockloom(&["replay", &blocks, "--json", "-"]);
    let lines = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let passed = lines.lines().filter(|line| line.contains("\"ok\":true")).count();
    assert_eq!(passed, 54, "{lines}");
}
