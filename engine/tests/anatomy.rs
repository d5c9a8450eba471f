//! What the transactions of a block need of each other.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use alloy_consensus::Header;
use alloy_hardforks::EthereumHardfork;
use alloy_primitives::{Address, B256, Bytes, U256, bytes};
use blockloom_engine::{Block, Engine, Frame, Rules, Transaction};
use blockloom_state::{Allocation, MemoryStore};
use revm::context::TxEnv;

const RICH: Address = Address::repeat_byte(0x11);
const POOR: Address = Address::repeat_byte(0x22);
const OTHER: Address = Address::repeat_byte(0x33);
const COUNTER: Address = Address::repeat_byte(0xcc);
const WATCHER: Address = Address::repeat_byte(0xdd);
const COINBASE: Address = Address::repeat_byte(0xc0);

/// Adds one to slot 0.
const COUNT: Bytes = bytes!("600160005401600055");

fn pay(sender: Address, nonce: u64, to: Address, value: u64) -> Transaction {
    let env = TxEnv {
        caller: sender,
        nonce,
        kind: to.into(),
        value: U256::from(value),
        gas_limit: 100_000,
        gas_price: 1,
        ..TxEnv::default()
    };
    Transaction { hash: B256::repeat_byte(nonce as u8), env }
}

/// Which transactions each one needs.
fn needs(transactions: impl IntoIterator<Item = Transaction>) -> Vec<Vec<usize>> {
    let with = |balance, code| Allocation { balance: U256::from(balance), code, ..Allocation::default() };
    let watched = [&bytes!("73")[..], OTHER.as_slice(), &bytes!("31600055")[..]].concat();
    let base = MemoryStore::from_genesis([
        (RICH, with(u64::MAX, Bytes::new())),
        (OTHER, with(u64::MAX, Bytes::new())),
        (COUNTER, with(0, COUNT)),
        (WATCHER, with(0, watched.into())),
    ]);
    let header = Header { gas_limit: 30_000_000, beneficiary: COINBASE, ..Header::default() };
    let block = Block {
        transactions: transactions.into_iter().collect(),
        frame: Frame::TransactionsOnly,
        ..Block::without_body(Rules::mainnet(EthereumHardfork::Petersburg), &header)
    };
    let anatomy = Engine::default().dissect(&base, &block, 3).unwrap();
    assert_eq!(anatomy.transactions.len(), block.transactions.len());
    assert!(anatomy.transactions.iter().all(|part| !part.time.is_zero()), "each takes some time");
    let parts = anatomy.transactions.into_iter();
    parts.map(|part| part.needs.iter().map(|index| index.get()).collect()).collect()
}

const NONE: Vec<usize> = Vec::new();

#[test]
fn who_has_enough_needs_nobody() {
    let transactions = [pay(RICH, 0, OTHER, 5), pay(OTHER, 0, RICH, 5), pay(RICH, 1, POOR, 1)];
    assert_eq!(needs(transactions), [NONE; 3]);
}

#[test]
fn who_has_too_little_needs_whoever_paid_enough() {
    let half = 60_000;
    let transactions =
        [pay(RICH, 0, POOR, half), pay(OTHER, 0, POOR, half), pay(RICH, 1, POOR, 1), pay(POOR, 0, RICH, 1)];
    assert_eq!(needs(transactions), [NONE, NONE, NONE, vec![1]]);
}

#[test]
fn a_counter_is_needed_from_one_to_the_next() {
    let transactions = [
        pay(RICH, 0, COUNTER, 0),
        pay(OTHER, 0, POOR, 0),
        pay(OTHER, 1, COUNTER, 0),
        pay(RICH, 1, COUNTER, 0),
    ];
    assert_eq!(needs(transactions), [NONE, NONE, vec![0], vec![2]]);
}

#[test]
fn who_looks_at_a_balance_needs_whoever_changed_it_last() {
    let transactions = [pay(RICH, 0, OTHER, 1), pay(RICH, 1, OTHER, 1), pay(RICH, 2, WATCHER, 0)];
    assert_eq!(needs(transactions), [NONE, NONE, vec![1]]);
}

#[test]
fn who_looks_at_the_coinbase_needs_everybody_before_it() {
    let transactions = [pay(RICH, 0, POOR, 1), pay(OTHER, 0, POOR, 1), pay(COINBASE, 0, POOR, 0)];
    let enough = U256::from(200_000);
    let rich = pay(RICH, 0, COINBASE, enough.to());
    assert_eq!(needs([rich].into_iter().chain(transactions.into_iter().skip(1))), [NONE, NONE, vec![0, 1]]);
}
