//! A block and the state before it, as input of the specification's t8n tool and of ethrex's.

use alloy_primitives::{B256, hex};
use blockloom_fuzz::HostileBlock;
use blockloom_state::{MemoryStore, StoredAccount};
use revm::DatabaseRef;
use serde_json::{Map, Value, json};

/// The complete input of the tool.
pub(crate) fn block(hostile: &HostileBlock, fork: &str) -> Value {
    let transactions = alloy_rlp::encode(&hostile.signed.body.transactions);
    json!({
        "fork": fork,
        "alloc": accounts(&hostile.base),
        "env": environment(hostile),
        "txs": hex::encode_prefixed(transactions),
    })
}

fn accounts(base: &MemoryStore) -> Map<String, Value> {
    base.accounts().map(|(address, stored)| (address.to_string(), account(base, stored))).collect()
}

fn account(base: &MemoryStore, StoredAccount { account, slots }: &StoredAccount) -> Value {
    let code = base.code(&account.code_hash).map(|code| code.original_bytes()).unwrap_or_default();
    let storage: Map<_, _> =
        slots.iter().map(|(key, value)| (B256::from(*key).to_string(), json!(B256::from(*value)))).collect();
    json!({
        "balance": account.balance,
        "nonce": format!("{:#x}", account.nonce),
        "code": code,
        "storage": storage,
    })
}

fn environment(HostileBlock { base, signed, .. }: &HostileBlock) -> Value {
    let header = &signed.header;
    let number = |number: u64| format!("{number:#x}");
    let hashes = (header.number - 256..header.number).filter_map(|block| {
        let hash = base.block_hash_ref(block).ok().filter(|hash| !hash.is_zero())?;
        Some((number(block), json!(hash)))
    });
    let mut environment = json!({
        "currentCoinbase": header.beneficiary,
        "currentGasLimit": number(header.gas_limit),
        "currentNumber": number(header.number),
        "currentTimestamp": number(header.timestamp),
        "currentDifficulty": header.difficulty,
        "currentRandom": header.mix_hash,
        "blockHashes": hashes.collect::<Map<_, _>>(),
    });
    if let Some(fee) = header.base_fee_per_gas {
        environment["currentBaseFee"] = number(fee).into();
    }
    if let Some(withdrawals) = &signed.body.withdrawals {
        environment["withdrawals"] = json!(withdrawals);
    }
    if let Some(root) = header.parent_beacon_block_root {
        environment["parentBeaconBlockRoot"] = json!(root);
    }
    if let Some(excess) = header.excess_blob_gas {
        environment["currentExcessBlobGas"] = number(excess).into();
    }
    environment
}
