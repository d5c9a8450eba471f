//! A failing base: whichever read fails, the caller gets its error and nothing else happens.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::sync::Mutex;

use alloy_hardforks::EthereumHardfork;
use alloy_primitives::{Address, B256, U256};
use blockloom_engine::{BlockStep, Config, Engine, Reason};
use blockloom_fuzz::{HostileBlock, hostile_block};
use blockloom_state::MemoryStore;
use proptest::prelude::*;
use revm::{
    DatabaseRef,
    database_interface::DBErrorMarker,
    state::{AccountInfo, Bytecode},
};

/// A base that answers some reads, and then fails.
struct FailingBase<'a> {
    base: &'a MemoryStore,
    reads_left: Mutex<Cell<usize>>,
}

#[derive(Debug, thiserror::Error)]
#[error("the disk is gone")]
struct Gone;

impl DBErrorMarker for Gone {}

impl FailingBase<'_> {
    fn read<T, E: std::fmt::Debug>(&self, read: impl FnOnce() -> Result<T, E>) -> Result<T, Gone> {
        let reads_left = self.reads_left.lock().unwrap();
        let left = reads_left.get().checked_sub(1).ok_or(Gone)?;
        reads_left.set(left);
        Ok(read().unwrap())
    }
}

impl DatabaseRef for FailingBase<'_> {
    type Error = Gone;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, Gone> {
        self.read(|| self.base.basic_ref(address))
    }

    fn code_by_hash_ref(&self, code_hash: B256) -> Result<Bytecode, Gone> {
        self.read(|| self.base.code_by_hash_ref(code_hash))
    }

    fn storage_ref(&self, address: Address, index: U256) -> Result<U256, Gone> {
        self.read(|| self.base.storage_ref(address, index))
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, Gone> {
        self.read(|| self.base.block_hash_ref(number))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_base_that_fails_on_any_read_is_reported_and_nothing_else(
        HostileBlock { base, block, .. } in hostile_block(vec![EthereumHardfork::Byzantium, EthereumHardfork::Cancun]),
    ) {
        let engine = Engine::new(Config::sequential());
        let whole = engine.execute(&base, &block);
        let mut last_step = BlockStep::Opening;
        for reads in 0.. {
            let failing = FailingBase { base: &base, reads_left: Mutex::new(Cell::new(reads)) };
            let mut steps = 0;
            match (engine.execute_with(&failing, &block, |_| {
                steps += 1;
                ControlFlow::Continue(())
            }), &whole) {
                (Ok(outcome), Ok(whole)) => {
                    prop_assert_eq!(&outcome, whole);
                    break;
                }
                (Err(error), whole) => match &error.reason {
                    Reason::Base { step, .. } => {
                        prop_assert!(error.to_string().contains("block 1000"), "{}", error);
                        prop_assert!(error.to_string().contains("the disk is gone"), "{}", error);
                        let expected_steps = match step {
                            BlockStep::Opening => 0,
                            BlockStep::Transaction(index, _) => 1 + index.get(),
                            BlockStep::Closing => 1 + block.transactions.len(),
                        };
                        prop_assert_eq!(steps, expected_steps);
                        last_step = *step;
                    }
                    _ => {
                        prop_assert_eq!(error.to_string(), whole.as_ref().unwrap_err().to_string());
                        break;
                    }
                },
                (Ok(_), Err(error)) => prop_assert!(false, "only the whole base refuses: {}", error),
            }
            prop_assert!(reads < 10_000, "the block reads without end, last at {}", last_step);
        }
    }
}
