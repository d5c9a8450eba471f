//! Microbenchmarks of the parts that every transaction uses, to locate a regression.

use std::hint::black_box;

use alloy_primitives::{Address, KECCAK256_EMPTY, U256};
use blockloom_bench::workloads::{Kind, Recipe, Shape, Workload};
use blockloom_engine::{Config, Engine, TestMode};
use blockloom_state::{
    AccountEffect, AccountObservation, AccountRecord, Allocation, BalanceEffect, Bounds, CachedAccounts,
    Existence, Incarnation, LifeChange, Memory, MemoryAccountId, MemoryStore, Origin, Overlay, Payment,
    Record, SlotObservation, SlotRead, SlotRecord, TxIndex, Version, Visibility, Writer,
};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use revm_database_interface::DatabaseRef as _;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The number of slots, or accounts, of one measurement.
const COUNT: usize = 1000;
/// The gas of a small block: about ten swaps.
const SMALL: u64 = 1_000_000;

fn address(number: usize) -> Address {
    Address::left_padding_from(&(number as u64 + 1).to_be_bytes())
}

fn contract() -> MemoryStore {
    let storage = (0..COUNT).map(|key| (U256::from(key), U256::ONE)).collect();
    MemoryStore::from_genesis([(address(0), Allocation { nonce: 1, storage, ..Allocation::default() })])
}

fn payers() -> MemoryStore {
    let rich = Allocation { balance: U256::from(1u64 << 60), ..Allocation::default() };
    MemoryStore::from_genesis((0..COUNT).map(|number| (address(number), rich.clone())))
}

/// A memory with the contract's slots read.
fn filled(store: &MemoryStore) -> Memory {
    let mut memory = Memory::default();
    memory.open([Address::ZERO], Visibility::Published);
    read_slots(&memory, store, TxIndex::new(1));
    memory
}

fn read_account(memory: &Memory, store: &MemoryStore, reader: TxIndex) -> MemoryAccountId {
    let read = memory.account(address(0), reader, CachedAccounts::All, || store.basic_ref(address(0)));
    read.expect("a store can be read").id.expect("every account has an id")
}

fn read_slots(memory: &Memory, store: &MemoryStore, reader: TxIndex) -> U256 {
    let account = read_account(memory, store, reader);
    let slots = (0..COUNT).map(|key| {
        let read = memory.slot(account, U256::from(key), reader, || Ok::<_, ()>(U256::ONE));
        match read.expect("a store can be read") {
            SlotRead::Value(value, _) => value,
            SlotRead::Awaits(_) => unreachable!("nothing is predicted"),
        }
    });
    slots.sum()
}

/// The record of a run that writes every slot of the contract.
fn writing(memory: &Memory, store: &MemoryStore) -> Record {
    let account = read_account(memory, store, TxIndex::new(1));
    let touched = AccountRecord {
        address: address(0),
        id: Some(account),
        observed: AccountObservation::NOTHING,
        effect: None,
    };
    let key = |key: usize| U256::from(key);
    let read = |slot| SlotObservation { account: 0, key: key(slot), value: U256::ONE, origin: Origin::Base };
    let write = |slot| SlotRecord { account: 0, key: key(slot), original: U256::ONE, value: U256::from(2) };
    Record {
        accounts: vec![touched],
        reads: (0..COUNT).map(read).collect(),
        writes: (0..COUNT).map(write).collect(),
        ..Record::default()
    }
}

/// The record of a run that pays every account.
fn paying() -> Record {
    let observed = AccountObservation {
        balance: Bounds { at_least: U256::ONE, ..Bounds::<U256>::BELOW_OVERFLOW },
        nonce: Bounds::<u64>::ALL,
        code_hash: Some(KECCAK256_EMPTY),
        existence: Some(Existence::Exists),
    };
    let effect = AccountEffect {
        life_change: LifeChange::Continues,
        balance: BalanceEffect::Add(U256::ONE),
        nonce: None,
        code: None,
    };
    let paid = |number| {
        Payment::of(address(number), &observed, Some(&effect), None).expect("adding one wei is a payment")
    };
    Record { payments: (0..COUNT).map(paid).collect(), ..Record::default() }
}

fn commit<'s>(store: &'s MemoryStore, record: &Record) -> Overlay<&'s MemoryStore> {
    let mut overlay = Overlay::with_capacity(store, record.payments.len());
    assert_eq!(overlay.validate(record), Ok(None));
    overlay.commit_record(record);
    overlay
}

fn memory(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("memory, 1000 slots");
    let store = contract();
    group.bench_function("first read", |bench| {
        bench.iter_batched_ref(
            || {
                let mut memory = Memory::default();
                memory.open([Address::ZERO], Visibility::Published);
                memory
            },
            |memory| black_box(read_slots(memory, &store, TxIndex::new(1))),
            BatchSize::LargeInput,
        );
    });
    let memory = filled(&store);
    group.bench_function("read again", |bench| {
        bench.iter(|| black_box(read_slots(&memory, &store, TxIndex::new(1))));
    });
    group.bench_function("publish", |bench| {
        bench.iter_batched_ref(
            || filled(&store),
            |memory| {
                let (record, mut stale) = (writing(memory, &store), Vec::new());
                let version = Version { index: TxIndex::new(0), incarnation: Incarnation::FIRST };
                memory.publish(Writer::Run(version), &record, None, &mut stale);
                black_box(stale.len())
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

fn gate(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("gate, validate and commit");
    let store = contract();
    let record = writing(&filled(&store), &store);
    group.bench_function("1000 slots", |bench| {
        bench.iter_with_large_drop(|| commit(&store, &record));
    });
    let (store, record) = (payers(), paying());
    group.bench_function("1000 payments", |bench| {
        bench.iter_with_large_drop(|| commit(&store, &record));
    });
    group.bench_function("changes of 1000 payments", |bench| {
        bench.iter_batched(
            || commit(&store, &record),
            |overlay| overlay.into_changes(),
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

fn blocks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("a block of 1 Mgas");
    let sequential = Engine::new(Config::sequential());
    let parallel = Engine::new(Config::with_threads(2)).with_test_mode(TestMode::AlwaysParallel);
    for kind in [Kind::Transfers, Kind::Swaps] {
        let Workload { base, block } = Recipe::new(kind, Shape::Independent, SMALL).prepare();
        for (side, engine) in [("sequential", &sequential), ("2 threads", &parallel)] {
            group.bench_function(format!("{kind}, {side}"), |bench| {
                bench.iter(|| engine.execute(&base, &block).expect("the block is valid"));
            });
        }
    }
    group.finish();
}

criterion_group!(parts, memory, gate, blocks);
criterion_main!(parts);
