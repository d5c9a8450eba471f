//! A block that failed verification, or whose verification is open.

use std::fmt;

use blockloom_fixtures::CheckError;

/// A block with an error.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) verdict: Verdict,
    pub(crate) fixture: String,
    pub(crate) case: String,
    pub(crate) block: u64,
    pub(crate) error: String,
}

/// What the error of a block means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Failed,
    /// It was refused, as it must be, but this version does not know the reason that its fixture gives.
    Unknown,
}

impl Verdict {
    pub(crate) fn of(error: &CheckError) -> Self {
        if matches!(error, CheckError::UnknownReason { .. }) { Self::Unknown } else { Self::Failed }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verdict, fixture, case, block, error } = self;
        write!(f, "{}: {fixture}: {case}, block {block}\n        {error}", verdict.word())
    }
}
