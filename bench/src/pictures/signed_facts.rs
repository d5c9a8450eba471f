//! What pictures say about the transactions of a block that was not executed yet.

use alloy_consensus::Transaction as _;
use alloy_primitives::hex;
use blockloom_bench::timeline::Place;
use blockloom_engine::SignedBlock;

use super::facts::{Facts, TransactionFacts};

/// Adds the transactions of a block.
pub(crate) fn add(facts: &mut Facts, block: &SignedBlock) {
    for (position, transaction) in block.body.transactions.iter().enumerate() {
        let to = transaction.to();
        let selector = to.and(transaction.input().get(..4)).map(hex::encode_prefixed);
        let of_transaction = TransactionFacts { hash: *transaction.tx_hash(), to, selector, measured: None };
        facts.insert(Place { block: block.header.number, position: Some(position) }, of_transaction);
    }
}
