//! A base whose answers come sooner or later, so that threads come in another order each time.

use std::{hint, thread};

use alloy_primitives::{Address, B256, U256};
use blockloom_state::{MemoryStore, MissingCode};
use revm::{
    DatabaseRef,
    state::{AccountInfo, Bytecode},
};

/// A store that dawdles over its answers: how long depends on the seed and on what is asked. With an
/// odd seed it gives each account's code together with the account, as a base may, and takes each code
/// that it is asked for by its hash for an empty one.
#[derive(Debug)]
pub struct Dawdling<'a> {
    /// What answers.
    pub base: &'a MemoryStore,
    /// Another one, another order.
    pub seed: u64,
}

impl Dawdling<'_> {
    fn gives_codes_at_once(&self) -> bool {
        self.seed % 2 == 1
    }

    /// Spins or yields. Nobody sleeps: a block must not take a millisecond more for it.
    fn dawdle(&self, location: &[u8]) {
        let mixed = location.iter().fold(self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15), |mixed, byte| {
            (mixed ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23)
        });
        match mixed % 8 {
            0 => thread::yield_now(),
            1 | 2 => (0..(mixed >> 8) % 400).for_each(|_| hint::spin_loop()),
            _ => {}
        }
    }
}

impl DatabaseRef for Dawdling<'_> {
    type Error = MissingCode;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, MissingCode> {
        self.dawdle(address.as_slice());
        let mut info = self.base.basic_ref(address)?;
        if let Some(info) = info.as_mut().filter(|_| self.gives_codes_at_once()) {
            // Of real blocks only the codes are known that run.
            info.code = self.base.code(&info.code_hash).cloned();
        }
        Ok(info)
    }

    fn code_by_hash_ref(&self, code_hash: B256) -> Result<Bytecode, MissingCode> {
        self.dawdle(code_hash.as_slice());
        if self.gives_codes_at_once() && self.base.code(&code_hash).is_some() {
            return Ok(Bytecode::default());
        }
        self.base.code_by_hash_ref(code_hash)
    }

    fn storage_ref(&self, address: Address, index: U256) -> Result<U256, MissingCode> {
        self.dawdle(&[address.as_slice(), &index.to_be_bytes::<32>()].concat());
        self.base.storage_ref(address, index)
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, MissingCode> {
        self.dawdle(&number.to_be_bytes());
        self.base.block_hash_ref(number)
    }
}
