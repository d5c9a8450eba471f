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
//!     .with_messages()
//!     .with_observer(|report| eprintln!("{report}"));
//! # let _ = config;
//! ```
//!
//! The transactions of a payload are announced to the executor of its block while their senders are
//! recovered, and the executor returns the results one by one. `README.md` has a table of what is parallel.
//! Where the caller has a base that many threads read at once, [`BlockloomEvmConfig::execute_on`] and
//! [`execute_range_on`](BlockloomEvmConfig::execute_range_on) are faster than reth's traits:
//! [`SharedProviders`] makes one out of reth's state providers.
//!
//! [`ConfigureEngineEvm`]: reth_evm::ConfigureEngineEvm
//! [`ConfigureEvm`]: reth_evm::ConfigureEvm

mod announcements;
mod base;
mod config;
mod executor;
mod payload;
mod range;
mod reads;
mod rules;

pub use base::SharedProviders;
pub use config::BlockloomEvmConfig;
pub use executor::BlockloomExecutor;
pub use reads::StateReader;
