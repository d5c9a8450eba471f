//! What the tests of all crates share: random blocks, hostile ones among them, an oracle to compare
//! with, and the way to the official suites.
//!
//! Few accounts, few slots, and contracts that do what makes execution hard: they destroy
//! themselves and are created again, read balances, pay the coinbase, call each other and revert.

mod block;
mod oracle;
mod program;
pub mod suites;

pub use block::{HostileBlock, hostile_block};
pub use oracle::bare_loop;
pub use program::{Act, assemble, program};
