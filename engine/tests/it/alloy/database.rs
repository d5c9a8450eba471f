//! Databases that stay on one thread, and databases that fail.

use std::{cell::Cell, fmt, rc::Rc};

use alloy_evm::{
    EvmFactory,
    block::{BlockExecutor, BlockExecutorFactory},
};
use alloy_hardforks::EthereumHardfork::*;
use alloy_primitives::{Address, B256, Bytes, U256, bytes};
use blockloom_engine::Obstacle;
use blockloom_state::MemoryStore;
use revm::{
    Database, DatabaseCommit,
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

#[test]
fn threads_read_a_base_of_the_client_if_there_is_one() {
    let calls = || (0..4).map(|nonce| pay(SENDER, nonce, CONTRACT, nonce, Bytes::new()));
    let case = Case::new(Cancun, [(CONTRACT, contract(WRITER))]).with(calls());
    let expected = import(&case.eth(), &case, Granularity::Block);
    for (bases, parallel) in [(1, 1), (0, 0)] {
        let factory = case.parallel();
        let mut state = case.state();
        let evm = factory.evm_factory().create_evm(&mut state, case.env());
        let executor = factory.create_executor(evm, case.ctx()).read_from(|state, run| {
            assert!(state.bundle_state.is_empty());
            (bases > 0).then(|| run.on(&case.store))
        });
        let result = executor.execute_block(&case.transactions);
        state.merge_transitions(BundleRetention::Reverts);
        assert_same(&expected, &Executed { result, bundle: state.take_bundle() });
        assert_eq!(factory.counts().sequential(Obstacle::Database), 1 - parallel);
    }
}
