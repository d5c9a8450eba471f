//! The oracle: a bare revm loop on revm's own cache, which shares nothing with our engine.

use alloy_consensus::Header;
use alloy_evm::EvmEnv;
use blockloom_engine::Block;
use blockloom_state::MemoryStore;
use revm::{
    Context, ExecuteCommitEvm, InspectCommitEvm, MainBuilder, MainContext, MainnetEvm,
    context::{
        CfgEnv, TxEnv,
        result::{EVMError, ExecutionResult},
    },
    database::CacheDB,
};

use crate::storage_check::{CacheContext, StorageCheck};

/// Executes a block's transactions one after the other on one EVM, up to the first invalid one, and
/// drops their results: the minimal work of executing a block. Does nothing before and after the
/// transactions.
///
/// Returns the state that they left, and the position of the invalid one.
pub fn bare_loop<'a>(base: &'a MemoryStore, block: &Block) -> (CacheDB<&'a MemoryStore>, Option<usize>) {
    if block.rules.storage_only.is_some() {
        return checked_loop(base, block);
    }
    let nothing = TxEnv::default();
    let mut evm = Context::mainnet()
        .with_cfg(cfg(block))
        .with_block(block.env.clone())
        .with_tx(&nothing)
        .with_db(CacheDB::new(base))
        .build_mainnet();
    let mut transactions = block.transactions.iter();
    let invalid = transactions.position(|transaction| evm.transact_commit(&transaction.env).is_err());
    (evm.ctx.journaled_state.database, invalid)
}

/// The same, with the check of EIP-7610.
fn checked_loop<'a>(base: &'a MemoryStore, block: &Block) -> (CacheDB<&'a MemoryStore>, Option<usize>) {
    let mut evm = CheckedEvm::new(base, block);
    let mut transactions = block.transactions.iter();
    let invalid = transactions.position(|transaction| evm.transact(transaction.env.clone()).is_err());
    (evm.evm.ctx.journaled_state.database, invalid)
}

/// A revm on its own cache, with the check of EIP-7610.
pub(crate) struct CheckedEvm<'a> {
    evm: MainnetEvm<CacheContext<'a>, StorageCheck>,
}

impl<'a> CheckedEvm<'a> {
    pub(crate) fn new(base: &'a MemoryStore, block: &Block) -> Self {
        let context = Context::mainnet().with_cfg(cfg(block)).with_block(block.env.clone());
        let context = context.with_db(CacheDB::new(base));
        Self { evm: context.build_mainnet_with_inspector(StorageCheck::new(block)) }
    }

    /// Executes a transaction and commits it to the cache.
    pub(crate) fn transact(
        &mut self,
        transaction: TxEnv,
    ) -> Result<ExecutionResult, EVMError<blockloom_state::MissingCode>> {
        let result = self.evm.inspect_tx_commit(transaction)?;
        self.evm.inspector.after_transaction(&mut self.evm.ctx.journaled_state.database);
        Ok(result)
    }

    /// The state that the transactions left.
    pub(crate) fn state(&self) -> &CacheDB<&'a MemoryStore> {
        &self.evm.ctx.journaled_state.database
    }
}

/// revm's configuration under a block's rules.
pub(crate) fn cfg(block: &Block) -> CfgEnv {
    let rules = &block.rules;
    EvmEnv::for_eth_block(Header::default(), rules, rules.chain_id, rules.blobs).cfg_env
}
