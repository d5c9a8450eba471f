//! A base with random delays, so that threads interleave differently with each seed.

use std::{hint, thread};

use alloy_primitives::{Address, B256, U256};
use blockloom_state::{MemoryStore, MissingCode};
use revm::{
    DatabaseRef,
    state::{AccountInfo, Bytecode},
};

/// A store that delays its answers; the delay depends on the seed and on the key. With an odd seed it
/// returns each account's code together with the account, as a base may do, and an empty code for every
/// read of a code by its hash.
#[derive(Debug)]
pub struct JitteryBase<'a> {
    /// The store that answers.
    pub base: &'a MemoryStore,
    /// Chooses the delays.
    pub seed: u64,
}

impl JitteryBase<'_> {
    fn returns_code_with_account(&self) -> bool {
        self.seed % 2 == 1
    }

    /// Spins, yields or returns at once. It does not sleep, which would cost milliseconds per block.
    fn delay(&self, key: &[u8]) {
        let mixed = key.iter().fold(self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15), |mixed, byte| {
            (mixed ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23)
        });
        match mixed % 8 {
            0 => thread::yield_now(),
            1 | 2 => (0..(mixed >> 8) % 400).for_each(|_| hint::spin_loop()),
            _ => {}
        }
    }
}

impl DatabaseRef for JitteryBase<'_> {
    type Error = MissingCode;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, MissingCode> {
        self.delay(address.as_slice());
        let mut info = self.base.basic_ref(address)?;
        if let Some(info) = info.as_mut().filter(|_| self.returns_code_with_account()) {
            // For real blocks, only the codes that run are known.
            info.code = self.base.code(&info.code_hash).cloned();
        }
        Ok(info)
    }

    fn code_by_hash_ref(&self, code_hash: B256) -> Result<Bytecode, MissingCode> {
        self.delay(code_hash.as_slice());
        if self.returns_code_with_account() && self.base.code(&code_hash).is_some() {
            return Ok(Bytecode::default());
        }
        self.base.code_by_hash_ref(code_hash)
    }

    fn storage_ref(&self, address: Address, index: U256) -> Result<U256, MissingCode> {
        self.delay(&[address.as_slice(), &index.to_be_bytes::<32>()].concat());
        self.base.storage_ref(address, index)
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, MissingCode> {
        self.delay(&number.to_be_bytes());
        self.base.block_hash_ref(number)
    }
}
