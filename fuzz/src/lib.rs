//! Random blocks, hostile ones among them, and properties that must hold for all of them.
//!
//! Few accounts, few slots, and contracts that do what makes execution hard: they destroy
//! themselves and are created again, read balances, pay the coinbase, call each other and revert.

mod block;
mod oracle;
mod program;

pub use block::{HostileBlock, hostile_block};
pub use oracle::bare_loop;
pub use program::{Act, assemble, program};
