//! The staged changes of a block: computed, but not part of the store yet.

use alloy_primitives::{Address, B256, U256, map::B256Map};
use revm_state::Bytecode;

use crate::{
    model::changes::Change,
    stores::disk::{
        Head,
        account_entry::{AccountEntry, LifeId, StorageEntry},
    },
    trie::{node::NodeLink, sparse::NodeChanges},
};

/// The staged changes of a block, with the state root after them. [`DiskStore::commit`] makes them part of the
/// store.
///
/// [`DiskStore::commit`]: crate::DiskStore::commit
#[derive(Debug)]
pub struct Staged {
    pub(super) root: B256,
    /// What the changes started from.
    pub(super) parent: Head,
    /// The accounts, in groups.
    pub(super) accounts: Vec<Vec<StagedAccount>>,
    pub(super) codes: B256Map<Bytecode>,
    /// The changed nodes of the account trie.
    pub(super) nodes: NodeChanges,
    pub(super) trie: NodeLink,
    /// The hashed addresses of the accounts whose paths were prefetched.
    pub(super) prefetched: Vec<B256>,
    /// The next new life after the changes.
    pub(super) next_life: LifeId,
}

impl Staged {
    /// The state root after the changes.
    pub fn root(&self) -> B256 {
        self.root
    }
}

/// The staged change of an account.
#[derive(Debug)]
pub(super) struct StagedAccount {
    pub(super) address: Address,
    /// The hash of the address.
    pub(super) hash: B256,
    pub(super) before: Option<AccountEntry>,
    pub(super) after: Option<AccountEntry>,
    /// The changed slots.
    pub(super) slots: Vec<StagedSlot>,
    /// The changed nodes of the storage trie, if it changed.
    pub(super) nodes: Option<NodeChanges>,
}

impl StagedAccount {
    /// Sets the storage after the change.
    pub(super) fn set_storage(&mut self, life: LifeId, nodes: NodeChanges) {
        let after = self.after.as_mut().expect("only an account that exists afterwards has slots");
        after.storage = Some(StorageEntry { life, root: nodes.root });
        self.nodes = Some(nodes);
    }
}

/// The staged change of a slot.
#[derive(Debug)]
pub(super) struct StagedSlot {
    pub(super) key: U256,
    /// The hash of the key.
    pub(super) hash: B256,
    pub(super) change: Change<U256>,
}
