//! A block that failed verification.

use std::fmt;

/// A block that failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) fixture: String,
    pub(crate) case: String,
    pub(crate) block: u64,
    pub(crate) error: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fixture, case, block, error } = self;
        write!(f, "failed: {fixture}: {case}, block {block}\n        {error}")
    }
}
