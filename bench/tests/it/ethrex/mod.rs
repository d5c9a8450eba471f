//! An ethrex node builds a chain up to Osaka. `fetch` takes its blocks, and `replay` executes them, on the state that the
//! node proves and on its witnesses alone.
//!
//! `fuzz/ethrex/README.md` says how to build the node. Without it the tests say so and pass.

#![expect(clippy::explicit_write, reason = "it reaches the reader although the harness captures prints")]

mod node;
mod traffic;

use std::{
    collections::BTreeSet,
    env, fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::hex;
use blockloom_engine::SignedTransaction;
use serde_json::{Value, json};

use crate::command::{blockloom, text};
use node::Node;
use traffic::{Traffic, attributes, genesis};

/// The variable with the program of the node.
const NODE: &str = "BLOCKLOOM_ETHREX_NODE";
/// The number of blocks after the genesis.
const BLOCKS: u64 = 100;

/// A node with a chain, and its genesis.json.
struct Chain {
    node: Node,
    genesis: PathBuf,
    traffic: Traffic,
}

impl Chain {
    /// A node that has built the chain, if there is a program of a node.
    fn built(folder: &Path) -> Option<Self> {
        let Some(program) = env::var_os(NODE) else {
            writeln!(io::stderr(), "no chain of ethrex: {NODE} does not name the program ethrex-node")
                .unwrap();
            return None;
        };
        let path = folder.join("genesis.json");
        fs::write(&path, genesis().to_string()).unwrap();
        let node = Node::start(program.as_ref(), &path);
        let mut traffic = Traffic::default();
        for block in 1..=BLOCKS {
            let transactions: Vec<_> = traffic.transactions(block).iter().map(raw).collect();
            let mined = node.call("node_mineBlock", &json!([attributes(block), transactions]));
            assert_eq!(mined["number"], json!(number(block)));
        }
        Some(Self { node, genesis: path, traffic })
    }

    /// Replays the blocks in `folder` and checks that each one is verified, with its state root.
    fn check_replay(&self, folder: &Path) {
        let (folder, genesis) = (folder.to_str().unwrap(), self.genesis.to_str().unwrap());
        let output = blockloom(&["replay", folder, "--chain", genesis, "--json", "-"]);
        let (lines, report) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "{report}");
        let summary: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
        assert_eq!(summary["summary"]["blocks"], json!(BLOCKS), "{report}");
        assert!(!report.contains("without a witness"), "{report}");
    }
}

/// A transaction as `eth_sendRawTransaction` takes it.
fn raw(transaction: &SignedTransaction) -> String {
    hex::encode_prefixed(transaction.encoded_2718())
}

fn number(block: u64) -> String {
    format!("{block:#x}")
}

#[test]
fn a_chain_of_ethrex_has_transactions_of_all_types_that_succeed_and_that_fail() {
    let folder = tempfile::tempdir().unwrap();
    let Some(chain) = Chain::built(folder.path()) else { return };
    let mut kinds = BTreeSet::new();
    let mut requests = BTreeSet::new();
    for block in 1..=BLOCKS {
        let receipts = chain.node.call("eth_getBlockReceipts", &json!([number(block)]));
        for receipt in receipts.as_array().unwrap() {
            let field = |name: &str| receipt[name].as_str().unwrap_or_default().to_owned();
            kinds.insert((field("type"), field("status")));
        }
        let header = chain.node.call("eth_getBlockByNumber", &json!([number(block), false]));
        requests.insert(header["requestsHash"].as_str().map(str::to_owned));
    }
    for kind in ["0x0", "0x1", "0x2", "0x3", "0x4"] {
        assert!(kinds.contains(&(kind.to_owned(), "0x1".to_owned())), "{kinds:?}");
    }
    assert!(kinds.contains(&("0x2".to_owned(), "0x0".to_owned())), "{kinds:?}");
    assert!(requests.len() > 50, "the blocks since Prague make requests");
}

#[test]
fn an_ethrex_node_mines_what_was_sent_to_its_pool() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut chain) = Chain::built(folder.path()) else { return };
    let next = BLOCKS + 1;
    let sent = raw(&chain.traffic.transactions(next)[0]);
    let hash = chain.node.call("eth_sendRawTransaction", &json!([sent]));
    chain.node.call("node_mineBlock", &json!([attributes(next), null]));
    let block = chain.node.call("eth_getBlockByNumber", &json!(["latest", false]));
    assert_eq!((&block["number"], &block["transactions"]), (&json!(number(next)), &json!([hash])));
    let receipt = chain.node.call("eth_getTransactionReceipt", &json!([hash]));
    assert_eq!(receipt["status"], "0x1");
}

#[test]
fn every_block_of_an_ethrex_chain_is_fetched_and_replayed() {
    let folder = tempfile::tempdir().unwrap();
    let Some(chain) = Chain::built(folder.path()) else { return };
    let out = folder.path().join("blocks");
    let (blocks, url) = (format!("1..{BLOCKS}"), chain.node.url());
    let (out_text, genesis) = (out.to_str().unwrap(), chain.genesis.to_str().unwrap());
    let fetched = blockloom(&["fetch", "--rpc", &url, &blocks, "--out", out_text, "--chain", genesis]);
    assert_eq!(fetched.status.code(), Some(0), "{}", text(&fetched.stderr));
    chain.check_replay(&out);
}

#[test]
fn every_block_of_an_ethrex_chain_is_replayed_from_its_witness_alone() {
    let folder = tempfile::tempdir().unwrap();
    let Some(chain) = Chain::built(folder.path()) else { return };
    let out = folder.path().join("witnesses");
    for block in 1..=BLOCKS {
        let path = out.join(format!("{block:03}"));
        fs::create_dir_all(&path).unwrap();
        let write = |name: &str, answer: Value| fs::write(path.join(name), answer.to_string()).unwrap();
        write("block.json", chain.node.call("eth_getBlockByNumber", &json!([number(block), true])));
        write("execution_witness.json", chain.node.call("debug_executionWitness", &json!([number(block)])));
    }
    chain.check_replay(&out);
}
