//! Executes blocks.

mod block;
mod engine;
mod error;
mod evm;
mod outcome;
mod rules;
mod sequential;

pub use block::{Block, Frame, SignedBlock, SignedTransaction, Transaction};
pub use engine::Engine;
pub use error::{BlockError, DepositError, Invalid, Place, Reason, SystemCallError, TransactionError};
pub use outcome::{Outcome, Receipt};
pub use rules::{
    AccessLists, Rules,
    body::{BodyError, check_body},
    chain::{ChainSpec, merge_at},
    header::{HeaderError, check_header},
    ommers::{Ancestor, OmmerError, check_ommers},
    verify::{OutcomeError, check_outcome},
};
pub use sequential::Step;
