//! What a block makes of a store, before anybody says that it is to be kept.

use alloy_primitives::{Address, B256, U256, map::B256Map};
use alloy_rlp::Encodable;
use alloy_trie::Nibbles;
use rayon::prelude::*;
use revm_state::Bytecode;

use crate::{
    model::changes::{Change, Changes, account_difference},
    stores::disk::{
        DiskStore,
        block_metadata::BlockMetadata,
        account_entry::{AccountEntry, LifeId},
        error::DiskError,
        group::{EntrySource, ChangedAccount, TOGETHER},
        nodes::StoredNodes,
        streaming_root::StreamingRoot,
    },
    trie::{
        change::{PreviousLeaf, Insertion, Presence},
        expected_leaves::ExpectedLeaves,
        node::Link,
        sparse::{NodeChanges, SparseTrie},
    },
};

/// What changes make of the state of a store, and its root then. The store is as it was until
/// [`DiskStore::commit`] is told to keep it.
#[derive(Debug)]
pub struct Staged {
    pub(super) root: B256,
    /// The block that the changes were made on.
    pub(super) on: BlockMetadata,
    /// The life that would have begun next then.
    pub(super) lives_from: LifeId,
    /// In groups.
    pub(super) accounts: Vec<Vec<StagedAccount>>,
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
    pub(super) before: Option<AccountEntry>,
    pub(super) after: Option<AccountEntry>,
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
    /// [`DiskError::Mismatch`] for the first place, in order of addresses, that does not hold what the
    /// changes started from; otherwise if the store cannot be read.
    pub fn stage(&self, changes: &Changes) -> Result<Staged, DiskError> {
        self.stage_streamed(changes, self.new_streaming_root())
    }

    /// Works out what `changes` make of the state, of which `fed` was told step by step.
    ///
    /// # Errors
    ///
    /// See [`stage`](Self::stage).
    pub fn stage_streamed(&self, changes: &Changes, mut fed: StreamingRoot<'_>) -> Result<Staged, DiskError> {
        fed.check()?;
        // On a thread of the crew, so that the others need not be woken for each part. Which misfit is the
        // first one shows when all accounts are read.
        rayon::scope(|_| self.stage_going_by(EntrySource::FromChange, changes, fed))
            .or_else(|_| self.stage_going_by(EntrySource::Read, changes, self.new_streaming_root()))
    }

    fn stage_going_by(
        &self,
        entries: EntrySource,
        changes: &Changes,
        mut fed: StreamingRoot<'_>,
    ) -> Result<Staged, DiskError> {
        let list = |(address, change): (&Address, _)| {
            let fed = fed.take(*address);
            ChangedAccount { address: *address, change, fed, entries }
        };
        let listed = changes.accounts.iter().map(list).collect();
        let mut accounts = self.stage_accounts(listed, &fed.lives)?;
        let StreamingRoot { accounts: mut trie, lives, looked_up, .. } = fed;
        self.put_accounts(&mut trie, &mut accounts)?;
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

    /// Puts accounts into their trie, which has to vouch for what they were before.
    fn put_accounts(
        &self,
        trie: &mut SparseTrie<StoredNodes<'_>>,
        accounts: &mut [Vec<StagedAccount>],
    ) -> Result<(), DiskError> {
        let (mut there, mut ended) = (Vec::with_capacity(accounts.len() * TOGETHER), Vec::new());
        for account in accounts.iter().flatten() {
            match (account.before, account.after) {
                (_, Some(_)) => there.push((account.hash, account)),
                (Some(_), None) => ended.push(account),
                (None, None) => {}
            }
        }
        there.par_sort_unstable_by_key(|(hash, _)| *hash);
        let insertion = |(hash, account): &(B256, &StagedAccount)| {
            let after = account.after.expect("it is there afterwards");
            let presence = if account.before.is_some() { Presence::Present } else { Presence::Unknown };
            Insertion::new(*hash, alloy_rlp::encode(after.leaf()), presence)
        };
        let mut insertions: Vec<_> = there.par_iter().with_min_len(TOGETHER).map(insertion).collect();
        trie.insert_all(&mut insertions)?;
        let groups = there.par_chunks(TOGETHER).zip(insertions.par_chunks(TOGETHER));
        let mut others: B256Map<PreviousLeaf> = groups
            .flat_map_iter(|(accounts, insertions)| {
                let found = insertions.iter().map(|insertion| &insertion.found);
                refuted(accounts.iter().map(|(_, account)| *account).zip(found))
            })
            .collect();
        let remove = |account: &&StagedAccount| trie.remove(account.hash, Presence::Present);
        let found = ended.iter().map(remove).collect::<Result<Vec<_>, _>>()?;
        others.extend(refuted(ended.into_iter().zip(&found)));
        if others.is_empty() {
            return Ok(());
        }
        for account in accounts.iter_mut().flatten() {
            if let Some(found) = others.get(&account.hash) {
                self.put_as_read(trie, account, found)?;
            }
        }
        Ok(())
    }

    /// Puts an account into the trie that was not what it was said to be. It may have a storage that nothing
    /// was said of; what is read the trie has to vouch for.
    fn put_as_read(
        &self,
        trie: &mut SparseTrie<StoredNodes<'_>>,
        account: &mut StagedAccount,
        found: &PreviousLeaf,
    ) -> Result<(), DiskError> {
        let StagedAccount { address, hash, before, .. } = *account;
        let held = self.entry(address)?;
        let [said, read] = [before, held].map(|entry| entry.map(|entry| entry.account));
        if let Some(misfit) = account_difference(address, said, read) {
            return Err(misfit.into());
        }
        account.before = held;
        if !refuted([(&*account, found)].into_iter()).is_empty() {
            return Err(self.damaged(format!("the account {address}"), "its leaf in the trie is another"));
        }
        if let Some(after) = &mut account.after {
            after.storage = held.and_then(|held| held.storage);
            trie.insert(hash, alloy_rlp::encode(after.leaf()), Presence::Present)?;
        }
        Ok(())
    }
}

/// The hashes of those accounts that were not what was found in their trie, and what that is.
fn refuted<'a>(accounts: impl Iterator<Item = (&'a StagedAccount, &'a PreviousLeaf)>) -> Vec<(B256, PreviousLeaf)> {
    let (mut claims, mut leaf, mut all) = (ExpectedLeaves::default(), Vec::new(), Vec::new());
    for (at, (StagedAccount { hash, before, .. }, found)) in accounts.enumerate() {
        leaf.clear();
        before.iter().for_each(|before| before.leaf().encode(&mut leaf));
        claims.add(at, &Nibbles::unpack(hash), &leaf, found);
        all.push((*hash, found));
    }
    claims.refuted().into_iter().map(|at| (all[at].0, all[at].1.clone())).collect()
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Bytes, keccak256};

    use super::*;
    use crate::{
        model::{account::Account, changes::AccountChange},
        stores::{
            disk::{
                DiskConfig, NewBlock,
                cache::Cache,
                account_entry::Storage,
                genesis::Genesis,
                keys::{Key, TrieId},
            },
            memory::Allocation,
        },
        trie::slot_key,
    };

    fn address(number: u8) -> Address {
        Address::repeat_byte(number)
    }

    /// A store with many accounts, each with forty slots, and where it lies.
    fn store() -> (tempfile::TempDir, DiskStore) {
        let folder = tempfile::tempdir().unwrap();
        let mut genesis = Genesis::begin(folder.path(), DiskConfig::default()).unwrap();
        let storage = || (0..40).map(|key| (U256::from(key), U256::from(key + 1))).collect();
        for number in 0..200 {
            let balance = U256::from(1000);
            genesis
                .add(address(number), Allocation { balance, storage: storage(), ..Default::default() })
                .unwrap();
        }
        let block = NewBlock { number: 0, hash: B256::ZERO, note: Bytes::new() };
        (folder, genesis.finish(block).unwrap())
    }

    /// Puts something else under a key, behind everybody's back.
    fn damage(store: &mut DiskStore, key: Key, value: Vec<u8>) {
        store.tables.add([(key, Some(value))].into());
        store.cache = Cache::new(0);
    }

    fn paid(store: &DiskStore, number: u8, after: Option<u64>) -> Changes {
        let before = store.entry(address(number)).unwrap().map(|entry| entry.account);
        let after = after.map(|balance| Account { balance: U256::from(balance), ..Account::EMPTY });
        let account = Change { before, after };
        let change = AccountChange { account, ..AccountChange::default() };
        Changes { accounts: [(address(number), change)].into_iter().collect(), ..Changes::default() }
    }

    fn written(store: &DiskStore, number: u8, after: u64) -> Changes {
        let mut changes = paid(store, number, Some(1000));
        let Storage { life, .. } = store.entry(address(number)).unwrap().unwrap().storage.unwrap();
        let before = store.slot(life, U256::from(5)).unwrap();
        let slots = &mut changes.accounts.get_mut(&address(number)).unwrap().slots;
        slots.insert(U256::from(5), Change { before, after: U256::from(after) });
        changes
    }

    fn is_refused(store: &DiskStore, changes: &Changes) {
        for fed in [false, true] {
            let told = changes.clone();
            let fed = if fed { store.stream_root(|feed| feed.send(told)).1 } else { store.new_streaming_root() };
            let error = store.stage_streamed(changes, fed).unwrap_err();
            assert!(matches!(error, DiskError::Damaged { .. }), "{error}");
        }
    }

    #[test]
    fn an_account_that_is_another_in_the_trie_is_refused_whatever_becomes_of_it() {
        let (_folder, mut store) = store();
        let mut entry = store.entry(address(7)).unwrap().unwrap();
        entry.account.balance = U256::from(77);
        damage(&mut store, TrieId::Accounts.leaf(keccak256(address(7))), entry.encode());
        for after in [Some(5), None] {
            is_refused(&store, &paid(&store, 7, after));
            store.stage(&paid(&store, 8, after)).unwrap();
        }
    }

    #[test]
    fn an_account_without_code_may_have_storage() {
        let (_folder, mut store) = store();
        let changes = paid(&store, 7, Some(5));
        let (_, fed) = store.stream_root(|feed| feed.send(changes.clone()));
        let staged = store.stage_streamed(&changes, fed).unwrap();
        assert_eq!(staged.looked_up.len(), 1, "what was fed is not lost for it");
        let root = staged.root();
        let new = NewBlock { number: 1, hash: B256::with_last_byte(1), note: Bytes::new() };
        store.commit(staged, new).unwrap();
        assert_eq!(store.rebuild_root().unwrap(), root);
        let entry = store.entry(address(7)).unwrap().unwrap();
        assert_eq!(store.slot(entry.storage.unwrap().life, U256::from(5)).unwrap(), U256::from(6));
    }

    #[test]
    fn changes_that_start_from_something_else_are_refused_for_the_first_account() {
        let (_folder, store) = store();
        let mut changes = Changes::default();
        for number in [9, 4, 201, 6] {
            let before = Account { balance: U256::ONE, ..Account::EMPTY };
            let account = Change { before: Some(before), after: Some(Account::EMPTY) };
            changes.accounts.insert(address(number), AccountChange { account, ..AccountChange::default() });
        }
        let DiskError::Mismatch(misfit) = store.stage(&changes).unwrap_err() else { panic!("it is a misfit") };
        assert_eq!(misfit.location.address(), address(4));
    }

    #[test]
    fn a_slot_that_is_another_in_the_trie_is_refused_whatever_becomes_of_it() {
        let (_folder, mut store) = store();
        let Storage { life, .. } = store.entry(address(7)).unwrap().unwrap().storage.unwrap();
        damage(&mut store, TrieId::Storage(life).leaf(slot_key(&U256::from(5))), vec![9]);
        for after in [0, 5] {
            is_refused(&store, &written(&store, 7, after));
            store.stage(&written(&store, 8, after)).unwrap();
        }
    }

    #[test]
    fn a_branch_that_takes_all_its_children_for_leaves_is_refused() {
        let (_folder, mut store) = store();
        let root = TrieId::Accounts.node(&Nibbles::new());
        let mut record = store.tables.get(&root).unwrap().unwrap();
        record[..2].copy_from_slice(&[0xff; 2]);
        damage(&mut store, root, record);
        for after in [Some(5), None] {
            store.resident.keep(B256::ZERO, Link::Empty, &[]);
            is_refused(&store, &paid(&store, 7, after));
        }
    }
}
