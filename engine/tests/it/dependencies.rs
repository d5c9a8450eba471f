//! The dependencies between the transactions of a block.

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

/// The indices that each transaction depends on.
fn depends_on(transactions: impl IntoIterator<Item = Transaction>) -> Vec<Vec<usize>> {
    let with = |balance, code| Allocation { balance: U256::from(balance), code, ..Allocation::default() };
    let watcher = [&bytes!("73")[..], OTHER.as_slice(), &bytes!("31600055")[..]].concat();
    let base = MemoryStore::from_genesis([
        (RICH, with(u64::MAX, Bytes::new())),
        (OTHER, with(u64::MAX, Bytes::new())),
        (COUNTER, with(0, COUNT)),
        (WATCHER, with(0, watcher.into())),
    ]);
    let header = Header { gas_limit: 30_000_000, beneficiary: COINBASE, ..Header::default() };
    let block = Block {
        transactions: transactions.into_iter().collect(),
        frame: Frame::TransactionsOnly,
        ..Block::without_body(Rules::mainnet(EthereumHardfork::Petersburg), &header)
    };
    let found = Engine::default().dependencies(&base, &block, 3).unwrap();
    assert_eq!(found.transactions.len(), block.transactions.len());
    assert!(
        found.transactions.iter().all(|transaction| !transaction.time.is_zero()),
        "each transaction takes time"
    );
    found
        .transactions
        .iter()
        .map(|transaction| {
            let mut on: Vec<_> = transaction.depends_on.iter().map(|needed| needed.on.get()).collect();
            on.dedup();
            on
        })
        .collect()
}

const NONE: Vec<usize> = Vec::new();

#[test]
fn a_sender_with_enough_balance_depends_on_no_transaction() {
    let transactions = [pay(RICH, 0, OTHER, 5), pay(OTHER, 0, RICH, 5), pay(RICH, 1, POOR, 1)];
    assert_eq!(depends_on(transactions), [NONE; 3]);
}

#[test]
fn a_sender_without_enough_balance_depends_on_the_transfer_that_funds_it() {
    let half = 60_000;
    let transactions =
        [pay(RICH, 0, POOR, half), pay(OTHER, 0, POOR, half), pay(RICH, 1, POOR, 1), pay(POOR, 0, RICH, 1)];
    assert_eq!(depends_on(transactions), [NONE, NONE, NONE, vec![1]]);
}

#[test]
fn each_increment_of_a_counter_depends_on_the_one_before() {
    let transactions = [
        pay(RICH, 0, COUNTER, 0),
        pay(OTHER, 0, POOR, 0),
        pay(OTHER, 1, COUNTER, 0),
        pay(RICH, 1, COUNTER, 0),
    ];
    assert_eq!(depends_on(transactions), [NONE, NONE, vec![0], vec![2]]);
}

#[test]
fn a_balance_read_depends_on_the_last_change_of_the_balance() {
    let transactions = [pay(RICH, 0, OTHER, 1), pay(RICH, 1, OTHER, 1), pay(RICH, 2, WATCHER, 0)];
    assert_eq!(depends_on(transactions), [NONE, NONE, vec![1]]);
}

#[test]
fn a_read_of_the_coinbase_depends_on_all_transactions_before_it() {
    let transactions = [pay(RICH, 0, POOR, 1), pay(OTHER, 0, POOR, 1), pay(COINBASE, 0, POOR, 0)];
    let funding = pay(RICH, 0, COINBASE, 200_000);
    assert_eq!(
        depends_on([funding].into_iter().chain(transactions.into_iter().skip(1))),
        [NONE, NONE, vec![0, 1]]
    );
}
