//! Bases that take their time: how many threads a block gets there, and what is read ahead for it.
//!
//! Whether somebody reads ahead before the block is done is a matter of luck; so blocks are executed
//! again, so many times at most, until it has happened.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    thread::available_parallelism,
    time::{Duration, Instant},
};

use alloy_consensus::Header;
use alloy_eips::eip7928::BlockAccessList;
use alloy_hardforks::EthereumHardfork::Prague;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, bytes};
use blockloom_engine::{Block, Config, Engine, Hints, Lists, Outcome, Rules, Transaction, Use};
use blockloom_state::{Allocation, Base, MemoryStore, MissingCode};
use revm::{
    DatabaseRef,
    context::{
        TxEnv,
        transaction::{AccessList, AccessListItem},
    },
    state::{AccountInfo, Bytecode},
};

/// Is in the access list of every transaction, and nobody ever looks at it.
const NAMED_ONLY: Address = Address::repeat_byte(0x99);
/// Adds one to its first slot.
const CONTRACT: Address = Address::repeat_byte(0xcc);
const CODE: Bytes = bytes!("5f546001015f55");

const TRANSACTIONS: u8 = 100;
const TRIES: usize = 100;

/// A store whose answers take so long, and which does `on_named` when it is asked for whom nobody
/// looks at.
struct Slow<'a> {
    store: &'a MemoryStore,
    latency: Duration,
    on_named: fn() -> Result<(), MissingCode>,
}

impl Slow<'_> {
    fn late(&self) -> &MemoryStore {
        let start = Instant::now();
        while start.elapsed() < self.latency {
            std::thread::yield_now();
        }
        self.store
    }
}

impl DatabaseRef for Slow<'_> {
    type Error = MissingCode;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, MissingCode> {
        if address == NAMED_ONLY {
            (self.on_named)()?;
        }
        self.late().basic_ref(address)
    }

    fn code_by_hash_ref(&self, hash: B256) -> Result<Bytecode, MissingCode> {
        self.late().code_by_hash_ref(hash)
    }

    fn storage_ref(&self, address: Address, key: U256) -> Result<U256, MissingCode> {
        self.late().storage_ref(address, key)
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, MissingCode> {
        self.late().block_hash_ref(number)
    }
}

fn slow(store: &MemoryStore) -> Slow<'_> {
    Slow { store, latency: Duration::from_micros(50), on_named: || Ok(()) }
}

fn sender(number: u8) -> Address {
    Address::with_last_byte(number + 1)
}

/// A block of calls of one contract, each from a sender of its own.
fn scene() -> (MemoryStore, Block) {
    let rich =
        |number| (sender(number), Allocation { balance: U256::from(1_000_000_000), ..Allocation::default() });
    let contract = Allocation { nonce: 1, code: CODE, ..Allocation::default() };
    let store = MemoryStore::from_genesis((0..TRANSACTIONS).map(rich).chain([(CONTRACT, contract)]));
    let named = AccessListItem { address: NAMED_ONLY, storage_keys: vec![B256::ZERO] };
    let transaction = |number| Transaction {
        hash: B256::with_last_byte(number),
        env: TxEnv {
            tx_type: 1,
            caller: sender(number),
            kind: TxKind::Call(CONTRACT),
            data: bytes!("01"),
            gas_limit: 100_000,
            gas_price: 1,
            access_list: AccessList(vec![named.clone()]),
            ..TxEnv::default()
        },
    };
    let header = Header {
        gas_limit: 100_000_000,
        base_fee_per_gas: Some(1),
        excess_blob_gas: Some(0),
        ..Header::default()
    };
    let frame = blockloom_engine::Frame::TransactionsOnly;
    let transactions = (0..TRANSACTIONS).map(transaction).collect();
    let block = Block::without_body(Rules::mainnet(Prague), &header);
    (store, Block { transactions, frame, ..block })
}

/// What the block does, with its list.
fn sequentially(store: &MemoryStore, block: &Block) -> Outcome {
    let config = Config { lists: Lists::Always, ..Config::sequential() };
    let outcome = Engine::new(config).execute(store, block).unwrap();
    assert_eq!(outcome.receipts.len(), usize::from(TRANSACTIONS));
    outcome
}

fn list(outcome: &Outcome) -> BlockAccessList {
    outcome.access_list.clone().expect("it was asked for")
}

/// An engine of eight threads that lists.
fn engine(hints: Hints, readers: usize) -> Engine {
    Engine::new(Config { hints, readers, lists: Lists::Always, ..Config::with_threads(8) })
}

/// Whether the outcome is so in one of the tries; what the block does is the same in all.
fn is_once<B: Base>(
    engine: &Engine,
    (base, block): (&B, &Block),
    expected: &Outcome,
    is_so: impl Fn(&Outcome) -> bool,
) -> bool {
    (0..TRIES).any(|_| {
        let outcome = engine.execute(base, block).unwrap();
        assert_eq!(outcome, *expected);
        is_so(&outcome)
    })
}

const NO_HINTS: Hints = Hints { given_lists: Use::Off, access_lists: Use::Off, parties: Use::Off };

#[test]
fn more_threads_than_the_machine_runs_at_once_are_taken_only_where_the_base_is_slow() {
    let (store, block) = scene();
    let (expected, engine) = (sequentially(&store, &block), engine(Hints::default(), 0));
    let most = available_parallelism().unwrap().get().max(2);
    let are_few = |outcome: &Outcome| (2..=most).contains(&outcome.statistics.threads);
    assert!(is_once(&engine, (&store, &block), &expected, are_few), "at hand");
    assert!(is_once(&engine, (&slow(&store), &block), &expected, |outcome| outcome.statistics.threads == 8));
}

#[test]
fn each_hint_has_something_read_ahead_of_a_slow_base_and_none_has_nothing() {
    let (store, block) = scene();
    let expected = sequentially(&store, &block);
    let listed = block.with_hint(list(&expected)).unwrap();
    let is_read = |outcome: &Outcome| outcome.statistics.read_ahead > 0;
    let hints = [
        ("parties", Hints { parties: Use::On, ..NO_HINTS }),
        ("access lists", Hints { access_lists: Use::On, ..NO_HINTS }),
        ("the list", Hints { given_lists: Use::On, ..NO_HINTS }),
    ];
    for (name, hints) in hints {
        let engine = engine(hints, 4);
        assert!(is_once(&engine, (&slow(&store), &listed), &expected, is_read), "{name}");
    }
    for (hints, readers) in [(NO_HINTS, 4), (Hints::default(), 0)] {
        let engine = engine(hints, readers);
        for _ in 0..10 {
            let outcome = engine.execute(&slow(&store), &listed).unwrap();
            assert_eq!(outcome.statistics.read_ahead, 0, "{hints:?}, {readers} readers");
        }
    }
}

#[test]
fn what_fails_only_when_it_is_read_ahead_harms_nobody() {
    let (store, block) = scene();
    let expected = sequentially(&store, &block);
    let fails: [fn() -> Result<(), MissingCode>; 2] =
        [|| Err(MissingCode(B256::ZERO)), || panic!("nobody is to see this")];
    for on_named in fails {
        let base = Slow { on_named, ..slow(&store) };
        let only_named = Hints { access_lists: Use::On, ..NO_HINTS };
        let engine = engine(only_named, 4);
        // There are two needs, and the first one fails: whoever took the second went on after it.
        assert!(is_once(&engine, (&base, &block), &expected, |outcome| outcome.statistics.read_ahead == 2));
    }
}
