//! Executes Ethereum blocks and commits exactly what executing their transactions one by one would
//! have committed.
//!
//! A [`Block`] is plain data: [`Block::recover`] makes it out of a signed one under the [`Rules`] that
//! a [`ChainSpec`] has for its header. [`Engine`] executes it on any
//! [`Base`](blockloom_state::Base) and returns its [`Outcome`]. Apart from execution stand the rules
//! that a block must keep: [`check_block`] before it ([`check_header`], [`check_body`] and
//! [`check_ommers`] in one), [`check_outcome`] after it. Whatever is wrong is a [`BlockError`].
//!
//! A client that is built on alloy-evm puts a [`ParallelExecutorFactory`] where its executor factory
//! was.

mod block;
mod course;
mod engine;
mod error;
mod evm;
mod executor;
mod gate;
mod lend;
mod machine;
mod outcome;
mod parallel;
mod records;
mod rules;
mod scheduler;
mod sequential;
mod spread;
mod stats;
#[cfg(test)]
mod toy;
mod trace;
mod worker;

pub use block::{Block, Frame, SignedBlock, SignedTransaction, Transaction};
pub use course::Step;
pub use engine::{Config, Engine, Spread, Timing};
pub use error::{BlockError, DepositError, Invalid, Place, Reason, SystemCallError, TransactionError};
pub use executor::{Obstacle, ParallelExecutor, ParallelExecutorFactory};
pub use outcome::{Outcome, Receipt};
pub use rules::{
    AccessLists, Rules,
    before::check_block,
    body::{BodyError, check_body},
    chain::{ChainSpec, merge_at},
    difficulty::next_difficulty,
    header::{HeaderError, HeaderField, check_header},
    ommers::{Ancestor, OmmerError, check_ommers},
    verify::{OutcomeError, check_outcome},
};
pub use spread::Workers;
pub use stats::{Phases, StaleCounts, Statistics};

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct TheReadme;
