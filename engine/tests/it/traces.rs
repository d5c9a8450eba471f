//! The traces that an observer receives: what they say is what the statistics say, and the outcome is the same.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use alloy_consensus::Header;
use alloy_hardforks::EthereumHardfork;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, bytes};
use blockloom_engine::{
    Block, Config, Engine, GateReason, Rules, RunEnd, Statistics, TestMode, Trace, TraceEvent,
    TraceEventKind, TraceObserver, Transaction,
};
use blockloom_fuzz::execute_with_delayed_commits;
use blockloom_state::{Allocation, MemoryStore};
use revm::context::TxEnv;

const TRANSACTIONS: u64 = 200;
const COUNTER: Address = Address::repeat_byte(0xcc);
/// Counts down from the length of the input, then adds one to slot 0.
const COUNT: Bytes = bytes!("365b8015600e57600190036001565b50600160005401600055");

#[derive(Debug, Default)]
struct Kept(Mutex<Vec<Trace>>);

impl TraceObserver for Kept {
    fn executed(&self, trace: &Trace) {
        self.0.lock().unwrap().push(trace.clone());
    }
}

impl Kept {
    fn last(&self) -> Trace {
        self.0.lock().unwrap().pop().expect("each execution is observed")
    }
}

fn sender(number: u64) -> Address {
    Address::left_padding_from(&(1 << 32 | number).to_be_bytes())
}

fn state() -> MemoryStore {
    let rich = Allocation { balance: U256::from(1u64 << 60), ..Allocation::default() };
    let counter = Allocation { nonce: 1, code: COUNT, ..Allocation::default() };
    let senders = (0..TRANSACTIONS).map(|number| (sender(number), rich.clone()));
    MemoryStore::from_genesis(senders.chain([(COUNTER, counter)]))
}

/// A block in which one transaction of `every` counts, and the others pay.
fn block(number: u64, nonce: u64, every: u64) -> Block {
    let header = Header { number, gas_limit: 1 << 40, ..Header::default() };
    let transaction = |position: u64| {
        let env = TxEnv {
            caller: sender(position),
            nonce,
            gas_limit: 100_000,
            gas_price: 1,
            kind: TxKind::Call(if position.is_multiple_of(every) { COUNTER } else { Address::ZERO }),
            ..TxEnv::default()
        };
        Transaction { hash: B256::from(U256::from(number << 32 | position)), env }
    };
    let transactions = (0..TRANSACTIONS).map(transaction).collect();
    let empty = Block::without_body(Rules::mainnet(EthereumHardfork::Byzantium), &header);
    Block { transactions, ..empty }
}

fn observed(threads: usize, test_mode: TestMode) -> (Engine, Arc<Kept>) {
    let kept = Arc::new(Kept::default());
    let config = Config { observer: Some(kept.clone()), ..Config::with_threads(threads) };
    (Engine::new(config).with_test_mode(test_mode), kept)
}

fn events(trace: &Trace) -> impl Iterator<Item = &TraceEvent> {
    trace.threads.iter().flat_map(|thread| &thread.events)
}

fn count(trace: &Trace, is_counted: impl Fn(&TraceEventKind) -> bool) -> u64 {
    events(trace).filter(|event| is_counted(&event.kind)).count() as u64
}

fn time(trace: &Trace, is_counted: impl Fn(&TraceEventKind) -> bool) -> Duration {
    events(trace).filter(|event| is_counted(&event.kind)).map(TraceEvent::time).sum()
}

/// Asserts that the events of a trace add up to its statistics.
fn assert_adds_up(trace: &Trace) {
    use TraceEventKind::{Commit, Run, RunAtGate, Wait};
    let counted: &Statistics = &trace.statistics;
    let runs = count(trace, |kind| matches!(kind, Run { .. }));
    let at_gate = count(trace, |kind| matches!(kind, RunAtGate { .. }));
    assert_eq!((runs + at_gate, at_gate), (counted.incarnations, counted.at_gate), "{counted:?}");
    assert_eq!(count(trace, |kind| matches!(kind, Commit(_))), counted.committed);
    let ended =
        |wanted: fn(RunEnd) -> bool| count(trace, |kind| matches!(kind, Run { end, .. } if wanted(*end)));
    assert_eq!(ended(|end| matches!(end, RunEnd::Awaits(_))), counted.awaited);
    assert_eq!(ended(|end| end == RunEnd::GaveUp), counted.gave_up);
    let conflicts = count(trace, |kind| matches!(kind, RunAtGate { reason: GateReason::Conflict(_), .. }));
    assert_eq!(conflicts, counted.stale_at_gate.total());

    assert_eq!(time(trace, |kind| matches!(kind, Run { .. })), counted.time_speculative);
    assert_eq!(time(trace, |kind| matches!(kind, RunAtGate { .. } | Commit(_))), counted.time_at_gate);
    assert_eq!(time(trace, |kind| matches!(kind, Wait)), counted.time_waiting);
    // The run that is committed is the one with the version of the commit.
    let committed: Vec<_> = events(trace)
        .filter_map(|event| if let Commit(version) = event.kind { Some(version) } else { None })
        .collect();
    let of_committed = time(trace, |kind| match kind {
        Run { version, end } => *end == RunEnd::Completed && committed.contains(version),
        _ => false,
    });
    assert_eq!(of_committed, counted.time_committed);

    // Each index is committed once, in order, on the first thread.
    let order: Vec<_> = trace.threads[0]
        .events
        .iter()
        .filter_map(|event| match event.kind {
            Commit(version) => Some(version.index.get()),
            RunAtGate { index, .. } => Some(index.get()),
            _ => None,
        })
        .collect();
    let steps = trace.blocks.iter().map(|block| block.transactions + 1).sum::<usize>() - 1;
    assert_eq!(order, Vec::from_iter(0..steps));
    for thread in &trace.threads {
        assert_eq!(thread.dropped, 0);
        // Nothing overlaps but aborts, which take no time and may lie inside what the thread does.
        let (mut last, mut last_end) = (Duration::ZERO, Duration::ZERO);
        for event in &thread.events {
            assert!(last_end <= event.end && event.start <= event.end, "{last_end:?} {event:?}");
            last_end = event.end;
            if !matches!(event.kind, TraceEventKind::Abort { .. }) {
                assert!(last <= event.start, "{last:?} {event:?}");
                last = event.end;
            }
        }
        assert!(last <= trace.time);
    }
}

#[test]
fn the_events_of_a_block_add_up_to_its_statistics() {
    let base = state();
    let modes = [
        TestMode::Off,
        TestMode::AlwaysParallel,
        TestMode::ParallelAfter(7),
        TestMode::ParallelAfter(usize::MAX),
        TestMode::NoPublication,
        TestMode::EarlyDeferral,
    ];
    for (test_mode, threads) in modes.into_iter().flat_map(|mode| [1, 2, 3].map(|threads| (mode, threads))) {
        let (engine, kept) = observed(threads, test_mode);
        for every in [1, 3, 1_000] {
            let block = block(1, 0, every);
            let expected = Engine::new(Config::sequential()).execute(&base, &block).unwrap();
            for pause in [0, 5].map(Duration::from_micros) {
                let outcome = execute_with_delayed_commits(&engine, &base, &block, pause).unwrap();
                assert_eq!((&outcome.receipts, &outcome.changes), (&expected.receipts, &expected.changes));
                let trace = kept.last();
                assert_eq!(trace.statistics, outcome.statistics);
                assert_eq!(trace.blocks.len(), 1);
                assert_adds_up(&trace);
            }
        }
    }
}

#[test]
fn the_events_of_a_stream_lie_in_its_blocks() {
    let base = state();
    let blocks = [block(1, 0, 3), block(2, 1, 3), block(3, 2, 1_000)];
    let (engine, kept) = observed(2, TestMode::AlwaysParallel);
    engine.execute_blocks(&base, &blocks, |_| std::ops::ControlFlow::Continue(())).unwrap();
    let trace = kept.last();
    let places: Vec<_> = trace.blocks.iter().map(|block| (block.number, block.first.get())).collect();
    let length = usize::try_from(TRANSACTIONS).unwrap();
    assert_eq!(places, [(1, 0), (2, length + 1), (3, 2 * (length + 1))]);
    assert_adds_up(&trace);
}

#[test]
fn a_write_that_aborts_a_run_comes_after_its_start() {
    let base = state();
    let mut block = block(1, 0, 1);
    // Each second transaction takes long before it counts, so that the ones behind it read too early.
    for transaction in block.transactions.iter_mut().step_by(2) {
        (transaction.env.data, transaction.env.gas_limit) = (vec![0; 10_000].into(), 2_000_000);
    }
    let (engine, kept) = observed(2, TestMode::AlwaysParallel);
    let aborts = |_| {
        engine.execute(&base, &block).unwrap();
        let trace = kept.last();
        assert_adds_up(&trace);
        let mut runs: BTreeMap<usize, Duration> = BTreeMap::new();
        for event in events(&trace) {
            if let TraceEventKind::Run { version, .. } = event.kind {
                let first = runs.entry(version.index.get()).or_insert(event.start);
                *first = event.start.min(*first);
            }
        }
        let aborts = events(&trace).filter_map(|event| match event.kind {
            TraceEventKind::Abort { by, stale } => Some((event.start, by, stale)),
            _ => None,
        });
        let aborts: Vec<_> = aborts.collect();
        for (at, by, stale) in &aborts {
            assert!(by.index < *stale, "only later transactions become stale");
            assert!(runs.get(&stale.get()).is_some_and(|run| run < at), "{stale:?} had not run");
        }
        aborts.len()
    };
    assert!((0..20).map(aborts).any(|aborts| aborts > 0), "no run was aborted");
}

#[derive(Debug)]
struct Panicking;

impl TraceObserver for Panicking {
    fn executed(&self, _: &Trace) {
        panic!("the observer fails");
    }
}

#[test]
fn a_panic_of_the_observer_is_an_error_of_the_block() {
    let (base, block) = (state(), block(7, 0, 3));
    for threads in [1, 2] {
        let config = Config { observer: Some(Arc::new(Panicking)), ..Config::with_threads(threads) };
        let engine = Engine::new(config);
        for _ in 0..2 {
            let error = engine.execute(&base, &block).unwrap_err().to_string();
            assert!(error.contains("block 7") && error.contains("the observer fails"), "{error}");
        }
    }
}
