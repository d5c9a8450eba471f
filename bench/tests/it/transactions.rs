//! `blockloom replay --transactions`.

use serde_json::{Value, json};

use crate::command::{blockloom, text};

fn blocks(arguments: &[&str]) -> Vec<Value> {
    let output = blockloom(&[&["replay", "--json", "-", "--threads", "2"], arguments].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let lines = text(&output.stdout);
    let lines = lines.lines().map(|line| serde_json::from_str(line).unwrap());
    lines.filter(|line: &Value| line["block"].is_number()).collect()
}

#[test]
fn results_of_transactions_are_written_if_they_are_asked_for() {
    let with_results = blocks(&["--transactions"]);
    for block in with_results.iter().filter(|block| block["gas"].as_u64() > Some(0)) {
        let transactions = block["transactions"].as_array().unwrap();
        assert_eq!(Some(transactions.len() as u64), block["txs"].as_u64(), "{block}");
        let gas: u64 = transactions.iter().map(|transaction| transaction["gas"].as_u64().unwrap()).sum();
        assert_eq!(Some(gas), block["gas"].as_u64(), "{block}");
        for (index, transaction) in transactions.iter().enumerate() {
            let mut keys: Vec<_> = transaction.as_object().unwrap().keys().collect();
            keys.sort();
            let expected =
                ["created", "gas", "hash", "index", "logs", "output", "reason", "refunded", "status"];
            assert_eq!(keys, expected);
            assert_eq!(transaction["index"], json!(index));
            let has_reason = transaction["reason"].is_string();
            assert_eq!(has_reason, transaction["status"] != json!("revert"), "{transaction}");
        }
    }
    let all = || with_results.iter().filter_map(|block| block["transactions"].as_array()).flatten();
    assert!(all().any(|transaction| transaction["status"] == json!("success")));
    assert!(all().any(|transaction| !transaction["logs"].as_array().unwrap().is_empty()));
    assert!(all().any(|transaction| transaction["output"] != json!("0x")));
    for block in blocks(&[]) {
        assert_eq!(block.get("transactions"), None);
    }
}

#[test]
fn results_of_transactions_need_a_place_for_json() {
    let output = blockloom(&["replay", "--transactions"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("--json"), "{}", text(&output.stderr));
}
