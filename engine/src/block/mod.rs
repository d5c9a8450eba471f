//! The plain data of an execution: blocks, outcomes, errors, configuration and statistics.
//!
//! May import `policy` and `threads`.

#[expect(clippy::module_inception, reason = "the folder is named after its main type")]
pub(crate) mod block;
pub(crate) mod cancel;
pub(crate) mod config;
pub(crate) mod error;
pub(crate) mod outcome;
mod recovery;
pub(crate) mod rules;
#[cfg(feature = "serde")]
mod serde_form;
pub(crate) mod statistics;
pub(crate) mod steps;
pub(crate) mod telemetry;
pub(crate) mod trace;
pub(crate) mod transaction_result;
