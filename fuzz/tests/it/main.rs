//! The integration tests of this crate, in one binary: linking is the main cost of a test binary.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod access_lists;
mod faults;
mod generator;
mod parallel;
mod planted;
mod references;
mod sequential;
mod streams;
mod tries;
mod witnesses;
