//! Databases that are hard to execute on.

use std::{cell::Cell, fmt, rc::Rc};

use alloy_evm::{
    EvmFactory,
    block::{BlockExecutor, BlockExecutorFactory},
};
use alloy_hardforks::EthereumHardfork::*;
use alloy_primitives::{Address, B256, U256, bytes};
use blockloom_state::MemoryStore;
use revm::{
    Database, DatabaseCommit,
    database::{State, WrapDatabaseRef},
    database_interface::DBErrorMarker,
    state::{AccountInfo, Bytecode, EvmState},
};

use crate::case::*;

/// A database that no other thread may touch, and that does not hold one of its accounts.
struct Confined {
    state: State<WrapDatabaseRef<MemoryStore>>,
    lost: Option<Address>,
    reads: Rc<Cell<usize>>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the account {0} is lost")]
struct Lost(Address);

impl DBErrorMarker for Lost {}

impl fmt::Debug for Confined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Confined").field("reads", &self.reads).finish_non_exhaustive()
    }
}

impl Database for Confined {
    type Error = Lost;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, Lost> {
        self.reads.set(self.reads.get() + 1);
        if self.lost == Some(address) {
            return Err(Lost(address));
        }
        Ok(self.state.basic(address).unwrap())
    }

    fn code_by_hash(&mut self, code_hash: B256) -> Result<Bytecode, Lost> {
        Ok(self.state.code_by_hash(code_hash).unwrap())
    }

    fn storage(&mut self, address: Address, index: U256) -> Result<U256, Lost> {
        self.reads.set(self.reads.get() + 1);
        Ok(Database::storage(&mut self.state, address, index).unwrap())
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, Lost> {
        Ok(self.state.block_hash(number).unwrap())
    }
}

impl DatabaseCommit for Confined {
    fn commit(&mut self, changes: EvmState) {
        self.state.commit(changes);
    }
}

#[test]
fn a_database_confined_to_its_thread_is_executed_on() {
    // Reads the balance of the account that the call data names.
    let prober = bytes!("60003531600055");
    let case = Case::new(Cancun, [(CONTRACT, contract(prober))]).with([
        pay(SENDER, 0, CONTRACT, 0, OTHER.into_word().into()),
        pay(OTHER, 0, CONTRACT, 0, MORTAL.into_word().into()),
        pay(OTHER, 1, CONTRACT, 0, SENDER.into_word().into()),
    ]);
    let confined = |lost| Confined {
        state: State::builder().with_database(WrapDatabaseRef(case.store.clone())).build(),
        lost,
        reads: Rc::default(),
    };
    let run = |lost| {
        let (eth, parallel) = (case.eth(), case.parallel());
        let evm = eth.evm_factory().create_evm(confined(lost), case.env());
        let expected = eth.create_executor(evm, case.ctx()).execute_block(&case.transactions);
        let evm = parallel.evm_factory().create_evm(confined(lost), case.env());
        let executor = parallel.create_executor(evm, case.ctx());
        assert_eq!(executor.obstacle(), None);
        (expected, executor.execute_block(&case.transactions))
    };
    let (expected, found) = run(None);
    assert_eq!(found.unwrap(), expected.unwrap());

    // A read fails while the second transaction runs: the error is the one that clients know, with
    // the database's own error inside.
    let (expected, found) = run(Some(MORTAL));
    let (expected, found) = (expected.unwrap_err(), found.unwrap_err());
    assert_eq!(format!("{found:?}"), format!("{expected:?}"));
    let (hash, error) = found.as_internal().unwrap().as_evm().unwrap();
    assert_eq!(hash, case.transactions[1].hash());
    assert!(error.to_string().contains("is lost"), "{error}");
}
