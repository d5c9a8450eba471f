//! Imports, undo, and rejected files.

use std::{fs, thread, time::Duration};

use blockloom_bench::workloads::{Kind, chain::ChainRecipe};
use serde_json::{Value, json};

use super::chain_file::{ChainFile, RECIPE, command, line, result};

/// Changes the only case of a file.
fn edit(chain_file: &ChainFile, from: &str, to: &str, change: impl FnOnce(&mut Value)) {
    let mut file: Value = serde_json::from_str(&fs::read_to_string(chain_file.path(from)).unwrap()).unwrap();
    let case = file.as_object_mut().unwrap().values_mut().next().unwrap();
    change(case);
    fs::write(chain_file.path(to), file.to_string()).unwrap();
}

fn blocks(case: &mut Value) -> &mut Vec<Value> {
    case["blocks"].as_array_mut().unwrap()
}

#[test]
fn an_import_is_verified_and_continues_where_it_stopped() {
    let chain_file = ChainFile::new(12);
    edit(&chain_file, "chain.json", "start.json", |case| {
        blocks(case).truncate(7);
        case["lastblockhash"] = case["blocks"][6]["blockHeader"]["hash"].clone();
    });
    let result = chain_file.chain("kept", &["--import", "start.json", "--verify"]);
    assert_eq!(result.last_line(), chain_file.line(7));
    assert!(result.output.contains("imported 7 blocks with"), "{}", result.output);
    assert!(result.output.contains(" reads hit"), "{}", result.output);
    assert!(result.output.contains("verified: "), "{}", result.output);
    assert_eq!(result.error, "", "no progress bar where there is no terminal");

    let flags = ["--threads", "2", "--cache", "1M", "--blocks-per-write", "3", "--undo", "4", "--verify"];
    let result = chain_file.chain("kept", &[&["--import", "chain.json"], &flags[..]].concat());
    assert_eq!(result.last_line(), chain_file.line(12));
    assert!(result.output.contains("imported 5 blocks with"), "{}", result.output);
    assert!(result.output.contains("skipped 7 blocks"), "{}", result.output);
    assert_eq!(chain_file.chain("kept", &[]).last_line(), chain_file.line(12), "without any task");
    let result = chain_file.chain("kept", &["--undo", "4", "--revert", "5"]);
    assert_eq!(result.status, Some(2));
    assert!(result.error.contains("4 blocks can be undone"), "{}", result.error);
}

#[test]
fn several_files_continue_each_other_with_any_order_of_fields() {
    let chain_file = ChainFile::new(9);
    // The order of the JSON parser: the blocks come before the genesis state.
    edit(&chain_file, "chain.json", "b.json", |_| ());
    edit(&chain_file, "chain.json", "a.json", |case| {
        blocks(case).truncate(4);
        case["lastblockhash"] = case["blocks"][3]["blockHeader"]["hash"].clone();
    });
    let result = chain_file.chain("kept", &["--import", "a.json", "b.json", "--verify"]);
    assert_eq!(result.last_line(), chain_file.line(9));
    assert!(result.output.contains("imported 9 blocks with"), "{}", result.output);
}

#[test]
fn undone_blocks_can_be_imported_again() {
    let chain_file = ChainFile::new(20);
    chain_file.chain("kept", &["--import", "chain.json"]).last_line();
    for undone in [1, 6, 13] {
        let result = chain_file.chain("kept", &["--revert", &undone.to_string(), "--verify"]);
        assert_eq!(result.last_line(), chain_file.line(20 - undone));
        let result = chain_file.chain("kept", &["--import", "chain.json", "--verify"]);
        assert_eq!(result.last_line(), chain_file.line(20));
    }
    let result = chain_file.chain("kept", &["--revert", "20", "--import", "chain.json"]);
    assert_eq!(result.last_line(), chain_file.line(20));
    assert_eq!(chain_file.chain("kept", &["--revert", "21"]).status, Some(2));
}

#[test]
fn another_branch_is_rejected_until_the_blocks_are_undone() {
    let chain_file = ChainFile::new(9);
    // Other transactions after the same genesis.
    let branch = chain_file.write("branch.json", ChainRecipe { kind: Kind::Transfers, ..RECIPE }, 7);
    assert_eq!(branch[0], chain_file.headers[0]);
    chain_file.chain("kept", &["--import", "chain.json"]).last_line();
    let result = chain_file.chain("kept", &["--import", "branch.json"]);
    assert_eq!(result.status, Some(2));
    for named in
        [&chain_file.headers[1].hash_slow().to_string(), &branch[1].hash_slow().to_string(), "--revert 9"]
    {
        assert!(result.error.contains(named), "{}", result.error);
    }
    assert_eq!(result.output.lines().last(), Some(&*chain_file.line(9)));
    let both = chain_file.chain("kept", &["--revert", "9", "--import", "branch.json", "--verify"]);
    assert_eq!(both.last_line(), line(&branch[7]));
    let alone = chain_file.chain("alone", &["--import", "branch.json", "--verify"]);
    assert_eq!(alone.last_line(), both.last_line());
}

#[test]
fn files_with_another_genesis_or_without_a_chain_are_rejected() {
    let chain_file = ChainFile::new(3);
    chain_file.chain("kept", &["--import", "chain.json"]).last_line();
    let other = chain_file.write("other.json", ChainRecipe { seed: 2, ..RECIPE }, 3);
    let result = chain_file.chain("kept", &["--import", "other.json"]);
    assert_eq!(result.status, Some(2));
    let named = [chain_file.headers[0].hash_slow(), other[0].hash_slow()];
    for hash in named {
        assert!(result.error.contains(&hash.to_string()), "{}", result.error);
    }
    assert_eq!(chain_file.chain("kept", &["--verify"]).last_line(), chain_file.line(3));

    for (name, text, why) in [
        ("text.json", "no JSON", "expected"),
        ("empty.json", "{}", "no case at all"),
        ("half.json", "{\"a\": {\"network\": \"Osaka\"}}", "missing field `pre`"),
        ("network.json", "{\"a\": {\"network\": 5}}", "cases[\"a\"].network"),
    ] {
        fs::write(chain_file.path(name), text).unwrap();
        let result = chain_file.chain("new", &["--import", name]);
        assert_eq!(result.status, Some(2), "{name}");
        assert!(result.error.contains(name) && result.error.contains(why), "{}", result.error);
    }
    assert!(!chain_file.path("new").exists());
    let result = chain_file.chain("kept", &["--import", "chain.json", "--case", "no-such-case"]);
    assert_eq!(result.status, Some(2));
    assert!(result.error.contains("cases[\"no-such-case\"]"), "{}", result.error);
}

#[test]
fn an_invalid_block_leaves_the_blocks_before_it() {
    let chain_file = ChainFile::new(8);
    let change_receipts_root = |case: &mut Value| {
        // Replaces the receipts root in the header.
        let rlp = blocks(case)[5]["rlp"].as_str().unwrap().to_owned();
        let root = chain_file.headers[6].receipts_root.to_string();
        let wrong = rlp.replace(&root[2..], &"77".repeat(32));
        assert_ne!(rlp, wrong);
        blocks(case)[5]["rlp"] = wrong.into();
    };
    edit(&chain_file, "chain.json", "wrong.json", change_receipts_root);
    let result = chain_file.chain("kept", &["--import", "wrong.json"]);
    assert_eq!(result.status, Some(1));
    assert!(result.error.contains("wrong.json: block 6: outcome: receipts root"), "{}", result.error);
    assert_eq!(result.output.lines().last(), Some(&*chain_file.line(5)));
    edit(&chain_file, "chain.json", "torn.json", |case| blocks(case)[6]["rlp"] = json!("0xf902"));
    let result = chain_file.chain("kept", &["--import", "torn.json"]);
    assert_eq!(result.status, Some(1));
    assert!(result.error.contains("torn.json: blocks[6]: the block does not decode"), "{}", result.error);
    assert_eq!(result.output.lines().last(), Some(&*chain_file.line(6)));
    assert_eq!(
        chain_file.chain("kept", &["--import", "chain.json", "--verify"]).last_line(),
        chain_file.line(8)
    );
}

#[test]
fn a_wrong_genesis_root_or_last_block_is_rejected() {
    let chain_file = ChainFile::new(2);
    edit(&chain_file, "chain.json", "end.json", |case| {
        case["lastblockhash"] = json!(format!("0x{}", "11".repeat(32)));
    });
    let result = chain_file.chain("end", &["--import", "end.json"]);
    assert_eq!(result.status, Some(1));
    assert!(result.error.contains("the declared last block is 0x1111"), "{}", result.error);

    edit(&chain_file, "chain.json", "begin.json", |case| {
        let account = case["pre"].as_object_mut().unwrap().values_mut().next().unwrap();
        account["balance"] = json!("0x7");
    });
    let result = chain_file.chain("begin", &["--import", "begin.json"]);
    assert_eq!(result.status, Some(1));
    assert!(result.error.contains("begin.json: genesis: the header says the state root"), "{}", result.error);
    assert_eq!(chain_file.chain("begin", &[]).status, Some(2), "the import never finished");
    assert_eq!(chain_file.chain("begin", &["--import", "chain.json"]).last_line(), chain_file.line(2));

    assert_eq!(chain_file.chain("nowhere", &["--verify"]).status, Some(2));
    assert!(!chain_file.path("nowhere").exists());
}

#[test]
fn an_interrupt_keeps_the_blocks_up_to_there() {
    let chain_file = ChainFile::new(60);
    let arguments = ["--import", "chain.json", "--blocks-per-write", "1"];
    let mut command = command(&chain_file.path("kept"), &arguments);
    let child =
        command.current_dir(chain_file.folder.path()).stdout(std::process::Stdio::piped()).spawn().unwrap();
    // The signal handler is installed before the folder is created.
    while !chain_file.path("kept").exists() {
        thread::sleep(Duration::from_millis(1));
    }
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let result = result(child.wait_with_output().unwrap());
    // The import may have ended before the signal.
    assert!(matches!(result.status, Some(130 | 0)), "{:?}", result.status);
    assert_eq!(
        chain_file.chain("kept", &["--import", "chain.json", "--verify"]).last_line(),
        chain_file.line(60)
    );
}
