//! Parallel execution: the scheduler, the workers, and the gate.
//!
//! Knows no EVM: `traits` is the boundary. May import `block`, `policy` and `threads`.

pub(crate) mod context;
pub(crate) mod gate;
pub(crate) mod records;
pub(crate) mod scheduler;
pub(crate) mod thread_log;
pub(crate) mod traits;
pub(crate) mod worker;
