//! What a block makes of a store, before anybody says that it is to be kept.

use alloy_primitives::{Address, B256, U256, map::B256Map};
use rayon::prelude::*;
use revm_state::Bytecode;

use super::{
    DiskError, DiskStore, Mark,
    entry::{Entry, LifeId},
    feed::Fed,
    group::{Listed, TOGETHER},
};
use crate::{
    Change, Changes,
    trie::{Insertion, Link, NodeChanges, Presence},
};

/// What changes make of the state of a store, and its root then. The store is as it was until
/// [`DiskStore::commit`] is told to keep it.
#[derive(Debug)]
pub struct Staged {
    pub(super) root: B256,
    /// The block that the changes were made on.
    pub(super) on: Mark,
    /// The life that would have begun next then.
    pub(super) lives_from: LifeId,
    pub(super) accounts: Vec<StagedAccount>,
    pub(super) codes: B256Map<Bytecode>,
    /// What became of the accounts' trie.
    pub(super) nodes: NodeChanges,
    pub(super) trie: Link,
    /// The hashes of accounts to which ways were looked up beforehand.
    pub(super) looked_up: Vec<B256>,
    pub(super) next_life: LifeId,
}

impl Staged {
    /// The state root after the changes.
    pub fn root(&self) -> B256 {
        self.root
    }
}

/// What becomes of one account.
#[derive(Debug)]
pub(super) struct StagedAccount {
    pub(super) address: Address,
    /// The hash of its address.
    pub(super) hash: B256,
    pub(super) before: Option<Entry>,
    pub(super) after: Option<Entry>,
    /// The slots that change.
    pub(super) slots: Vec<StagedSlot>,
    /// What became of its storage's trie, if anything did.
    pub(super) nodes: Option<NodeChanges>,
}

/// What becomes of one slot.
#[derive(Debug)]
pub(super) struct StagedSlot {
    pub(super) key: U256,
    /// The hash of its key.
    pub(super) hash: B256,
    pub(super) change: Change<U256>,
}

impl DiskStore {
    /// Works out what `changes` make of the state. Nothing is written.
    ///
    /// # Errors
    ///
    /// [`DiskError::Misfit`] for the first place, in order of addresses, that does not hold what the
    /// changes started from; otherwise if the store cannot be read.
    pub fn stage(&self, changes: &Changes) -> Result<Staged, DiskError> {
        self.stage_fed(changes, self.unfed())
    }

    /// Works out what `changes` make of the state, of which `fed` was told step by step.
    ///
    /// # Errors
    ///
    /// See [`stage`](Self::stage).
    pub fn stage_fed(&self, changes: &Changes, mut fed: Fed<'_>) -> Result<Staged, DiskError> {
        fed.check()?;
        let list =
            |(address, change): (&Address, _)| Listed { address: *address, change, fed: fed.take(*address) };
        let listed = changes.accounts.iter().map(list).collect();
        let accounts = self.stage_accounts(listed, &fed.lives)?;
        let Fed { accounts: mut trie, lives, looked_up, .. } = fed;
        trie.insert_all(&mut leaves(&accounts))?;
        for account in &accounts {
            if account.before.is_some() && account.after.is_none() {
                trie.remove(account.hash, Presence::Held)?;
            }
        }
        let nodes = trie.take_changes();
        Ok(Staged {
            root: nodes.root,
            on: self.head.clone(),
            lives_from: self.next_life,
            accounts,
            codes: changes.codes.clone(),
            nodes,
            trie: trie.into_root(),
            looked_up,
            next_life: lives.next(),
        })
    }
}

/// What the accounts put into their trie.
fn leaves(accounts: &[StagedAccount]) -> Vec<Insertion> {
    let leaf = |StagedAccount { hash, before, after, .. }: &StagedAccount| {
        let presence = if before.is_some() { Presence::Held } else { Presence::Unknown };
        after.map(|after| Insertion::new(*hash, alloy_rlp::encode(after.leaf()), presence))
    };
    accounts.par_iter().with_min_len(TOGETHER).filter_map(leaf).collect()
}
