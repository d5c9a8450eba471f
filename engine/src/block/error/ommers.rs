//! Why an ommer may not be included in a block.

use alloy_primitives::B256;

use crate::block::error::header::HeaderError;

/// Why an ommer may not be included in a block.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OmmerError {
    /// The block has too many ommers.
    #[error("the block has {found} ommers, at most {most} are allowed")]
    TooMany {
        /// The most ommers of a block.
        most: usize,
        /// The number of ommers.
        found: usize,
    },
    /// The block includes it twice.
    #[error("the block includes {hash} twice")]
    Duplicate {
        /// The hash of the ommer.
        hash: B256,
    },
    /// It is the block itself.
    #[error("{hash} is the block itself")]
    Itself {
        /// The hash of the ommer.
        hash: B256,
    },
    /// It is an ancestor of the block.
    #[error("{hash} is an ancestor of the block")]
    Ancestor {
        /// The hash of the ommer.
        hash: B256,
    },
    /// An ancestor has included it.
    #[error("{hash} was included by block {by}")]
    Included {
        /// The hash of the ommer.
        hash: B256,
        /// The number of the ancestor.
        by: u64,
    },
    /// Its parent is also the block's parent.
    #[error("its parent {parent} is also the block's parent")]
    Brother {
        /// The parent of both.
        parent: B256,
    },
    /// Its parent is not among the latest ancestors.
    #[error("its parent {parent} is no ancestor of the block within seven generations")]
    UnknownParent {
        /// The parent hash of the ommer.
        parent: B256,
    },
    /// It has no difficulty, like a block after the Merge.
    #[error("it has no proof of work")]
    AfterMerge,
    /// Its header does not follow from its parent.
    #[error(transparent)]
    Header(#[from] HeaderError),
}
