//! Executes Ethereum blocks in parallel, and commits exactly what executing their transactions one by one would have
//! committed.
//!
//! A [`Block`] is plain data: [`Block::recover`] makes it out of a signed block, under the [`Rules`] that a
//! [`ChainSpec`] has for its header. [`Engine`] executes it on any [`Base`](blockloom_state::Base) and returns its
//! [`Outcome`]. The rules that a block must keep are checked apart from execution: [`check_block`] before it
//! ([`check_header`], [`check_body`] and [`check_ommers`] in one), [`check_outcome`] after it. Errors are
//! [`BlockError`]s.
//!
//! A client that is built on alloy-evm puts a [`ParallelExecutorFactory`] where its executor factory was.
//!
//! `ARCHITECTURE.md` in the repository is the map of the code: a transaction's way, the invariants that hold between
//! threads, and the protocols that keep them.

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

pub use alloy_evm::{
    block::ParallelExecutor,
    environment::ClientPrecompiles,
    factory::ParallelExecutorFactory,
    obstacle::{BlockCounts, Obstacle, ObstacleReport},
    run::{BlockRun, ExecutedBlock},
};
pub use analysis::dependencies::{Dependencies, Dependency, TransactionDependencies};
#[doc(hidden)]
pub use block::config::TestMode;
pub use block::{
    block::{Block, Frame, GivenList, SignedBlock, SignedTransaction, Transaction},
    cancel::CancelHandle,
    config::{BaseLatency, Config, Hints, Lists, Timing, Use},
    error::{
        BlockError, BlockStep, DepositError, Invalid, Reason, SystemCallError, TransactionError,
        body::BodyError,
        header::{HeaderError, HeaderField},
        list::ListError,
        ommers::OmmerError,
        outcome::OutcomeError,
    },
    outcome::{Outcome, Receipt, StreamTotal},
    rules::{AccessLists, CustomPrecompiles, Rules},
    statistics::{Phases, StaleCounts, Statistics},
    trace::{GateReason, RunEnd, ThreadTrace, Trace, TraceEvent, TraceEventKind, TraceObserver, TracedBlock},
    transaction_result::{TransactionEnd, TransactionResult},
};
pub use commit::observer::CommittedStep;
pub use engine::Engine;
pub use evm::{
    InspectedState,
    handling::{Handling, HandlingError, HandlingEvm, Mainnet},
};
pub use rules::{
    before::{broken_rules, check_block, check_block_sequentially},
    body::check_body,
    chain::{ChainSpec, merge_at},
    difficulty::next_difficulty,
    header::check_header,
    list::decode_list,
    ommers::{Ancestor, check_ommers},
    verify::{broken_outcome_rules, check_outcome},
};
pub use threads::pool::Workers;

/// The crates whose types are in the public face. With these an embedder has the same versions.
pub mod reexport {
    pub use ::{
        alloy_consensus, alloy_eips, alloy_evm, alloy_hardforks, alloy_primitives, blockloom_state, revm,
    };
}

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct TheReadme;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct TheReadmeOfTheCrate;
