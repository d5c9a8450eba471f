//! Executes Ethereum blocks and commits exactly what executing their transactions one by one would
//! have committed.
//!
//! A [`Block`] is plain data: [`Block::recover`] makes it out of a signed one under the [`Rules`] that
//! a [`ChainSpec`] has for its header. [`Engine`] executes it on any
//! [`Base`](blockloom_state::Base) and returns its [`Outcome`]. Apart from execution stand the rules
//! that a block must keep: [`check_block`] before it ([`check_header`], [`check_body`] and
//! [`check_ommers`] in one), [`check_outcome`] after it. Whatever is wrong is a [`BlockError`].
//!
//! # What holds between threads
//!
//! Transactions are handed out in stretches of consecutive ones; most stretches have one.
//!
//! 1. At most one turn at a stretch counts at any time (`scheduler/plan.rs` asserts each change of its
//!    state; the toys under the model checker hunt for a second one).
//! 2. A run is published and recorded before its stretch is reported (`worker.rs`).
//! 3. Versions below the frontier do not change: what is published after the gate took the transaction
//!    is dropped (`records.rs`).
//! 4. Commits come in order, once, without gaps (`Plan::committed`; the toys' committer asserts it).
//! 5. The observations of a committed record hold in the committed state (`gate.rs`; `Overlay`
//!    asserts that a record was judged before it is committed).
//! 6. Who waits is woken: whoever changes the plan tells the sleepers if there is work
//!    (`Locked::tell`; the model checker finds a deadlock).
//! 7. Predictions change nothing but time (the toys start with wrong ones), and neither does what runs
//!    see of each other (blindfolded engines in all tests of outcomes).
//! 8. The frontier never waits for a run that is known to be for nothing: the gate takes it over.
//!
//! Locks are taken in this order, and no two of one kind at once: a record's, a shard's of the
//! memory. The scheduler's is taken with no other. None is held across a run, a read of the base or
//! a call into the pool.
//!
//! A client that is built on alloy-evm puts a [`ParallelExecutorFactory`] where its executor factory
//! was.

mod anatomy;
mod block;
mod config;
mod course;
mod cutting;
mod engine;
mod error;
mod evm;
mod executor;
mod forecast;
mod gate;
mod hush;
mod lend;
mod lobby;
mod machine;
mod news;
mod outcome;
mod parallel;
mod patience;
mod readers;
mod records;
mod rules;
mod scheduler;
mod sequential;
mod spread;
mod stats;
#[cfg(test)]
mod toy;
mod trace;
mod trial;
mod worker;

pub use anatomy::{Anatomy, Part};
pub use block::{Block, Frame, GivenList, SignedBlock, SignedTransaction, Transaction};
pub use config::{Config, Hints, Lists, Spread, Timing, Use};
pub use course::Step;
pub use engine::Engine;
pub use error::{BlockError, DepositError, Invalid, Place, Reason, SystemCallError, TransactionError};
pub use evm::{Handling, HandlingError, Mainnet};
pub use executor::{Obstacle, ParallelExecutor, ParallelExecutorFactory};
pub use outcome::{Outcome, Receipt};
pub use rules::{
    AccessLists, CustomPrecompiles, Rules,
    before::check_block,
    body::{BodyError, check_body},
    chain::{ChainSpec, merge_at},
    difficulty::next_difficulty,
    header::{HeaderError, HeaderField, check_header},
    list::{ListError, decode_list},
    ommers::{Ancestor, OmmerError, check_ommers},
    verify::{OutcomeError, check_outcome},
};
pub use spread::Workers;
pub use stats::{Phases, StaleCounts, Statistics};

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct TheReadme;
