//! What an EVM chain's state is: locations, changes that can be applied and reverted, the base that
//! a block runs on, an in-memory store, and state roots.
//!
//! Nothing here executes code or knows how a block is scheduled.

mod account;
mod base;
mod changes;
mod index;
mod location;
mod overlay;
mod recorder;
mod root;
mod store;
mod trie;

pub use account::Account;
pub use base::Base;
pub use changes::{AccountChange, Change, Changes, Life};
pub use index::TxIndex;
pub use location::{Location, Mismatch, Value};
pub use overlay::Overlay;
pub use store::{Allocation, MemoryStore, MissingCode, StoredAccount};
pub use trie::{TrieError, Witness, WitnessError};
