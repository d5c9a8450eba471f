//! What one run sees: its view of the state, where the view reads from, and the accounts that it tracks.
//!
//! May import `model`, `record`, `bal` and `mv`.

pub(crate) mod code_cache;
pub(crate) mod interrupt;
pub(crate) mod source;
pub(crate) mod tracked_account;
pub(crate) mod tracked_accounts;
pub(crate) mod view;
