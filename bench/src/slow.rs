//! A base that takes its time, as one on a disk does.

use std::{
    thread,
    time::{Duration, Instant},
};

use alloy_primitives::{Address, B256, U256};
use revm_database_interface::DatabaseRef;
use revm_state::{AccountInfo, Bytecode};

/// A base of which every answer comes late. Who waits lends its core to others meanwhile.
#[derive(Clone, Copy, Debug)]
pub struct Slow<'b, B> {
    base: &'b B,
    latency: Duration,
}

impl<'b, B> Slow<'b, B> {
    /// `base`, whose answers take that long.
    pub fn new(base: &'b B, latency: Duration) -> Self {
        Self { base, latency }
    }

    /// The base, after a while. A thread that sleeps wakes up too late for what is measured here.
    fn late(&self) -> &'b B {
        let start = Instant::now();
        while start.elapsed() < self.latency {
            thread::yield_now();
        }
        self.base
    }
}

impl<B: DatabaseRef> DatabaseRef for Slow<'_, B> {
    type Error = B::Error;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, B::Error> {
        self.late().basic_ref(address)
    }

    fn code_by_hash_ref(&self, hash: B256) -> Result<Bytecode, B::Error> {
        self.late().code_by_hash_ref(hash)
    }

    fn storage_ref(&self, address: Address, key: U256) -> Result<U256, B::Error> {
        self.late().storage_ref(address, key)
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, B::Error> {
        self.late().block_hash_ref(number)
    }
}
