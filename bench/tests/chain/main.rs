//! `blockloom chain`: what it keeps, what it refuses, and what is left of it when it is killed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod command;
mod crashes;
mod long;
mod scene;
