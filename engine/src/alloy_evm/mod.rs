//! The engine behind alloy-evm's block executor, for a client that is built on alloy-evm.
//!
//! What happens before and after the transactions, every method that runs a single one, and what is
//! wrong with an invalid one stay with alloy-evm's own `EthBlockExecutor`. The engine runs the
//! transactions of a whole block, on the state that the executor's database holds by then.

pub(crate) mod block;
pub(crate) mod commit;
pub(crate) mod db_actor;
pub(crate) mod db_mutex;
pub(crate) mod environment;
pub(crate) mod factory;
pub(crate) mod prefetch;
pub(crate) mod run;
