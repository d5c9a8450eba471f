//! What the tests of all crates share: random blocks, hostile ones among them, wrong access lists, an
//! oracle to compare with, and the way to the official suites.
//!
//! Few accounts, few slots, and contracts that do what makes execution hard: they destroy
//! themselves and are created again, delegate, read balances, pay the coinbase, call each other and
//! revert. A block is written out of bytes, so that one generator serves the properties and the fuzzer.

mod assemble;
mod block;
mod cast;
mod choices;
mod dawdling;
mod disagreement;
mod foreseen;
mod mutation;
mod oracle;
mod plan;
mod program;
mod rehearsal;
mod sign;
pub mod suites;
mod system;

pub use assemble::assemble;
pub use block::{FORKS, HostileBlock, hostile_block, hostile_block_of};
pub use dawdling::Dawdling;
pub use disagreement::{
    blindfolded_on, difference, disagreement, engine_on, engines, hushed_on, kept_waiting,
};
pub use foreseen::Runs;
pub use mutation::mutated;
pub use oracle::bare_loop;
pub use program::{Act, Birth, Reading, Then, Whom};
