//! The engine's errors as alloy-evm's.

use alloy_evm::block::{BlockExecutionError, BlockValidationError};
use blockloom_state::TxIndex;

use crate::block::error::{BlockError, BlockStep, Invalid, Reason};

/// The transaction of an error, if alloy-evm would fail there, too.
pub(super) fn failed_at(error: &BlockError) -> Option<TxIndex> {
    match error.reason {
        Reason::Invalid(Invalid::Transaction { index, .. })
        | Reason::Base { step: BlockStep::Transaction(index, _), .. } => Some(index),
        _ => None,
    }
}

/// The engine's error itself. An invalid block stays invalid.
pub(super) fn engine_error(error: BlockError) -> BlockExecutionError {
    match error.reason {
        Reason::Invalid(_) => BlockValidationError::other(error).into(),
        _ => BlockExecutionError::other(error),
    }
}
