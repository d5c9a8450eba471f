//! An ethrex node builds a chain up to Osaka; `fetch` takes its blocks, and `replay` executes them.
//!
//! `fuzz/ethrex/README.md` says how to build the node. Without it the test says so and passes.

#![expect(clippy::explicit_write, reason = "it reaches the reader although the harness captures prints")]

mod node;
mod traffic;

use std::{
    env, fs,
    io::{self, Write as _},
    path::Path,
};

use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::hex;
use serde_json::{Value, json};

use crate::command::{blockloom, text};
use node::Node;
use traffic::{Traffic, attributes, genesis};

/// The variable with the program of the node.
const NODE: &str = "BLOCKLOOM_ETHREX_NODE";
/// The number of blocks after the genesis.
const BLOCKS: u64 = 100;

/// The node that builds the chain, if there is one, and its genesis.json in `folder`.
fn node_with_chain(folder: &Path) -> Option<Node> {
    let Some(program) = env::var_os(NODE) else {
        writeln!(io::stderr(), "nothing fetched from ethrex: {NODE} does not name the program ethrex-node")
            .unwrap();
        return None;
    };
    let path = folder.join("genesis.json");
    fs::write(&path, genesis().to_string()).unwrap();
    let node = Node::start(program.as_ref(), &path);
    let mut traffic = Traffic::default();
    for block in 1..=BLOCKS {
        let transactions = traffic.transactions(block);
        let transactions: Vec<_> =
            transactions.iter().map(|transaction| hex::encode_prefixed(transaction.encoded_2718())).collect();
        let mined = node.call("node_mineBlock", &json!([attributes(block), transactions]));
        assert_eq!(mined["number"], json!(format!("{block:#x}")));
    }
    Some(node)
}
