//! Errors and panics during parallel execution: the caller receives an error, no thread hangs, and the
//! engine executes the next block.

use std::{
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        atomic::{AtomicI64, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use alloy_hardforks::EthereumHardfork;
use alloy_primitives::{Address, B256, U256};
use blockloom_engine::{
    Block, BlockError, BlockStep, CancelHandle, Config, Engine, Outcome, Reason, TestMode,
};
use blockloom_fuzz::{HostileBlock, hostile_block};
use blockloom_state::MemoryStore;
use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::{RngSeed, TestRunner},
};
use revm::{
    DatabaseRef,
    state::{AccountInfo, Bytecode},
};

/// The time after which a test counts as hanging.
const TIMEOUT: Duration = Duration::from_secs(120);

/// What a base does when its remaining reads are used up.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// Its reads return an error, once or always.
    Error(Occurrence),
    /// Its reads panic, once or always.
    Panic(Occurrence),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Occurrence {
    Once,
    Always,
}

/// What is read from a base.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Read {
    Account(Address),
    Code(B256),
    Slot(Address, U256),
    BlockHash(u64),
}

/// A base that fails after a number of reads.
pub(crate) struct Failing<'a> {
    pub(crate) store: &'a MemoryStore,
    pub(crate) reads_left: AtomicI64,
    pub(crate) fault: Fault,
    /// The only read that counts; all of them count without it.
    pub(crate) counted: Option<Read>,
}

#[derive(Debug, thiserror::Error)]
#[error("the read failed")]
pub(crate) struct ReadFailed;

impl revm::database_interface::DBErrorMarker for ReadFailed {}

impl Failing<'_> {
    fn read<T>(&self, read: Read, value: impl FnOnce(&MemoryStore) -> T) -> Result<T, ReadFailed> {
        if self.counted.is_some_and(|counted| counted != read) {
            return Ok(value(self.store));
        }
        let left = self.reads_left.fetch_sub(1, Ordering::Relaxed);
        let is_due = |occurrence| left == 0 || (left < 0 && occurrence == Occurrence::Always);
        match self.fault {
            Fault::Error(occurrence) if is_due(occurrence) => Err(ReadFailed),
            Fault::Panic(occurrence) if is_due(occurrence) => panic!("the read panicked"),
            _ => Ok(value(self.store)),
        }
    }
}

impl DatabaseRef for Failing<'_> {
    type Error = ReadFailed;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, ReadFailed> {
        self.read(Read::Account(address), |store| store.basic_ref(address).unwrap())
    }

    fn code_by_hash_ref(&self, hash: B256) -> Result<Bytecode, ReadFailed> {
        self.read(Read::Code(hash), |store| store.code_by_hash_ref(hash).unwrap())
    }

    fn storage_ref(&self, address: Address, key: U256) -> Result<U256, ReadFailed> {
        self.read(Read::Slot(address, key), |store| store.storage_ref(address, key).unwrap())
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, ReadFailed> {
        self.read(Read::BlockHash(number), |store| store.block_hash_ref(number).unwrap())
    }
}

/// Valid blocks with more than three transactions, always the same ones.
fn blocks(count: usize) -> Vec<HostileBlock> {
    let config = proptest::test_runner::Config { rng_seed: RngSeed::Fixed(7), ..Default::default() };
    let mut runner = TestRunner::new(config);
    let forks = vec![EthereumHardfork::Byzantium, EthereumHardfork::Shanghai, EthereumHardfork::Prague];
    let blocks = hostile_block(forks);
    let mut found = Vec::new();
    while found.len() < count {
        let hostile = blocks.new_tree(&mut runner).unwrap().current();
        let is_valid = sequential().execute(&hostile.base, &hostile.block).is_ok();
        if is_valid && hostile.block.transactions.len() > 3 {
            found.push(hostile);
        }
    }
    found
}

fn sequential() -> Engine {
    Engine::new(Config::sequential())
}

fn parallel(threads: usize) -> Engine {
    Engine::new(Config::with_threads(threads)).with_test_mode(TestMode::AlwaysParallel)
}

/// Runs `work`, and fails if it hangs.
fn in_time<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, is_done) = mpsc::channel();
    let worker = thread::spawn(move || {
        let result = catch_unwind(AssertUnwindSafe(work));
        let _ = done.send(());
        result
    });
    is_done.recv_timeout(TIMEOUT).expect("the work ends in time");
    worker.join().unwrap().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Keeps the expected panics of these tests out of the output.
fn silence_expected_panics() {
    let default_hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let expected = ["the read panicked", "the callback"];
        if !panic.payload().downcast_ref::<&str>().is_some_and(|message| expected.contains(message)) {
            default_hook(panic);
        }
    }));
}

fn assert_still_works(engine: &Engine, base: &MemoryStore, block: &Block, expected: &Outcome) {
    assert_eq!(engine.execute(base, block).unwrap(), *expected, "the next block has another outcome");
}

/// Executes each block on bases that fail at the first read, the second read, and so on.
fn fail_at_every_read(fault: Fault, is_expected: fn(&BlockError) -> bool) {
    silence_expected_panics();
    in_time(move || {
        for HostileBlock { base, block, .. } in blocks(6) {
            let expected = sequential().execute(&base, &block).unwrap();
            for threads in [2, 8] {
                let engine = parallel(threads);
                for reads in 0.. {
                    let reads_left = AtomicI64::new(reads);
                    let failing = Failing { store: &base, reads_left, fault, counted: None };
                    let result = engine.execute(&failing, &block);
                    match &result {
                        Ok(outcome) => assert_eq!(*outcome, expected),
                        Err(error) => assert!(is_expected(error), "{error}"),
                    }
                    assert_still_works(&engine, &base, &block, &expected);
                    if failing.reads_left.into_inner() > 0 {
                        assert!(result.is_ok());
                        break;
                    }
                }
            }
        }
    });
}

#[test]
fn a_base_that_fails_at_any_read_leads_to_an_error_or_the_same_outcome() {
    for occurrence in [Occurrence::Once, Occurrence::Always] {
        fail_at_every_read(
            Fault::Error(occurrence),
            |error| matches!(&error.reason, Reason::Base { source, .. } if source.to_string() == "the read failed"),
        );
    }
}

#[test]
fn a_run_that_panics_leads_to_an_error_or_the_same_outcome() {
    for occurrence in [Occurrence::Once, Occurrence::Always] {
        fail_at_every_read(
            Fault::Panic(occurrence),
            |error| matches!(&error.reason, Reason::Panicked { message, .. } if message == "the read panicked"),
        );
    }
}

/// Executes each block with callbacks that call `act` at the first step, the second step, and so on. `step_of` is the
/// step of an expected error.
fn at_every_step(act: fn() -> ControlFlow<()>, step_of: fn(&Reason) -> Option<BlockStep>) {
    silence_expected_panics();
    in_time(move || {
        for HostileBlock { base, block, .. } in blocks(12) {
            let expected = sequential().execute(&base, &block).unwrap();
            for threads in [1, 2, 8] {
                let engine = parallel(threads);
                for last in 0..block.transactions.len() + 2 {
                    let mut steps = Vec::new();
                    let error = engine
                        .execute_with(&base, &block, |committed| {
                            steps.push(committed.step);
                            if steps.len() > last { act() } else { ControlFlow::Continue(()) }
                        })
                        .unwrap_err();
                    assert_eq!(step_of(&error.reason), steps.last().copied(), "{error}");
                    assert_eq!(steps.len(), last + 1, "a callback after the end");
                    assert_still_works(&engine, &base, &block, &expected);
                }
            }
        }
    });
}

#[test]
fn a_block_can_be_cancelled_at_every_commit() {
    at_every_step(
        || ControlFlow::Break(()),
        |reason| match reason {
            Reason::Cancelled { step } => Some(*step),
            _ => None,
        },
    );
}

#[test]
fn a_callback_that_panics_at_any_commit_leads_to_an_error() {
    at_every_step(
        || panic!("the callback"),
        |reason| match reason {
            Reason::Panicked { step, message } if message == "the callback" => Some(*step),
            _ => None,
        },
    );
}

#[test]
fn a_cancelled_handle_stops_every_block_before_its_first_step() {
    let handle = CancelHandle::new();
    handle.cancel();
    for HostileBlock { base, block, .. } in blocks(4) {
        for engine in [sequential(), parallel(2), parallel(8)] {
            let error =
                engine.cancelled_by(&handle).execute_with(&base, &block, |_| unreachable!()).unwrap_err();
            assert!(matches!(error.reason, Reason::Cancelled { step: BlockStep::Opening }), "{error}");
            engine.execute(&base, &block).expect("another handle's engine goes on");
        }
    }
}

#[test]
fn a_handle_cancels_from_another_thread_between_any_two_steps() {
    for HostileBlock { base, block, .. } in blocks(4) {
        for engine in [sequential(), parallel(2), parallel(8)] {
            for last in 0..block.transactions.len() {
                let handle = CancelHandle::new();
                let mut steps = 0;
                let result = engine.cancelled_by(&handle).execute_with(&base, &block, |_| {
                    // Step 0 is the opening, step `last + 1` the transaction `last`.
                    if steps == last {
                        let handle = handle.clone();
                        thread::spawn(move || handle.cancel()).join().unwrap();
                    }
                    steps += 1;
                    ControlFlow::Continue(())
                });
                let Reason::Cancelled { step: BlockStep::Transaction(index, _) } = result.unwrap_err().reason
                else {
                    panic!("the block is cancelled before a transaction")
                };
                assert_eq!((index.get(), steps), (last, last + 1));
            }
        }
    }
}
