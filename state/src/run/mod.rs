//! What one run sees: its view of the state, and the accounts that it tracks.
//!
//! May import `model`, `record`, `bal` and `mv`.

pub(crate) mod code_cache;
pub(crate) mod tracked_account;
pub(crate) mod view;
