//! A long chain, from its generation to the last state.

use std::env;

use super::chain_file::{command, result};

/// The environment variable for the number of blocks.
const BLOCKS_VARIABLE: &str = "BLOCKLOOM_CHAIN_BLOCKS";

#[test]
fn the_import_of_a_long_chain_ends_in_the_generated_state() {
    let blocks = env::var(BLOCKS_VARIABLE).unwrap_or_else(|_| "200".to_owned());
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("generated");
    let generated = crate::command::command()
        .args(["generate", "--blocks", &blocks, "--gas", "1M", "--accounts", "1000", "--out"])
        .arg(&out)
        .output()
        .unwrap();
    let generated = result(generated);
    let imported =
        command(&folder.path().join("kept"), &["--verify", "--import"]).arg(&out).output().unwrap();
    let imported = result(imported);
    assert_eq!(imported.last_line(), generated.last_line());
    assert!(imported.output.contains(&format!("imported {blocks} blocks")), "{}", imported.output);
    println!("{}", imported.output);
}
