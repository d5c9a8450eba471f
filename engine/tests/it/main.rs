//! The engine's integration tests. They share one binary, because each binary links revm again.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod alloy;
mod dependencies;
mod execution;
mod faults;
mod handling;
mod house;
mod inspection;
mod revm_parts;
mod slow_base;
mod statistics;
mod streams;
mod thread_pools;
mod traces;
mod traps;
mod ways_out;
