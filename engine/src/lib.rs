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

mod alloy_evm;
mod analysis;
mod block;
mod commit;
mod engine;
mod evm;
mod parallel;
mod policy;
mod prefetch;
mod rules;
mod threads;
#[cfg(test)]
mod toy;

pub use alloy_evm::{block::ParallelExecutor, environment::Obstacle, factory::ParallelExecutorFactory};
pub use analysis::dependencies::{Dependencies, TransactionDependencies};
pub use block::{
    block::{Block, Frame, GivenList, SignedBlock, SignedTransaction, Transaction},
    config::{Config, Hints, Lists, Spread, Timing, Use},
    error::{
        BlockError, DepositError, Invalid, BlockStep, Reason, SystemCallError, TransactionError,
        body::BodyError,
        header::{HeaderError, HeaderField},
        list::ListError,
        ommers::OmmerError,
        outcome::OutcomeError,
    },
    outcome::{Outcome, Receipt},
    rules::{AccessLists, CustomPrecompiles, Rules},
    statistics::{Phases, StaleCounts, Statistics},
};
pub use commit::committer::CommittedStep;
pub use engine::Engine;
pub use evm::handling::{Handling, HandlingError, Mainnet};
pub use rules::{
    before::check_block,
    body::check_body,
    chain::{ChainSpec, merge_at},
    difficulty::next_difficulty,
    header::check_header,
    list::decode_list,
    ommers::{Ancestor, check_ommers},
    verify::check_outcome,
};
pub use threads::pool::Workers;

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct TheReadme;
