//! The committer of a block, and its execution: sequential, parallel, or first the one and then the other.
//!
//! May import `block`, `evm`, `parallel`, `policy`, `rules` and `threads`.

pub(crate) mod committer;
pub(crate) mod measured;
pub(crate) mod observer;
pub(crate) mod parallel;
pub(crate) mod sequential;
