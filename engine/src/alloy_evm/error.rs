//! The engine's errors as alloy-evm's.

use alloy_evm::block::{BlockExecutionError, BlockValidationError};

use crate::block::error::{BlockError, Reason};

impl From<BlockError> for BlockExecutionError {
    /// The engine's error inside alloy-evm's. An invalid block stays invalid; every other error is an
    /// internal one.
    fn from(error: BlockError) -> Self {
        match error.reason {
            Reason::Invalid(_) => BlockValidationError::other(error).into(),
            _ => Self::other(error),
        }
    }
}

/// Whether consensus forbids the block.
pub(super) const fn is_invalid(error: &BlockError) -> bool {
    matches!(error.reason, Reason::Invalid(_))
}

/// The engine's error, if the client's own execution may go on after it.
///
/// # Errors
///
/// If the client cancelled the block.
pub(super) fn stop_if_cancelled(error: BlockError) -> Result<BlockError, BlockExecutionError> {
    if matches!(error.reason, Reason::Cancelled { .. }) { Err(error.into()) } else { Ok(error) }
}
