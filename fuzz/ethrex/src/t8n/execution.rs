//! Executes a block, and finds the first transaction that makes it invalid.

use std::sync::Arc;

use ethrex_common_31::{
    NativeCrypto,
    types::{
        AccountUpdate, ChainConfig, ELASTICITY_MULTIPLIER, Transaction, block_access_list::BlockAccessList,
        compute_receipts_root, requests::compute_requests_hash,
    },
    validate_block_pre_execution,
};
use ethrex_rlp_31::{decode::RLPDecode, encode::RLPEncode};
use ethrex_vm_31::{BlockExecutionResult, Evm, EvmError};
use serde_json::{Value, json};

use crate::{
    base::{Base, State},
    block::{block, parent},
    question::Question,
};

/// What a valid block yields.
struct Execution {
    result: BlockExecutionResult,
    access_list: Option<BlockAccessList>,
    updates: Vec<AccountUpdate>,
}

/// Why there is no execution.
enum Refusal {
    /// The block is invalid.
    Invalid(String),
    /// ethrex has no result for a block that it did not find invalid.
    Failure(String),
}

/// A line of output: the block with all transactions, or with those before the first that makes it invalid.
pub(crate) fn answer(question: &Question) -> Result<Value, String> {
    let config = question.chain_config()?;
    let transactions = Vec::<Transaction>::decode(&question.txs).map_err(|error| format!("txs: {error}"))?;
    let state = State::new(question);
    let base = base(question, config, &state)?;
    let run = |count: usize| execute(question, &base, &transactions[..count]);
    let error = match run(transactions.len()) {
        Ok(execution) => return Ok(result(question, &config, state, execution, Vec::new())),
        Err(Refusal::Failure(failure)) => return Ok(without_result(&state, "failure", failure)),
        Err(Refusal::Invalid(error)) => error,
    };
    if let Err(Refusal::Invalid(error)) = run(0) {
        return Ok(without_result(&state, "blockException", error));
    }
    let index = first_invalid(transactions.len(), |count| !matches!(run(count), Err(Refusal::Invalid(_))));
    let error = match run(index + 1) {
        Err(Refusal::Invalid(error)) => error,
        _ => error,
    };
    Ok(match run(index) {
        Ok(execution) => {
            let rejected = vec![json!({ "index": index, "error": error })];
            result(question, &config, state, execution, rejected)
        }
        Err(Refusal::Invalid(failure) | Refusal::Failure(failure)) => {
            without_result(&state, "failure", failure)
        }
    })
}

/// The line for a valid block. `rejected` is the transaction after it that is invalid.
fn result(
    question: &Question,
    config: &ChainConfig,
    mut state: State,
    execution: Execution,
    rejected: Vec<Value>,
) -> Value {
    state.apply(execution.updates);
    let is_prague = config.is_prague_activated(question.env.current_timestamp);
    let requests: Vec<_> = execution.result.requests.iter().map(|request| request.encode()).collect();
    let list = execution.access_list;
    json!({
        "alloc": state.to_json(),
        "result": {
            "stateRoot": state.root(),
            "receiptsRoot": compute_receipts_root(&execution.result.receipts, &NativeCrypto),
            "gasUsed": format!("{:#x}", execution.result.block_gas_used),
            "requestsHash": is_prague.then(|| compute_requests_hash(&requests)),
            "blockAccessListHash": list.as_ref().map(|list| list.compute_hash(&NativeCrypto)),
            "blockAccessList": list.map(|list| format!("0x{}", hex::encode(list.encode_to_vec()))),
            "rejected": rejected,
        },
    })
}

/// The line for a block that not even begins with a valid one, or for which ethrex has no result.
fn without_result(state: &State, key: &str, error: String) -> Value {
    json!({ "alloc": state.to_json(), "result": { "rejected": [], key: error } })
}

fn base(question: &Question, config: ChainConfig, state: &State) -> Result<Base, String> {
    let hashes = question.env.block_hashes.iter().map(|(number, hash)| {
        let digits = number.strip_prefix("0x").unwrap_or(number);
        u64::from_str_radix(digits, 16).map(|number| (number, *hash))
    });
    let hashes = hashes.collect::<Result<_, _>>().map_err(|error| format!("env.blockHashes: {error}"))?;
    Ok(Base { state: Arc::new(state.clone()), hashes: Arc::new(hashes), config })
}

/// The position of the first transaction with which a block is invalid: a block that begins like an invalid one is
/// invalid, and one without transactions is valid.
fn first_invalid(count: usize, is_valid: impl Fn(usize) -> bool) -> usize {
    let (mut valid, mut invalid) = (0, count);
    while invalid - valid > 1 {
        let middle = valid.midpoint(invalid);
        if is_valid(middle) {
            valid = middle;
        } else {
            invalid = middle;
        }
    }
    valid
}

/// Checks and executes a block, on one thread.
fn execute(question: &Question, base: &Base, transactions: &[Transaction]) -> Result<Execution, Refusal> {
    let block = block(question, &base.config, transactions);
    let parent = parent(&block.header, &base.config);
    validate_block_pre_execution(&block, &parent, &base.config, ELASTICITY_MULTIPLIER)
        .map_err(|error| Refusal::Invalid(error.to_string()))?;
    let mut evm = Evm::new_for_l1(base.clone(), Arc::new(NativeCrypto));
    let (result, access_list) = evm.execute_block(&block).map_err(|error| match error {
        EvmError::Custom(_) | EvmError::DB(_) => Refusal::Failure(error.to_string()),
        error => Refusal::Invalid(error.to_string()),
    })?;
    let updates = evm.get_state_transitions().map_err(|error| Refusal::Failure(error.to_string()))?;
    Ok(Execution { result, access_list, updates })
}
