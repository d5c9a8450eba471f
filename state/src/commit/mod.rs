//! The committed state inside a block: the overlay, validation, pending effects and the changes of each step.
//!
//! May import `model`, `record`, `bal` and `mv`.

pub(crate) mod overlay;
mod overlay_entry;
mod pending;
mod step_changes;
mod validate;
