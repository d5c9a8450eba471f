//! The binding to revm's interpreter. No other folder names it.

mod collision;
mod machine;
mod transaction;

pub(crate) use machine::{Failure, Machine};
