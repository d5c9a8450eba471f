//! Bases with high latency: the number of threads of a block there, and the prefetched base reads.
//!
//! A block can end before a prefetch happens. So each block is executed again, up to a limit, until the
//! expected outcome occurs once.

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

/// In the access list of every transaction, and read by none.
const NAMED_ONLY: Address = Address::repeat_byte(0x99);
/// A contract that adds one to its slot 0.
const CONTRACT: Address = Address::repeat_byte(0xcc);
const CODE: Bytes = bytes!("5f546001015f55");

const TRANSACTIONS: u8 = 100;
const TRIES: usize = 100;

/// A store with a latency for each read. A read of the account that no transaction reads calls `on_named`.
struct DelayedStore<'a> {
    store: &'a MemoryStore,
    latency: Duration,
    on_named: fn() -> Result<(), MissingCode>,
}

impl DelayedStore<'_> {
    /// The store, after the delay.
    fn after_delay(&self) -> &MemoryStore {
        let start = Instant::now();
        while start.elapsed() < self.latency {
            std::thread::yield_now();
        }
        self.store
    }
}

impl DatabaseRef for DelayedStore<'_> {
    type Error = MissingCode;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, MissingCode> {
        if address == NAMED_ONLY {
            (self.on_named)()?;
        }
        self.after_delay().basic_ref(address)
    }

    fn code_by_hash_ref(&self, hash: B256) -> Result<Bytecode, MissingCode> {
        self.after_delay().code_by_hash_ref(hash)
    }

    fn storage_ref(&self, address: Address, key: U256) -> Result<U256, MissingCode> {
        self.after_delay().storage_ref(address, key)
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, MissingCode> {
        self.after_delay().block_hash_ref(number)
    }
}

fn delayed(store: &MemoryStore) -> DelayedStore<'_> {
    DelayedStore { store, latency: Duration::from_micros(50), on_named: || Ok(()) }
}

fn sender(number: u8) -> Address {
    Address::with_last_byte(number + 1)
}

/// A block of calls of one contract, each from another sender. Their gas limits alone say that helpers pay.
fn calls() -> (MemoryStore, Block) {
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
            gas_limit: 250_000,
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

/// The outcome of sequential execution, with an access list.
fn sequential_outcome(store: &MemoryStore, block: &Block) -> Outcome {
    let config = Config { lists: Lists::Always, ..Config::sequential() };
    let outcome = Engine::new(config).execute(store, block).unwrap();
    assert_eq!(outcome.receipts.len(), usize::from(TRANSACTIONS));
    outcome
}

fn list(outcome: &Outcome) -> BlockAccessList {
    outcome.access_list.clone().expect("the configuration asks for a list")
}

/// An engine with eight threads that produces access lists.
fn engine(hints: Hints, prefetch_threads: usize) -> Engine {
    Engine::new(Config { hints, prefetch_threads, lists: Lists::Always, ..Config::with_threads(8) })
}

/// Whether `predicate` holds for the outcome of one of the tries. All outcomes must be equal.
fn holds_once<B: Base>(
    engine: &Engine,
    (base, block): (&B, &Block),
    expected: &Outcome,
    predicate: impl Fn(&Outcome) -> bool,
) -> bool {
    (0..TRIES).any(|_| {
        let outcome = engine.execute(base, block).unwrap();
        assert_eq!(outcome, *expected);
        predicate(&outcome)
    })
}

const NO_HINTS: Hints = Hints { given_lists: Use::Off, access_lists: Use::Off, parties: Use::Off };

#[test]
fn more_threads_than_cores_are_used_only_on_a_slow_base() {
    let (store, block) = calls();
    let (expected, engine) = (sequential_outcome(&store, &block), engine(Hints::default(), 0));
    let cores = available_parallelism().unwrap().get().max(2);
    let is_at_most_cores = |outcome: &Outcome| (2..=cores).contains(&outcome.statistics.threads);
    assert!(holds_once(&engine, (&store, &block), &expected, is_at_most_cores), "in memory");
    assert!(
        holds_once(&engine, (&delayed(&store), &block), &expected, |outcome| outcome.statistics.threads == 8)
    );
}

#[test]
fn each_hint_leads_to_prefetches_on_a_slow_base_and_without_hints_there_are_none() {
    let (store, block) = calls();
    let expected = sequential_outcome(&store, &block);
    let listed = block.with_hint(list(&expected)).unwrap();
    let is_prefetched = |outcome: &Outcome| outcome.statistics.prefetched > 0;
    let hints = [
        ("parties", Hints { parties: Use::On, ..NO_HINTS }),
        ("access lists", Hints { access_lists: Use::On, ..NO_HINTS }),
        ("the list", Hints { given_lists: Use::On, ..NO_HINTS }),
    ];
    for (name, hints) in hints {
        let engine = engine(hints, 4);
        assert!(holds_once(&engine, (&delayed(&store), &listed), &expected, is_prefetched), "{name}");
    }
    for (hints, prefetch_threads) in [(NO_HINTS, 4), (Hints::default(), 0)] {
        let engine = engine(hints, prefetch_threads);
        for _ in 0..10 {
            let outcome = engine.execute(&delayed(&store), &listed).unwrap();
            assert_eq!(outcome.statistics.prefetched, 0, "{hints:?}, {prefetch_threads} threads");
        }
    }
}

#[test]
fn a_failing_prefetch_changes_no_outcome() {
    let (store, block) = calls();
    let expected = sequential_outcome(&store, &block);
    let fails: [fn() -> Result<(), MissingCode>; 2] =
        [|| Err(MissingCode(B256::ZERO)), || panic!("the engine discards this panic")];
    for on_named in fails {
        let base = DelayedStore { on_named, ..delayed(&store) };
        let only_named = Hints { access_lists: Use::On, ..NO_HINTS };
        let engine = engine(only_named, 4);
        // There are two reads to prefetch. The first one fails, and the second one must still happen.
        assert!(holds_once(&engine, (&base, &block), &expected, |outcome| outcome.statistics.prefetched == 2));
    }
}
