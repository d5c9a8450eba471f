//! `--chain`, and what the report says about how the chains of blocks were found.

use std::{fs, path::Path, process::Output};

use alloy_consensus::{EMPTY_ROOT_HASH, Header};
use alloy_primitives::{Address, B256, U256};
use serde_json::{Value, json};

use crate::command::{blockloom, text};

/// A folder with an empty block of Shanghai.
fn write_block(folder: &Path, number: u64, timestamp: u64) {
    fs::create_dir_all(folder).unwrap();
    let header = Header {
        number,
        timestamp,
        gas_limit: 30_000_000,
        base_fee_per_gas: Some(7),
        withdrawals_root: Some(EMPTY_ROOT_HASH),
        ..Header::default()
    };
    let mut block = serde_json::to_value(&header).unwrap();
    block["hash"] = json!(header.hash_slow());
    for list in ["transactions", "uncles", "withdrawals"] {
        block[list] = json!([]);
    }
    fs::write(folder.join("block.json"), block.to_string()).unwrap();
    fs::write(folder.join("prestate.json"), "{}").unwrap();
}

/// The genesis of a local chain under Shanghai.
fn genesis() -> String {
    let mut config = json!({"chainId": 31_337, "terminalTotalDifficulty": 0, "shanghaiTime": 0});
    let blocks =
        ["homestead", "eip150", "eip155", "eip158", "byzantium", "constantinople", "petersburg", "istanbul"];
    for fork in blocks.iter().chain(&["berlin", "london"]) {
        config[format!("{fork}Block")] = json!(0);
    }
    json!({"config": config, "gasLimit": "0x1c9c380", "difficulty": "0x0", "alloc": {}}).to_string()
}

fn check_code(output: &Output, code: i32) -> [String; 2] {
    let streams = [&output.stdout, &output.stderr].map(|bytes| text(bytes));
    assert_eq!(output.status.code(), Some(code), "{}\n{}", streams[0], streams[1]);
    streams
}

#[test]
fn a_local_block_is_unusable_until_its_chain_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let block = folder.path().join("1");
    write_block(&block, 1, 1_767_800_000);
    let path = block.to_str().unwrap();
    let [_, error] = check_code(&blockloom(&["replay", path]), 2);
    assert!(error.contains("unknown chain") && error.contains("--chain"), "{error}");
    let file = folder.path().join("local.json");
    fs::write(&file, genesis()).unwrap();
    let file = file.to_str().unwrap();
    for command in
        [&["replay", path][..], &["list", path], &["bench", path, "--min-txs", "0", "--rounds", "2"]]
    {
        check_code(&blockloom(command), 2);
        let named = blockloom(&[command, &["--chain", file]].concat());
        // `bench` measures no block without transactions.
        let expected = if command[0] == "bench" { 2 } else { 0 };
        let [_, error] = check_code(&named, expected);
        assert!(!error.contains("unknown chain"), "{error}");
    }
    let [report, _] = check_code(&blockloom(&["replay", path, "--chain", file, "--json", "-"]), 0);
    let line: Value = serde_json::from_str(report.lines().next().unwrap()).unwrap();
    assert_eq!((line["fork"].as_str(), &line["notes"]), (Some("Shanghai"), &json!([])));
    // A genesis beside the folder is as good.
    fs::rename(file, folder.path().join("genesis.json")).unwrap();
    let [report, _] = check_code(&blockloom(&["replay", folder.path().to_str().unwrap()]), 0);
    assert!(report.contains("1 of 1 block in 1 case passed"), "{report}");
}

#[test]
fn an_unknown_name_of_a_chain_lists_the_known_ones() {
    for command in ["replay", "list", "bench"] {
        let [_, error] = check_code(&blockloom(&[command, "--chain", "atlantis"]), 2);
        let names = ["mainnet", "sepolia", "holesky", "hoodi", "genesis.json"];
        assert!(names.iter().all(|name| error.contains(name)), "{error}");
        let [help, _] = check_code(&blockloom(&[command, "--help"]), 0);
        assert!(names.iter().all(|name| help.contains(name)), "{help}");
    }
}

#[test]
fn a_chain_that_was_found_by_number_and_time_is_counted_and_named() {
    let folder = tempfile::tempdir().unwrap();
    write_block(folder.path(), 19_426_586, 1_710_338_123);
    let path = folder.path().to_str().unwrap();
    let [report, _] = check_code(&blockloom(&["replay", path]), 0);
    assert!(report.contains("1 block without a chain id: chain found by number and time"), "{report}");
    let [_, details] = check_code(&blockloom(&["replay", path, "-v"]), 0);
    assert!(details.contains("note: ") && details.contains("of mainnet"), "{details}");
}

#[test]
fn a_wrong_label_is_reported_in_the_table_and_as_json() {
    let folder = tempfile::tempdir().unwrap();
    let block = json!({
        "spec_id": "Prague", "chain_id": 1, "number": 24_647_140, "coinbase": Address::ZERO,
        "timestamp": 1_773_387_983, "gas_limit": 36_000_000, "basefee": 1, "difficulty": U256::ZERO,
        "prevrandao": B256::ZERO, "excess_blob_gas": 0, "block_hashes": {},
    });
    for (name, content) in [("block.json", block), ("txs.json", json!([])), ("pre_state.json", json!({}))] {
        fs::write(folder.path().join(name), content.to_string()).unwrap();
    }
    let path = folder.path().to_str().unwrap();
    let [report, _] = check_code(&blockloom(&["replay", path]), 0);
    assert!(report.contains("the label \"Prague\" is wrong: its chain is under Bpo2"), "{report}");
    let [lines, _] = check_code(&blockloom(&["replay", path, "--json", "-"]), 0);
    let line: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(line["fork"], "Bpo2");
    assert!(line["notes"][0].as_str().unwrap().contains("Prague"), "{line}");
    let [_, remark] = check_code(&blockloom(&["list", path]), 0);
    assert!(remark.contains("the label \"Prague\" is wrong"), "{remark}");
    let [quiet, _] = check_code(&blockloom(&["replay", path, "-q"]), 0);
    assert_eq!(quiet, "");
}
