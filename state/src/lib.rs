//! What an EVM chain's state is: locations, changes that can be applied and reverted, the base that
//! a block runs on, the multi-version memory that its transactions run over, an in-memory store, and
//! state roots.
//!
//! Nothing here executes code or knows how a block is scheduled.

mod account;
mod base;
mod cell;
mod changes;
mod disk;
mod foresight;
mod index;
mod keccak;
mod latency;
mod listing;
mod location;
mod memory;
mod overlay;
mod own_codes;
mod parting;
mod payment;
mod record;
mod recorder;
mod remembered;
mod root;
mod seen;
mod shards;
mod shelf;
mod store;
pub mod sync;
mod trie;
mod view;

pub use account::Account;
pub use base::Base;
pub use changes::{AccountChange, Change, Changes, Life};
pub use disk::{
    AccountProof, CacheStatistics, DiskConfig, DiskError, DiskStore, Doing, Fed, Feed, Genesis, Mark,
    NewBlock, ProofError, SlotProof, Staged, Verified,
};
pub use foresight::{Delegations, Foresight};
pub use index::{Incarnation, Moment, TxIndex, Version};
pub use latency::is_slow;
pub use location::{Location, Mismatch, Value};
pub use memory::{AccountRead, Audience, Memory, Recall, Sight, SlotRead, Telling, Writer};
pub use overlay::{Keeping, Overlay, Share};
pub use parting::{ListItem, ListValue, Parting, partings};
pub use payment::Payment;
pub use record::{
    AccountEffect, AccountObservation, AccountRecord, BalanceEffect, Bounds, CreatedSlot, Existence, Fate,
    Origin, Record, SlotObservation, SlotRecord, Staleness,
};
pub use remembered::Remembered;
pub use store::{Allocation, MemoryStore, MissingCode, StoredAccount};
pub use trie::{MemoryTrie, TrieError, Witness, WitnessError};
pub use view::{Interrupt, Sender, View};
