//! What an EVM chain's state is: locations, changes that can be applied and reverted, the base that
//! a block runs on, the multi-version memory that its transactions run over, an in-memory store, and
//! state roots.
//!
//! Nothing here executes code or knows how a block is scheduled.

mod bal;
mod commit;
mod keccak;
mod model;
mod mv;
mod record;
mod root;
mod run;
mod stores;
pub mod sync;
mod trie;

pub use bal::{
    diff::{ListItem, ListValue, ListDifference, list_differences},
    index::{Delegations, AccessListIndex},
};
pub use commit::{
    overlay::Overlay,
    pending::{Keeping, Share},
};
pub use model::{
    account::Account,
    base::Base,
    changes::{AccountChange, Change, Changes, Life},
    index::{Incarnation, AccessIndex, TxIndex, Version},
    mismatch::{Location, Mismatch, Value},
};
pub use mv::{
    cached_base::CachedBase,
    latency::has_high_latency,
    memory::{AccountRead, Audience, Memory, Recall, Sight, SlotRead},
    publish::{Telling, Writer},
};
pub use record::{
    payment::Payment,
    record::{
        AccountEffect, AccountObservation, AccountRecord, BalanceEffect, Bounds, CreatedSlot, Existence,
        LifeChange, Origin, Record, SlotObservation, SlotRecord, Conflict,
    },
};
pub use run::view::{Interrupt, Sender, View};
pub use stores::{
    disk::{
        DiskConfig, DiskStore, NewBlock,
        block_metadata::BlockMetadata,
        cache::CacheStatistics,
        error::{DiskError, Operation},
        genesis::Genesis,
        proof::{AccountProof, ProofError, SlotProof},
        stage::Staged,
        streaming_root::{StreamingRoot, StepSender},
        verify::Verified,
    },
    memory::{Allocation, MemoryStore, MissingCode, StoredAccount},
};
pub use trie::{
    error::{TrieError, WitnessError},
    memory_trie::MemoryTrie,
    witness::Witness,
};
