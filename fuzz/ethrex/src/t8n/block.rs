//! The block that is executed, and a parent that it fits to.

use ethrex_common_31::{
    H256, NativeCrypto, U256,
    constants::{DEFAULT_OMMERS_HASH, GAS_PER_BLOB},
    types::{
        Block, BlockBody, BlockHeader, ChainConfig, Transaction, calc_excess_blob_gas,
        compute_transactions_root, compute_withdrawals_root,
    },
};

use crate::question::Question;

/// A block with these transactions. Its header commits to no results.
pub(crate) fn block(question: &Question, config: &ChainConfig, transactions: &[Transaction]) -> Block {
    let env = &question.env;
    let time = env.current_timestamp;
    let blobs: usize = transactions.iter().map(|transaction| transaction.blob_versioned_hashes().len()).sum();
    let blob_gas = blobs as u64 * u64::from(GAS_PER_BLOB);
    let withdrawals = env.withdrawals.as_deref();
    let header = BlockHeader {
        parent_hash: question.block_hash(env.current_number - 1).unwrap_or_default(),
        ommers_hash: *DEFAULT_OMMERS_HASH,
        coinbase: env.current_coinbase,
        transactions_root: compute_transactions_root(transactions, &NativeCrypto),
        number: env.current_number,
        gas_limit: env.current_gas_limit,
        timestamp: time,
        prev_randao: env.current_random,
        base_fee_per_gas: Some(env.current_base_fee),
        withdrawals_root: withdrawals.map(|withdrawals| compute_withdrawals_root(withdrawals, &NativeCrypto)),
        blob_gas_used: config.is_cancun_activated(time).then_some(blob_gas),
        excess_blob_gas: env.current_excess_blob_gas,
        parent_beacon_block_root: env.parent_beacon_block_root,
        requests_hash: config.is_prague_activated(time).then(H256::zero),
        block_access_list_hash: config.is_amsterdam_activated(time).then(H256::zero),
        slot_number: config.is_amsterdam_activated(time).then_some(0),
        ..BlockHeader::default()
    };
    let body = BlockBody {
        transactions: transactions.to_vec(),
        ommers: Vec::new(),
        withdrawals: env.withdrawals.clone(),
    };
    Block::new(header, body)
}

/// A parent after which a header is valid, so that ethrex checks the body as it checks that of any block.
pub(crate) fn parent(header: &BlockHeader, config: &ChainConfig) -> BlockHeader {
    let parent = BlockHeader {
        number: header.number - 1,
        timestamp: header.timestamp - 1,
        gas_limit: header.gas_limit,
        // Half of the limit leaves the base fee as it is.
        gas_used: header.gas_limit / 2,
        base_fee_per_gas: header.base_fee_per_gas,
        difficulty: U256::zero(),
        ..BlockHeader::default()
    };
    // The header names the parent by this hash, and ethrex computes none where there is one.
    let _ = parent.hash.set(header.parent_hash);
    let (Some(excess), Some(schedule)) =
        (header.excess_blob_gas, config.get_fork_blob_schedule(header.timestamp))
    else {
        return parent;
    };
    // With EIP-7918 a block without blobs keeps the excess where blobs are cheap, else it falls by the target.
    let fork = config.fork(header.timestamp);
    let fallen = excess + u64::from(schedule.target) * u64::from(GAS_PER_BLOB);
    let parents = [excess, fallen].map(|excess| BlockHeader {
        excess_blob_gas: Some(excess),
        blob_gas_used: Some(0),
        ..parent.clone()
    });
    let fitting = parents.iter().find(|parent| calc_excess_blob_gas(parent, schedule, fork) == excess);
    fitting.unwrap_or(&parents[1]).clone()
}
