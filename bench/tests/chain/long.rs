//! A long chain from its generation to its last state.

use std::{env, process::Command};

use crate::scene::{command, told};

/// The variable that says how many blocks the chain has.
const BLOCKS_VARIABLE: &str = "BLOCKLOOM_CHAIN_BLOCKS";

#[test]
fn a_long_chain_ends_where_whoever_generated_it_said_that_it_ends() {
    let blocks = env::var(BLOCKS_VARIABLE).unwrap_or_else(|_| "200".to_owned());
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("generated");
    let generated = Command::new(env!("CARGO_BIN_EXE_blockloom"))
        .args(["generate", "--blocks", &blocks, "--gas", "1M", "--accounts", "1000", "--out"])
        .arg(&out)
        .output()
        .unwrap();
    let generated = told(generated);
    let imported =
        command(&folder.path().join("kept"), &["--verify", "--import"]).arg(&out).output().unwrap();
    let imported = told(imported);
    assert_eq!(imported.last_line(), generated.last_line());
    assert!(imported.output.contains(&format!("imported {blocks} blocks")), "{}", imported.output);
    println!("{}", imported.output);
}
