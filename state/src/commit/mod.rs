//! The committed state inside a block: the overlay, validation, pending effects and the changes of each step.
//!
//! May import `model`, `record` and `bal`.

pub(crate) mod overlay;
pub(crate) mod pending;
pub(crate) mod step_changes;
pub(crate) mod validate;
