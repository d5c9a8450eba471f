//! The committer of a block, and its sequential and its parallel execution.
//!
//! May import `block`, `evm`, `parallel`, `policy`, `rules` and `threads`.

pub(crate) mod committer;
pub(crate) mod parallel;
pub(crate) mod sequential;
