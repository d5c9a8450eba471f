//! The policies: what decides how a block is executed, and never what it yields.
//!
//! May import `block` and `threads`. Every folder may import `tuning`, which imports nothing.

pub(crate) mod batching;
pub(crate) mod cost_model;
pub(crate) mod publication;
pub(crate) mod tuning;
