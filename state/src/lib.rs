//! The state of an EVM chain: accounts and the changes to them, the base that a block runs on, the
//! multi-version memory, the committed state inside a block, block-level access lists, stores in memory
//! and on disk, state roots and witnesses.
//!
//! Executes no code and knows no schedule of threads. The multi-version memory, its records and the committed state are
//! shared with the engine only, and hidden from this documentation: they may change in any version.

mod bal;
mod commit;
mod keccak;
mod model;
mod mv;
mod record;
mod root;
mod run;
mod stores;
#[doc(hidden)]
pub mod sync;
#[cfg_attr(
    not(feature = "disk"),
    expect(dead_code, reason = "only the store on disk keeps the nodes of tries")
)]
mod trie;

pub use bal::{
    diff::{ListDifference, ListItem, ListValue, list_differences},
    index::{AccessListIndex, Delegations},
};
pub use model::{
    accesses::{Accesses, NotingBase},
    account::Account,
    allocation::{Allocation, StoredAccount},
    base::{Base, MissingCode},
    changes::{AccountChange, Change, Changes, Life},
    index::{AccessIndex, TxIndex},
    mismatch::{Location, Mismatch, Value},
};
#[cfg(feature = "disk")]
pub use stores::disk::{
    DiskConfig, DiskStore, NewBlock,
    block_metadata::BlockMetadata,
    cache::CacheStatistics,
    error::{DiskError, Operation},
    genesis::Genesis,
    proof::{AccountProof, ProofError, SlotProof},
    staged::Staged,
    streaming_root::{StepSender, StreamingRoot},
    verify::Verified,
};
pub use stores::{
    layered::{Layer, Layered},
    memory::MemoryStore,
    rooted::RootedStore,
    witness::WitnessStore,
};
pub use trie::{
    error::{TrieError, WitnessError},
    memory_trie::MemoryTrie,
    witness::Witness,
};

// What the engine needs beside that. It may change in any version.
#[doc(hidden)]
pub use commit::overlay::Overlay;
#[doc(hidden)]
pub use keccak::keccak256_all;
#[doc(hidden)]
pub use model::index::{BaseAccountId, Incarnation, MemoryAccountId, Version};
#[doc(hidden)]
pub use mv::{
    cached_base::CachedBase,
    latency::has_high_latency,
    memory::{AccountRead, CachedAccounts, Memory, SlotRead, Visibility},
    publish::Writer,
};
#[doc(hidden)]
pub use record::{
    effect::{AccountEffect, BalanceEffect, LifeChange},
    observation::{AccountObservation, Bounds, Conflict, Existence, Origin},
    payment::Payment,
    publication::{Portion, Publication, Published},
    record::{AccountRecord, CreatedSlot, Record, SlotObservation, SlotRecord},
};
#[doc(hidden)]
pub use run::{
    interrupt::Interrupt,
    view::{Sender, View},
};
