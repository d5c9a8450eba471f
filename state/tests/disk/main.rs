//! The store on disk, seen from outside: beside a state in memory that is told the same.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod blocks;
mod damage;
mod full;
mod histories;
mod proofs;
mod reverting;
mod storing;
