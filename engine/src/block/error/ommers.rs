//! Why an ommer may not be included in a block.

use alloy_primitives::B256;

use crate::block::error::header::HeaderError;

/// Why an ommer may not be included in a block.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OmmerError {
    /// It is one too many.
    #[error("the block has {found} ommers, at most {most} are allowed")]
    TooMany {
        /// How many are allowed.
        most: usize,
        /// How many there are.
        found: usize,
    },
    /// The block has it twice.
    #[error("{hash} stands in the block twice")]
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
    /// It belongs to the chain.
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
    /// Its parent is the block's own: it could have been in the block's place.
    #[error("its parent {parent} is the block's own")]
    Brother {
        /// The parent of both.
        parent: B256,
    },
    /// Its parent is none of the ancestors that are near enough.
    #[error("its parent {parent} is no ancestor of the block within seven generations")]
    UnknownParent {
        /// The parent that it names.
        parent: B256,
    },
    /// It claims to come after the Merge, by having no difficulty.
    #[error("it has no proof of work")]
    AfterMerge,
    /// Its header does not follow from its parent.
    #[error(transparent)]
    Header(#[from] HeaderError),
}
