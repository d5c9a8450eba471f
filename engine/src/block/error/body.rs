//! Which rule a body breaks.

use alloy_primitives::B256;

/// Which rule a body breaks, with what the rule or the header wants and what the body has.
#[expect(missing_docs, reason = "a table of one shape: each variant's sentence says what its fields are")]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The transactions are not those of the header.
    #[error("transactions root: the header says {expected}, the body has {found}")]
    TransactionsRoot { expected: B256, found: B256 },
    /// The ommers are not those of the header.
    #[error("ommers hash: the header says {expected}, the body has {found}")]
    OmmersHash { expected: B256, found: B256 },
    /// There are ommers after the Merge.
    #[error("ommers: at most {most} are allowed, the body has {found}")]
    OmmersAfterMerge { most: usize, found: usize },
    /// There is no list of withdrawals, although the fork demands one.
    #[error("withdrawals: the list is missing")]
    WithdrawalsMissing,
    /// There is a list of withdrawals, which the fork does not know.
    #[error("withdrawals: the fork knows none, the body has {found}")]
    WithdrawalsUnexpected { found: usize },
    /// The withdrawals are not those of the header, which may have no root for them.
    #[error("withdrawals root: the header says {expected:?}, the body has {found}")]
    WithdrawalsRoot { expected: Option<B256>, found: B256 },
    /// The transactions' blobs take another amount of blob gas than the header says.
    #[error("blob gas used: the header says {expected}, the body has {found}")]
    BlobGasUsed { expected: u64, found: u64 },
    /// The block has too many bytes.
    #[error("size: {found} bytes, at most {most} are allowed")]
    Size { most: usize, found: usize },
}
