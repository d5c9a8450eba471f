//! The oracle: a bare revm loop on revm's own cache, which shares nothing with our engine.

use alloy_consensus::Header;
use alloy_evm::EvmEnv;
use blockloom_engine::Block;
use blockloom_state::MemoryStore;
use revm::{
    Context, ExecuteCommitEvm, MainBuilder, MainContext,
    context::{CfgEnv, TxEnv},
    database::CacheDB,
};

/// Executes a block's transactions one after the other on one EVM, up to the first invalid one, and
/// drops their results: the minimal work of executing a block. Does nothing before and after the
/// transactions.
///
/// Returns the state that they left, and the position of the invalid one.
pub fn bare_loop<'a>(base: &'a MemoryStore, block: &Block) -> (CacheDB<&'a MemoryStore>, Option<usize>) {
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

/// revm's configuration under a block's rules.
pub(crate) fn cfg(block: &Block) -> CfgEnv {
    let rules = &block.rules;
    EvmEnv::for_eth_block(Header::default(), rules, rules.chain_id, rules.blobs).cfg_env
}
