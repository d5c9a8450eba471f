//! What one run leaves: its read set and its write set.
//!
//! May import `model`.

pub(crate) mod effect;
pub(crate) mod observation;
pub(crate) mod payment;
pub(crate) mod publication;
#[expect(clippy::module_inception, reason = "the folder is named after its main type")]
pub(crate) mod record;
