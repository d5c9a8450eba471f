//! What pictures say about transactions.

use std::{collections::HashMap, time::Duration};

use alloy_primitives::{Address, B256, TxKind, hex};
use blockloom_bench::timeline::Place;
use blockloom_engine::{Block, Dependencies, Transaction};

/// A transaction in words.
#[derive(Clone, Debug)]
pub(crate) struct TransactionFacts {
    pub(crate) hash: B256,
    /// `None` if it creates a contract.
    pub(crate) to: Option<Address>,
    pub(crate) selector: Option<String>,
    /// The gas that it used, and its time on one thread, if they were measured.
    pub(crate) measured: Option<(u64, Duration)>,
}

/// The transactions of blocks.
pub(crate) type Facts = HashMap<Place, TransactionFacts>;

/// Adds the transactions of a block.
pub(crate) fn add(facts: &mut Facts, block: &Block, graph: Option<&Dependencies>) {
    for (position, transaction) in block.transactions.iter().enumerate() {
        let measured = graph.and_then(|graph| graph.transactions.get(position));
        let of_transaction = TransactionFacts {
            hash: transaction.hash,
            to: transaction.env.kind.to().copied(),
            selector: selector(transaction),
            measured: measured.map(|measured| (measured.gas, measured.time)),
        };
        facts.insert(Place { block: block.number(), position: Some(position) }, of_transaction);
    }
}

/// The function that a transaction calls: the first four bytes of its input.
pub(crate) fn selector(transaction: &Transaction) -> Option<String> {
    let selector = transaction.env.data.get(..4)?;
    matches!(transaction.env.kind, TxKind::Call(_)).then(|| hex::encode_prefixed(selector))
}
