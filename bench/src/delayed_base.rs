//! A base with an artificial latency for each read, like that of a disk.

use std::{
    thread,
    time::{Duration, Instant},
};

use alloy_primitives::{Address, B256, U256};
use revm_database_interface::DatabaseRef;
use revm_state::{AccountInfo, Bytecode};

/// Delays every read of `base`. A waiting thread yields its core.
#[derive(Clone, Copy, Debug)]
pub struct DelayedBase<'b, B> {
    base: &'b B,
    latency: Duration,
}

impl<'b, B> DelayedBase<'b, B> {
    /// Delays each read by at least `latency`.
    pub fn new(base: &'b B, latency: Duration) -> Self {
        Self { base, latency }
    }

    /// The base, after the latency. Yields instead of sleeping: a wake-up would add more than the latency.
    fn delayed(&self) -> &'b B {
        let start = Instant::now();
        while start.elapsed() < self.latency {
            thread::yield_now();
        }
        self.base
    }
}

impl<B: DatabaseRef> DatabaseRef for DelayedBase<'_, B> {
    type Error = B::Error;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, B::Error> {
        self.delayed().basic_ref(address)
    }

    fn code_by_hash_ref(&self, hash: B256) -> Result<Bytecode, B::Error> {
        self.delayed().code_by_hash_ref(hash)
    }

    fn storage_ref(&self, address: Address, key: U256) -> Result<U256, B::Error> {
        self.delayed().storage_ref(address, key)
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, B::Error> {
        self.delayed().block_hash_ref(number)
    }
}
