//! Analyses of a block: which transactions depend on which.
//!
//! May import everything but `alloy_evm`, `engine` and `prefetch`.

pub(crate) mod dependencies;
