//! The policies: what decides how a block is executed, and never what it yields.
//!
//! Imports nothing of the other folders, so that every folder may import `tuning`.

pub(crate) mod batching;
pub(crate) mod cost_model;
pub(crate) mod publication;
pub(crate) mod tuning;
