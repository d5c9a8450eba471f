//! The adapter for clients that are built on alloy-evm: alloy-evm's block executor on the engine.
//!
//! The engine runs the transactions of a whole block, on the state in the executor's database. alloy-evm's
//! own `EthBlockExecutor` does the rest: the steps before and after the transactions, the methods that
//! run a single transaction, and the errors of invalid transactions.
//! May import `block` and `engine`.

pub(crate) mod announced;
pub(crate) mod block;
pub(crate) mod commit;
pub(crate) mod db_actor;
pub(crate) mod db_mutex;
pub(crate) mod environment;
pub(crate) mod error;
pub(crate) mod execution;
pub(crate) mod factory;
pub(crate) mod obstacle;
pub(crate) mod prefetch;
pub(crate) mod run;
