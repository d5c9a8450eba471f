//! Blockloom for a reth node: blocks are executed in parallel behind reth's own traits.
//!
//! [`BlockloomEvmConfig`] stands where the node has its `EthEvmConfig`. It is a [`ConfigureEvm`] and a
//! [`ConfigureEngineEvm`], so reth's stages, its payload validator, its RPC and its block builder take it.
//!
//! ```
//! use blockloom_engine::{Config, Engine};
//! use blockloom_reth::BlockloomEvmConfig;
//! use reth_evm_ethereum::EthEvmConfig;
//!
//! let config = BlockloomEvmConfig::new(EthEvmConfig::mainnet(), Engine::new(Config::default()))
//!     .with_observer(|block, obstacle| eprintln!("block {block} is executed sequentially: {obstacle}"));
//! # let _ = config;
//! ```
//!
//! | reth calls | what happens |
//! |---|---|
//! | [`Executor`]: `execute`, `execute_one`, `execute_batch`, with a state hook or without | each block in parallel |
//! | [`BlockExecutor::execute_block`] | in parallel |
//! | the payload validator: [`ConfigureEngineEvm::tx_iterator_for_payload`], then each transaction by itself | in parallel: the transactions are announced while their senders are recovered, and the results handed out one by one |
//! | `execute_transaction` of a block from the network, of the block builder, of a trace | sequentially: [`Obstacle::OneByOne`] |
//! | a block with an access list (EIP-7928) | sequentially, because reth builds the list out of the reads: [`Obstacle::AccessList`] |
//!
//! Where the caller has a base that many threads read at once, [`BlockloomEvmConfig::execute_on`] and
//! [`execute_range_on`](BlockloomEvmConfig::execute_range_on) are faster: [`SharedProviders`] makes one out of reth's state
//! providers.
//!
//! [`BlockExecutor::execute_block`]: reth_evm::execute::BlockExecutor::execute_block
//! [`ConfigureEngineEvm`]: reth_evm::ConfigureEngineEvm
//! [`ConfigureEngineEvm::tx_iterator_for_payload`]: reth_evm::ConfigureEngineEvm::tx_iterator_for_payload
//! [`ConfigureEvm`]: reth_evm::ConfigureEvm
//! [`Executor`]: reth_evm::execute::Executor
//! [`Obstacle::AccessList`]: blockloom_engine::Obstacle::AccessList
//! [`Obstacle::OneByOne`]: blockloom_engine::Obstacle::OneByOne

mod announcements;
mod base;
mod config;
mod executor;
mod payload;
mod range;
mod rules;

pub use base::SharedProviders;
pub use config::BlockloomEvmConfig;
pub use executor::BlockloomExecutor;
