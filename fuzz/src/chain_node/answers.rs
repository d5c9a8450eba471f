//! The answers of the node, as JSON, and the proofs in them.

use alloy_consensus::transaction::SignerRecoverable;
use alloy_primitives::{Address, B256, Bytes, U256, hex, keccak256};
use alloy_trie::{HashBuilder, Nibbles, TrieAccount, proof::ProofRetainer};
use blockloom_engine::{Receipt, SignedBlock};
use blockloom_state::{MemoryStore, StoredAccount};
use serde_json::{Map, Value, json};

use super::Played;

pub(super) fn account(state: &MemoryStore, address: Address) -> StoredAccount {
    state.account(&address).cloned().unwrap_or_default()
}

fn code(state: &MemoryStore, stored: &StoredAccount) -> Bytes {
    state.code(&stored.account.code_hash).map(|code| code.original_bytes()).unwrap_or_default()
}

/// The balance, the code or the nonce of an account, as the method asks.
pub(super) fn account_answer(state: &MemoryStore, address: Address, method: &str) -> Value {
    let stored = account(state, address);
    match method {
        "eth_getBalance" => json!(stored.account.balance),
        "eth_getCode" => json!(code(state, &stored)),
        _ => json!(format!("{:#x}", stored.account.nonce)),
    }
}

pub(super) fn block_json(played: &Played, with_transactions: bool) -> Value {
    let SignedBlock { header, body } = &played.block;
    let mut json = serde_json::to_value(header).expect("a header has a JSON form");
    let transactions = body.transactions.iter().map(|transaction| {
        if !with_transactions {
            return json!(transaction.tx_hash());
        }
        let mut json = serde_json::to_value(transaction).expect("a transaction has a JSON form");
        json["from"] = json!(transaction.recover_signer_unchecked().expect("it is signed"));
        json["hash"] = json!(transaction.tx_hash());
        json
    });
    json["transactions"] = transactions.collect();
    json["hash"] = json!(header.hash_slow());
    json["uncles"] = body.ommers.iter().map(|ommer| json!(ommer.hash_slow())).collect();
    // What a node says beyond the block itself.
    json["size"] = json!("0x123");
    if let Some(withdrawals) = &body.withdrawals {
        json["withdrawals"] = serde_json::to_value(withdrawals).expect("withdrawals have a JSON form");
    }
    json
}

pub(super) fn receipt_json(receipt: &Receipt) -> Value {
    let logs = receipt.logs.iter().map(|log| {
        json!({ "address": log.address, "topics": log.topics(), "data": hex::encode_prefixed(&log.data.data) })
    });
    let mut json = json!({
        "type": format!("{:#x}", receipt.tx_type as u8),
        "cumulativeGasUsed": format!("{:#x}", receipt.cumulative_gas_used),
        "logs": Value::from_iter(logs),
    });
    match receipt.status.as_eip658() {
        Some(succeeded) => json["status"] = json!(format!("{:#x}", u8::from(succeeded))),
        None => json["root"] = json!(receipt.status.as_post_state()),
    }
    json
}

/// Everything in the state, without the fields that are zero: more than a tracer says, and in its form.
pub(super) fn trace_json(state: &MemoryStore) -> Value {
    let accounts = state.accounts().map(|(address, stored)| {
        let mut json = Map::new();
        if !stored.account.balance.is_zero() {
            json.insert("balance".to_owned(), json!(stored.account.balance));
        }
        if stored.account.has_code() {
            json.insert("code".to_owned(), json!(code(state, stored)));
        }
        if !stored.slots.is_empty() {
            let slots = stored
                .slots
                .iter()
                .map(|(key, value)| (B256::from(*key).to_string(), json!(B256::from(*value))));
            json.insert("storage".to_owned(), Value::Object(slots.collect()));
        }
        (address.to_string(), Value::Object(json))
    });
    Value::Object(accounts.collect())
}

/// The whole state as a witness.
pub(super) fn witness_json(parent: &Played) -> Value {
    let Played { block, state, .. } = parent;
    let storages = state.accounts().flat_map(|(_, stored)| prove(slot_leaves(stored), Retained::All).0);
    let nodes = prove(account_leaves(state), Retained::All).0.into_iter().chain(storages);
    let codes = state
        .accounts()
        .filter(|(_, stored)| stored.account.has_code())
        .map(|(_, stored)| code(state, stored));
    json!({
        "state": nodes.collect::<Vec<_>>(),
        "codes": codes.collect::<Vec<_>>(),
        "keys": null,
        "headers": [hex::encode_prefixed(alloy_rlp::encode(&block.header))],
    })
}

fn account_leaves(state: &MemoryStore) -> Vec<(B256, Vec<u8>)> {
    let leaf = |(address, stored): (&Address, &StoredAccount)| {
        let account = stored.account;
        let leaf = TrieAccount {
            nonce: account.nonce,
            balance: account.balance,
            storage_root: prove(slot_leaves(stored), Retained::Nothing).1,
            code_hash: account.code_hash,
        };
        (keccak256(address), alloy_rlp::encode(leaf))
    };
    state.accounts().map(leaf).collect()
}

fn slot_leaves(stored: &StoredAccount) -> Vec<(B256, Vec<u8>)> {
    stored.slots.iter().map(|(key, value)| (slot_hash(key), alloy_rlp::encode(value))).collect()
}

fn slot_hash(key: &U256) -> B256 {
    keccak256(key.to_be_bytes::<32>())
}

pub(super) fn proof_json(state: &MemoryStore, address: Address, keys: &[U256]) -> Value {
    let (nodes, _) = prove(account_leaves(state), Retained::Path(keccak256(address)));
    let stored = account(state, address);
    let slots = keys.iter().map(|key| {
        let (nodes, _) = prove(slot_leaves(&stored), Retained::Path(slot_hash(key)));
        let value = stored.slots.get(key).copied().unwrap_or_default();
        json!({ "key": B256::from(*key), "value": value, "proof": nodes })
    });
    json!({
        "address": address,
        "balance": stored.account.balance,
        "nonce": format!("{:#x}", stored.account.nonce),
        "codeHash": stored.account.code_hash,
        "accountProof": nodes,
        "storageProof": Value::from_iter(slots),
    })
}

/// Which nodes of a trie are kept.
#[derive(Clone, Copy)]
enum Retained {
    Nothing,
    /// Those on the path to a key.
    Path(B256),
    All,
}

/// Nodes of the trie with these leaves, and its root.
fn prove(mut leaves: Vec<(B256, Vec<u8>)>, retained: Retained) -> (Vec<Bytes>, B256) {
    leaves.sort_unstable();
    let keys = match retained {
        Retained::Nothing => Vec::new(),
        Retained::Path(key) => vec![Nibbles::unpack(key)],
        Retained::All => leaves.iter().map(|(key, _)| Nibbles::unpack(key)).collect(),
    };
    let mut builder = HashBuilder::default().with_proof_retainer(ProofRetainer::new(keys));
    for (key, value) in leaves {
        builder.add_leaf(Nibbles::unpack(key), &value);
    }
    let root = builder.root();
    let nodes = builder.take_proof_nodes().into_nodes_sorted().into_iter().map(|(_, node)| node);
    (nodes.collect(), root)
}
