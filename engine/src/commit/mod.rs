//! A block on the committed state: the committer, and the sequential and the parallel way through a block.
//!
//! May import `block`, `evm`, `parallel`, `policy`, `rules` and `threads`.

pub(crate) mod committer;
pub(crate) mod parallel;
pub(crate) mod sequential;
