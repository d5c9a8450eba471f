//! A locked database: a base that reads a database under a mutex.
//!
//! It needs a database that is `Send`, and saves the messages of a database actor
//! ([`db_actor`](super::db_actor)).

use std::sync::{Mutex, MutexGuard, PoisonError};

use alloy_primitives::{Address, B256, U256};
use revm::{
    Database, DatabaseRef,
    state::{AccountInfo, Bytecode},
};

/// A base that reads a database under a lock.
#[derive(Debug)]
pub(super) struct LockedDb<'d, DB>(Mutex<&'d mut DB>);

impl<'d, DB> LockedDb<'d, DB> {
    pub(super) const fn new(database: &'d mut DB) -> Self {
        Self(Mutex::new(database))
    }

    fn database(&self) -> MutexGuard<'_, &'d mut DB> {
        // A read that panics ends the block. No result uses what other threads read until then.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<DB: Database> DatabaseRef for LockedDb<'_, DB> {
    type Error = DB::Error;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, DB::Error> {
        self.database().basic(address)
    }

    fn code_by_hash_ref(&self, code_hash: B256) -> Result<Bytecode, DB::Error> {
        self.database().code_by_hash(code_hash)
    }

    fn storage_ref(&self, address: Address, index: U256) -> Result<U256, DB::Error> {
        self.database().storage(address, index)
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, DB::Error> {
        self.database().block_hash(number)
    }
}
