//! Which rule a body breaks.

use alloy_primitives::B256;

/// Which rule a body breaks, with the expected value and the one found.
#[expect(missing_docs, reason = "a table of one shape: the sentence of a variant explains its fields")]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// The header commits to other transactions.
    #[error("transactions root: the header says {expected}, the body has {found}")]
    TransactionsRoot { expected: B256, found: B256 },
    /// The header commits to other ommers.
    #[error("ommers hash: the header says {expected}, the body has {found}")]
    OmmersHash { expected: B256, found: B256 },
    /// There are ommers after the Merge.
    #[error("ommers: at most {most} are allowed, the body has {found}")]
    OmmersAfterMerge { most: usize, found: usize },
    /// The body has no list of withdrawals, and the fork demands one.
    #[error("withdrawals: the list is missing")]
    WithdrawalsMissing,
    /// The body has a list of withdrawals, and the fork has none.
    #[error("withdrawals: the fork has none, the body has {found}")]
    WithdrawalsUnexpected { found: usize },
    /// The header commits to other withdrawals, or has no withdrawals root.
    #[error("withdrawals root: the header says {expected:?}, the body has {found}")]
    WithdrawalsRoot { expected: Option<B256>, found: B256 },
    /// The blob gas of the transactions differs from the header's blob gas used.
    #[error("blob gas used: the header says {expected}, the body has {found}")]
    BlobGasUsed { expected: u64, found: u64 },
    /// The block has too many bytes.
    #[error("size: {found} bytes, at most {most} are allowed")]
    Size { most: usize, found: usize },
}
