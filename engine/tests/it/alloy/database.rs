//! Databases that stay on one thread, and databases that fail.

use std::{
    cell::Cell,
    fmt,
    rc::Rc,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use alloy_evm::{
    EvmFactory,
    block::{BlockExecutor, BlockExecutorFactory},
};
use alloy_hardforks::EthereumHardfork::*;
use alloy_primitives::{Address, B256, Bytes, U256, bytes};
use blockloom_engine::{CancelHandle, Config, Engine, Obstacle, ParallelExecutorFactory};
use blockloom_fuzz::engine_on;
use blockloom_state::{Allocation, Base, MemoryStore};
use revm::{
    Database, DatabaseCommit, DatabaseRef,
    database::{State, WrapDatabaseRef, states::bundle_state::BundleRetention},
    database_interface::DBErrorMarker,
    state::{AccountInfo, Bytecode, EvmState},
};

use super::case::*;

/// A database that is not `Send`. The read of one account fails.
struct Confined {
    state: State<WrapDatabaseRef<MemoryStore>>,
    missing: Option<Address>,
    reads: Rc<Cell<usize>>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the account {0} is missing")]
struct Missing(Address);

impl DBErrorMarker for Missing {}

impl fmt::Debug for Confined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Confined").field("reads", &self.reads).finish_non_exhaustive()
    }
}

impl Database for Confined {
    type Error = Missing;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, Missing> {
        self.reads.set(self.reads.get() + 1);
        if self.missing == Some(address) {
            return Err(Missing(address));
        }
        Ok(self.state.basic(address).unwrap())
    }

    fn code_by_hash(&mut self, code_hash: B256) -> Result<Bytecode, Missing> {
        Ok(self.state.code_by_hash(code_hash).unwrap())
    }

    fn storage(&mut self, address: Address, index: U256) -> Result<U256, Missing> {
        self.reads.set(self.reads.get() + 1);
        Ok(Database::storage(&mut self.state, address, index).unwrap())
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, Missing> {
        Ok(self.state.block_hash(number).unwrap())
    }
}

impl DatabaseCommit for Confined {
    fn commit(&mut self, changes: EvmState) {
        self.state.commit(changes);
    }
}

#[test]
fn a_block_is_executed_on_a_database_that_is_confined_to_its_thread() {
    // Stores the balance of the account that the call data names.
    let balance_reader = bytes!("60003531600055");
    let case = Case::new(Cancun, [(CONTRACT, contract(balance_reader))]).with([
        pay(SENDER, 0, CONTRACT, 0, OTHER.into_word().into()),
        pay(OTHER, 0, CONTRACT, 0, DESTRUCTIBLE.into_word().into()),
        pay(OTHER, 1, CONTRACT, 0, SENDER.into_word().into()),
    ]);
    let confined = |missing| Confined {
        state: State::builder().with_database(WrapDatabaseRef(case.store.clone())).build(),
        missing,
        reads: Rc::default(),
    };
    let run = |missing| {
        let (eth, parallel) = (case.eth(), case.parallel());
        let evm = eth.evm_factory().create_evm(confined(missing), case.env());
        let expected = eth.create_executor(evm, case.ctx()).execute_block(&case.transactions);
        let evm = parallel.evm_factory().create_evm(confined(missing), case.env());
        let executor = parallel.create_executor(evm, case.ctx());
        assert_eq!(executor.obstacle(), None);
        (expected, executor.execute_block(&case.transactions))
    };
    let (expected, found) = run(None);
    assert_eq!(found.unwrap(), expected.unwrap());

    // A read fails while the second transaction runs. The error is the one of alloy-evm, with the
    // database's own error inside.
    let (expected, found) = run(Some(DESTRUCTIBLE));
    let (expected, found) = (expected.unwrap_err(), found.unwrap_err());
    assert_eq!(format!("{found:?}"), format!("{expected:?}"));
    let (hash, error) = found.as_internal().unwrap().as_evm().unwrap();
    assert_eq!(hash, case.transactions[1].hash());
    assert!(error.to_string().contains("is missing"), "{error}");
}

/// Four calls of a contract that writes.
fn calls() -> Case {
    let calls = (0..4).map(|nonce| pay(SENDER, nonce, CONTRACT, nonce, Bytes::new()));
    Case::new(Cancun, [(CONTRACT, contract(WRITER))]).with(calls)
}

/// Executes the case on a base of the client's, at once and as announced transactions. Asserts that
/// alloy-evm's outcome comes out, and returns how many blocks were executed in parallel, with the reports.
#[track_caller]
fn execute_on_base(
    case: &Case,
    engine: &Engine,
    base: Option<&dyn Base<Error = BaseError>>,
) -> (u64, Vec<String>) {
    let expected = import(&case.eth(), case, Granularity::Block);
    let reported = Arc::new(Mutex::new(Vec::new()));
    let reports = Arc::clone(&reported);
    let factory = ParallelExecutorFactory::new(case.eth(), engine.clone())
        .with_observer(move |report| reports.lock().unwrap().push(report.to_string()));
    for is_announced in [false, true] {
        let mut state = case.state();
        let evm = factory.evm_factory().create_evm(&mut state, case.env());
        let executor = factory.create_executor(evm, case.ctx()).read_from(|state, run| {
            assert!(state.bundle_state.is_empty());
            base.map(|base| run.on(base))
        });
        let result = if is_announced {
            one_by_one(executor.announce(|| Some(case.announced())), &case.transactions).0
        } else {
            executor.execute_block(&case.transactions)
        };
        state.merge_transitions(BundleRetention::Reverts);
        assert_same(&expected, &Executed { result, bundle: state.take_bundle() });
    }
    let reported = reported.lock().unwrap().clone();
    (factory.counts().parallel(), reported)
}

/// A base of the client's, which fails, panics or takes its time when a contract is read.
struct ClientBase {
    store: MemoryStore,
    read: fn() -> Result<(), BaseError>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many connections")]
struct BaseError;

impl DBErrorMarker for BaseError {}

impl DatabaseRef for ClientBase {
    type Error = BaseError;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, BaseError> {
        (self.read)()?;
        Ok(self.store.basic_ref(address).unwrap())
    }

    fn code_by_hash_ref(&self, code_hash: B256) -> Result<Bytecode, BaseError> {
        Ok(self.store.code_by_hash_ref(code_hash).unwrap())
    }

    fn storage_ref(&self, address: Address, index: U256) -> Result<U256, BaseError> {
        Ok(self.store.storage_ref(address, index).unwrap())
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, BaseError> {
        Ok(self.store.block_hash_ref(number).unwrap())
    }
}

#[test]
fn threads_read_a_base_of_the_client_if_there_is_one() {
    let case = calls();
    let base = ClientBase { store: case.store.clone(), read: || Ok(()) };
    assert_eq!(execute_on_base(&case, &engine_on(2), Some(&base)), (2, vec![]));
    let (parallel, reports) = execute_on_base(&case, &engine_on(2), None);
    assert_eq!(parallel, 0);
    let report = "block 10 is executed sequentially: the database can be read by one thread only";
    assert_eq!(reports, [report; 2]);
}

#[test]
fn a_base_of_the_client_that_fails_or_panics_makes_no_valid_block_an_error() {
    let case = calls();
    for (read, error) in [
        ((|| Err(BaseError)) as fn() -> Result<(), BaseError>, "too many connections"),
        (|| panic!("the disk is gone"), "the disk is gone"),
    ] {
        let base = ClientBase { store: case.store.clone(), read };
        let (parallel, reports) = execute_on_base(&case, &engine_on(2), Some(&base));
        assert_eq!((parallel, reports.len()), (0, 2), "{reports:?}");
        assert!(reports.iter().all(|report| report.contains(error)), "{reports:?}");
    }
}

#[test]
fn a_transaction_that_the_engine_refuses_on_a_wrong_base_is_executed_by_the_client() {
    let other = pay(OTHER, 0, CONTRACT, 1, Bytes::new());
    let case = calls().with([other, pay(SENDER, 4, CONTRACT, 2, Bytes::new())]);
    // In the base the second sender has no money.
    let rich = Allocation { balance: U256::from(u64::MAX), ..Allocation::default() };
    let store = MemoryStore::from_genesis([(SENDER, rich), (CONTRACT, contract(WRITER))]);
    let base = ClientBase { store, read: || Ok(()) };
    let (_, reports) = execute_on_base(&case, &engine_on(2), Some(&base));
    assert_eq!(reports.len(), 2, "{reports:?}");
    assert!(reports.iter().all(|report| report.contains("transaction 4")), "{reports:?}");
}

#[test]
fn a_small_block_is_executed_in_parallel_on_a_slow_base_of_the_client() {
    let case = calls();
    let engine = Engine::new(Config::with_threads(2));
    let quick = ClientBase { store: case.store.clone(), read: || Ok(()) };
    let (parallel, reports) = execute_on_base(&case, &engine, Some(&quick));
    assert_eq!((parallel, reports.len()), (0, 2), "{reports:?}");
    assert!(reports[0].contains("too small"), "{reports:?}");
    let read = || {
        thread::sleep(Duration::from_micros(50));
        Ok(())
    };
    let slow = ClientBase { store: case.store.clone(), read };
    assert_eq!(execute_on_base(&case, &engine, Some(&slow)), (2, vec![]));
}

#[test]
fn a_cancelled_block_is_not_executed_by_the_client() {
    let case = calls();
    let handle = CancelHandle::new();
    handle.cancel();
    let factory = ParallelExecutorFactory::new(case.eth(), engine_on(2).cancelled_by(&handle));
    let create = || {
        let evm = factory.evm_factory().create_evm(case.state(), case.env());
        factory.create_executor(evm, case.ctx())
    };
    let (announced, results) = one_by_one(create().announce(|| Some(case.announced())), &case.transactions);
    assert_eq!(results, []);
    for error in [create().execute_block(&case.transactions).unwrap_err(), announced.unwrap_err()] {
        assert!(error.as_validation().is_none(), "{error:?}");
        assert!(error.to_string().contains("cancelled"), "{error}");
    }
    assert_eq!(factory.counts().sequential(Obstacle::Failed), 0);
}
