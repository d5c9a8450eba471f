//! The engine behind alloy-evm's block executor, for a client that is built on alloy-evm.
//!
//! What happens before and after the transactions, every method that runs a single one, and what is
//! wrong with an invalid one stay with alloy-evm's own `EthBlockExecutor`. The engine runs the
//! transactions of a whole block, on the state that the executor's database holds by then.

mod ahead;
mod block;
mod commit;
mod environment;
mod factory;
mod lent;
mod locked;
mod run;

pub use block::ParallelExecutor;
pub use environment::Obstacle;
pub use factory::ParallelExecutorFactory;
