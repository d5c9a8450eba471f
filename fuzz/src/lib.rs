//! Shared by the tests of all crates: hostile random blocks, wrong access lists, an oracle to compare
//! with, what readers promise of any bytes, and access to the official suites.
//!
//! A hostile block has few accounts, few slots, and contracts that do what makes execution hard: they
//! self-destruct and are created again, delegate, read balances, pay the coinbase, call each other and
//! revert. A block is generated from bytes, so properties and the fuzzer share one generator.

mod act;
mod actors;
mod assemble;
mod block;
mod block_file;
mod bundle;
mod choices;
mod comparison;
mod dry_run;
mod init_code;
mod jittery_base;
mod made_witness;
mod message;
mod mutation;
mod occupant;
mod oracle;
mod plan;
mod program;
mod run_counts;
mod scene;
mod sign;
mod storage_check;
pub mod suites;
mod system;
mod theme;

pub use block::{FORKS, HostileBlock, hostile_block, hostile_block_of};
pub use block_file::read_any_blocks;
pub use bundle::{bundle_difference, bundle_of_commits, bundle_of_revm};
pub use comparison::{
    deferred_engine_on, difference, disagreement, engine_on, engines, execute_with_delayed_commits,
    isolated_engine_on, late_engine_on,
};
pub use jittery_base::JitteryBase;
pub use made_witness::{MadeWitness, WitnessFailure};
pub use mutation::mutated;
pub use oracle::bare_loop;
pub use run_counts::RunCounts;
pub use storage_check::{CacheContext, StorageCheck};
