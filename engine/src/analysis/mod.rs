//! Analyses of a block: the dependencies between its transactions.
//!
//! May import every folder but `alloy_evm`, and neither `engine` nor `prefetch`.

pub(crate) mod dependencies;
