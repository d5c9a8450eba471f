//! The policies: what decides how a block is executed, and never what it yields.
//!
//! May import `block` and `threads`.

pub(crate) mod batching;
pub(crate) mod calibration;
pub(crate) mod cost_model;
pub(crate) mod publication;
