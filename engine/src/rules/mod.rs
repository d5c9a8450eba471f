//! The rules of consensus around the transactions of a block: before, between and after them.
//!
//! May import `block`, `evm` and `threads`.

pub(crate) mod admission;
pub(crate) mod before;
pub(crate) mod body;
pub(crate) mod chain;
pub(crate) mod closing;
pub(crate) mod deposits;
pub(crate) mod difficulty;
pub(crate) mod header;
pub(crate) mod list;
pub(crate) mod networks;
pub(crate) mod ommers;
pub(crate) mod opening;
pub(crate) mod verify;
