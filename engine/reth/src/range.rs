//! Blocks on a base that many threads read at once: the engine executes them whole, without reth's executor
//! around it.

use std::{collections::BTreeMap, fmt};

use alloy_consensus::Header;
use alloy_evm::{
    block::{BlockExecutionError, BlockExecutionResult},
    eth::spec::EthExecutorSpec,
};
use alloy_primitives::{Address, B256, U256};
use blockloom_engine::{Block as EngineBlock, Reason, reexport::blockloom_state::Base};
use reth_chainspec::{EthChainSpec, Hardforks};
use reth_ethereum_primitives::{Block, Receipt};
use reth_evm::{ConfigureEvm, execute::Executor};
use reth_execution_types::{BlockExecutionOutput, ExecutionOutcome};
use reth_primitives_traits::RecoveredBlock;
use revm::{
    DatabaseRef,
    database::{BundleState, WrapDatabaseRef, states::reverts::AccountInfoRevert},
    state::{AccountInfo, Bytecode},
};

use crate::{
    config::BlockloomEvmConfig,
    rules::{engine_block, rules},
};

impl<C> BlockloomEvmConfig<C>
where
    C: EthExecutorSpec + EthChainSpec<Header = Header> + Hardforks + 'static,
{
    /// A block in the form that the engine executes, under the rules of the node's chain.
    pub fn engine_block(&self, block: &RecoveredBlock<Block>) -> EngineBlock {
        engine_block(rules(self.eth().chain_spec().as_ref(), block.header()), block)
    }

    /// Executes a block on `base`, the state before it. Every thread reads the base itself.
    ///
    /// reth's own executor decides whether a block is invalid: if the engine refuses the block, reth's executor
    /// executes it on the same base. If it accepts the block, that is reported as `Obstacle::Failed`. This
    /// happens to every block of a chain whose system contracts have no code, a chain of a developer for
    /// example: EIP-7002 and EIP-7251 forbid such a block, and reth accepts it.
    ///
    /// # Errors
    ///
    /// If consensus forbids the block, the error of reth's own executor. If the base cannot be read, something
    /// panics or the block is cancelled, an internal error with a [`BlockError`](blockloom_engine::BlockError)
    /// inside.
    pub fn execute_on<B: Base + ?Sized>(
        &self,
        base: &B,
        block: &RecoveredBlock<Block>,
    ) -> Result<BlockExecutionOutput<Receipt>, BlockExecutionError> {
        match self.engine().execute(base, &self.engine_block(block)) {
            Ok(outcome) => {
                let (result, state) = outcome.into_execution();
                Ok(BlockExecutionOutput { result, state })
            }
            // To reth's executor a base that fails in a system call makes the block invalid.
            Err(error) if !matches!(error.reason, Reason::Invalid(_)) => Err(error.into()),
            Err(error) => {
                let output = self.eth().executor(WrapDatabaseRef(DebugBase(base))).execute(block)?;
                self.block_executor_factory().report_failure(&error);
                Ok(output)
            }
        }
    }

    /// Executes consecutive blocks on `base`, the state before the first of them, and returns their receipts,
    /// their requests, and the bundle of all with the reverts of each.
    ///
    /// # Errors
    ///
    /// Those of [`execute_on`](Self::execute_on), for the first block that fails.
    pub fn execute_range_on<'b, B: Base + ?Sized>(
        &self,
        base: &B,
        blocks: impl IntoIterator<Item = &'b RecoveredBlock<Block>>,
    ) -> Result<ExecutionOutcome<Receipt>, BlockExecutionError> {
        let mut state = AfterBlocks { base, bundle: BundleState::default(), hashes: BTreeMap::new() };
        let mut results: Vec<BlockExecutionResult<Receipt>> = Vec::new();
        let mut first = None;
        for block in blocks {
            first.get_or_insert(block.header().number);
            let output = self.execute_on(&state, block)?;
            state.add(block, output.state);
            results.push(output.result);
        }
        Ok(ExecutionOutcome::from_blocks(first.unwrap_or_default(), state.bundle, results))
    }
}

/// A base after some blocks.
#[derive(Debug)]
struct AfterBlocks<'b, B: ?Sized> {
    base: &'b B,
    bundle: BundleState,
    hashes: BTreeMap<u64, B256>,
}

impl<B: ?Sized> AfterBlocks<'_, B> {
    /// Adds a block that was executed on this state.
    fn add(&mut self, block: &RecoveredBlock<Block>, mut bundle: BundleState) {
        for (address, revert) in bundle.reverts.iter_mut().flatten() {
            // The engine takes the state before the block for a database. To a longer bundle a revert must
            // lead to what the bundle had.
            let Some(before) = self.bundle.account(address) else { continue };
            revert.previous_status = before.status;
            if let (AccountInfoRevert::RevertTo(info), Some(before)) = (&mut revert.account, &before.info) {
                info.clone_from(before);
            }
        }
        self.bundle.extend(bundle);
        self.hashes.insert(block.header().number, block.hash());
    }
}

impl<B: Base + ?Sized> DatabaseRef for AfterBlocks<'_, B> {
    type Error = B::Error;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, B::Error> {
        match self.bundle.account(&address) {
            Some(account) => Ok(account.account_info()),
            None => self.base.basic_ref(address),
        }
    }

    fn code_by_hash_ref(&self, code_hash: B256) -> Result<Bytecode, B::Error> {
        match self.bundle.bytecode(&code_hash) {
            Some(code) => Ok(code),
            None => self.base.code_by_hash_ref(code_hash),
        }
    }

    fn storage_ref(&self, address: Address, index: U256) -> Result<U256, B::Error> {
        match self.bundle.account(&address).and_then(|account| account.storage_slot(index)) {
            Some(value) => Ok(value),
            None => self.base.storage_ref(address, index),
        }
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, B::Error> {
        match self.hashes.get(&number) {
            Some(hash) => Ok(*hash),
            None => self.base.block_hash_ref(number),
        }
    }
}

/// A base with the `Debug` that reth demands.
struct DebugBase<'b, B: ?Sized>(&'b B);

impl<B: ?Sized> fmt::Debug for DebugBase<'_, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DebugBase")
    }
}

impl<B: Base + ?Sized> DatabaseRef for DebugBase<'_, B> {
    type Error = B::Error;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, B::Error> {
        self.0.basic_ref(address)
    }

    fn code_by_hash_ref(&self, code_hash: B256) -> Result<Bytecode, B::Error> {
        self.0.code_by_hash_ref(code_hash)
    }

    fn storage_ref(&self, address: Address, index: U256) -> Result<U256, B::Error> {
        self.0.storage_ref(address, index)
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, B::Error> {
        self.0.block_hash_ref(number)
    }
}
