//! Stages the changes of a block: computes the state root and the changed nodes without changing the store.

use alloy_primitives::{Address, B256, map::B256Map};
use alloy_rlp::Encodable;
use alloy_trie::Nibbles;
use rayon::prelude::*;

use crate::{
    model::changes::{Changes, account_difference},
    stores::disk::{
        DiskStore,
        error::DiskError,
        group::{ChangedAccount, EntrySource, GROUP_SIZE},
        nodes::StoredNodes,
        staged::{Staged, StagedAccount},
        streaming_root::StreamingRoot,
    },
    trie::{
        change::{Insertion, Presence, PreviousLeaf},
        expected_leaves::ExpectedLeaves,
        sparse::SparseTrie,
    },
};

impl DiskStore {
    /// Stages `changes`: computes the state after them. Writes nothing.
    ///
    /// # Errors
    ///
    /// [`DiskError::Mismatch`] for the first location, in order of addresses, that differs from the value that the
    /// changes started from; another error if the store cannot be read.
    pub fn stage(&self, changes: &Changes) -> Result<Staged, DiskError> {
        self.stage_streamed(changes, self.new_streaming_root())
    }

    /// Stages `changes` whose steps were streamed to `streamed` during execution.
    ///
    /// # Errors
    ///
    /// See [`stage`](Self::stage).
    pub fn stage_streamed(
        &self,
        changes: &Changes,
        mut streamed: StreamingRoot<'_>,
    ) -> Result<Staged, DiskError> {
        streamed.check()?;
        // On a worker thread, so that the other workers need not be woken for each part. Only reading all accounts
        // from the store finds the first mismatch.
        rayon::scope(|_| self.stage_from(EntrySource::Change, changes, streamed))
            .or_else(|_| self.stage_from(EntrySource::Store, changes, self.new_streaming_root()))
    }

    fn stage_from(
        &self,
        source: EntrySource,
        changes: &Changes,
        mut streamed: StreamingRoot<'_>,
    ) -> Result<Staged, DiskError> {
        let list = |(address, change): (&Address, _)| {
            let streamed = streamed.take(*address);
            ChangedAccount { address: *address, change, streamed, source }
        };
        let changed = changes.accounts.iter().map(list).collect();
        let mut accounts = self.stage_accounts(changed, &streamed.lives)?;
        let StreamingRoot { parent, accounts: mut trie, lives, prefetched, .. } = streamed;
        self.update_accounts(&mut trie, &mut accounts)?;
        let nodes = trie.take_changes();
        Ok(Staged {
            root: nodes.root,
            parent,
            accounts,
            codes: changes.codes.clone(),
            nodes,
            trie: trie.into_root(),
            prefetched,
            next_life: lives.next(),
        })
    }

    /// Updates the account trie, and checks the entries before the changes against it.
    fn update_accounts(
        &self,
        trie: &mut SparseTrie<StoredNodes<'_>>,
        accounts: &mut [Vec<StagedAccount>],
    ) -> Result<(), DiskError> {
        let (mut existing, mut ended) = (Vec::with_capacity(accounts.len() * GROUP_SIZE), Vec::new());
        for account in accounts.iter().flatten() {
            match (account.before, account.after) {
                (_, Some(_)) => existing.push((account.hash, account)),
                (Some(_), None) => ended.push(account),
                (None, None) => {}
            }
        }
        existing.par_sort_unstable_by_key(|(hash, _)| *hash);
        let insertion = |(hash, account): &(B256, &StagedAccount)| {
            let after = account.after.expect("it exists afterwards");
            let presence = if account.before.is_some() { Presence::Present } else { Presence::Unknown };
            Insertion::new(*hash, alloy_rlp::encode(after.leaf()), presence)
        };
        let mut insertions: Vec<_> = existing.par_iter().with_min_len(GROUP_SIZE).map(insertion).collect();
        trie.insert_all(&mut insertions)?;
        let groups = existing.par_chunks(GROUP_SIZE).zip(insertions.par_chunks(GROUP_SIZE));
        let mut mismatched: B256Map<PreviousLeaf> = groups
            .flat_map_iter(|(accounts, insertions)| {
                let previous = insertions.iter().map(|insertion| &insertion.previous);
                mismatched_accounts(accounts.iter().map(|(_, account)| *account).zip(previous))
            })
            .collect();
        let remove = |account: &&StagedAccount| trie.remove(account.hash, Presence::Present);
        let previous = ended.iter().map(remove).collect::<Result<Vec<_>, _>>()?;
        mismatched.extend(mismatched_accounts(ended.into_iter().zip(&previous)));
        if mismatched.is_empty() {
            return Ok(());
        }
        for account in accounts.iter_mut().flatten() {
            if let Some(previous) = mismatched.get(&account.hash) {
                self.update_from_store(trie, account, previous)?;
            }
        }
        Ok(())
    }

    /// Updates an account whose assumed entry differs from the trie, with the entry from the store. The account may
    /// have a storage that the change does not mention. The trie must confirm the stored entry.
    fn update_from_store(
        &self,
        trie: &mut SparseTrie<StoredNodes<'_>>,
        account: &mut StagedAccount,
        previous: &PreviousLeaf,
    ) -> Result<(), DiskError> {
        let StagedAccount { address, hash, before, .. } = *account;
        let stored = self.entry(address)?;
        let [expected, found] = [before, stored].map(|entry| entry.map(|entry| entry.account));
        if let Some(mismatch) = account_difference(address, expected, found) {
            return Err(mismatch.into());
        }
        account.before = stored;
        if !mismatched_accounts([(&*account, previous)].into_iter()).is_empty() {
            return Err(self.damaged(format!("the account {address}"), "its leaf in the trie differs"));
        }
        if let Some(after) = &mut account.after {
            after.storage = stored.and_then(|stored| stored.storage);
            trie.insert(hash, alloy_rlp::encode(after.leaf()), Presence::Present)?;
        }
        Ok(())
    }
}

/// The hashed addresses of the accounts whose entry before the change differs from their leaf in the trie, with that
/// leaf.
fn mismatched_accounts<'a>(
    accounts: impl Iterator<Item = (&'a StagedAccount, &'a PreviousLeaf)>,
) -> Vec<(B256, PreviousLeaf)> {
    let (mut expected, mut leaf, mut all) = (ExpectedLeaves::default(), Vec::new(), Vec::new());
    for (at, (StagedAccount { hash, before, .. }, previous)) in accounts.enumerate() {
        leaf.clear();
        before.iter().for_each(|before| before.leaf().encode(&mut leaf));
        expected.add(at, &Nibbles::unpack(hash), &leaf, previous);
        all.push((*hash, previous));
    }
    expected.mismatched().into_iter().map(|at| (all[at].0, all[at].1.clone())).collect()
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Bytes, U256, keccak256};

    use super::*;
    use crate::{
        model::{
            account::Account,
            allocation::Allocation,
            changes::{AccountChange, Change, Life},
            mismatch::Location,
        },
        stores::disk::{
            DiskConfig, NewBlock,
            account_entry::StorageEntry,
            cache::Cache,
            genesis::Genesis,
            keys::{Key, TrieId},
        },
        trie::{node::NodeLink, slot_key},
    };

    fn address(number: u8) -> Address {
        Address::repeat_byte(number)
    }

    /// A store with many accounts, each with 40 slots, and its folder.
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
        let block = NewBlock { number: 0, hash: B256::ZERO, note: Bytes::new(), encoded: Bytes::new() };
        (folder, genesis.finish(block).unwrap())
    }

    /// Overwrites the value of a key without updating anything else.
    fn damage(store: &mut DiskStore, key: Key, value: Vec<u8>) {
        store.tables.add([(key, Some(value))].into(), None, || ());
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
        let StorageEntry { life, .. } = store.entry(address(number)).unwrap().unwrap().storage.unwrap();
        let before = store.slot(life, U256::from(5)).unwrap();
        let slots = &mut changes.accounts.get_mut(&address(number)).unwrap().slots;
        slots.insert(U256::from(5), Change { before, after: U256::from(after) });
        changes
    }

    fn assert_refused(store: &DiskStore, changes: &Changes) {
        for is_streamed in [false, true] {
            let step = changes.clone();
            let streamed = match is_streamed {
                true => store.stream_root(|sender| sender.send(step)).1,
                false => store.new_streaming_root(),
            };
            let error = store.stage_streamed(changes, streamed).unwrap_err();
            assert!(matches!(error, DiskError::Damaged { .. }), "{error}");
        }
    }

    #[test]
    fn an_account_that_differs_from_the_trie_is_refused_whether_it_changes_or_ends() {
        let (_folder, mut store) = store();
        let mut entry = store.entry(address(7)).unwrap().unwrap();
        entry.account.balance = U256::from(77);
        damage(&mut store, TrieId::Accounts.leaf(keccak256(address(7))), entry.encode());
        for after in [Some(5), None] {
            assert_refused(&store, &paid(&store, 7, after));
            store.stage(&paid(&store, 8, after)).unwrap();
        }
    }

    #[test]
    fn an_account_without_code_may_have_storage() {
        let (_folder, store) = store();
        let changes = paid(&store, 7, Some(5));
        let (_, streamed) = store.stream_root(|sender| sender.send(changes.clone()));
        let staged = store.stage_streamed(&changes, streamed).unwrap();
        assert_eq!(staged.prefetched.len(), 1, "the streamed steps are used");
        let root = staged.root();
        let new =
            NewBlock { number: 1, hash: B256::with_last_byte(1), note: Bytes::new(), encoded: Bytes::new() };
        store.commit(staged, new).unwrap();
        assert_eq!(store.rebuild_root().unwrap(), root);
        let entry = store.entry(address(7)).unwrap().unwrap();
        assert_eq!(store.slot(entry.storage.unwrap().life, U256::from(5)).unwrap(), U256::from(6));
    }

    #[test]
    fn changes_that_start_from_other_accounts_are_refused_with_the_first_mismatch() {
        let (_folder, store) = store();
        let mut changes = Changes::default();
        for number in [9, 4, 201, 6] {
            let before = Account { balance: U256::ONE, ..Account::EMPTY };
            let account = Change { before: Some(before), after: Some(Account::EMPTY) };
            changes.accounts.insert(address(number), AccountChange { account, ..AccountChange::default() });
        }
        let DiskError::Mismatch(mismatch) = store.stage(&changes).unwrap_err() else {
            panic!("it is a mismatch")
        };
        assert_eq!(mismatch.location.address(), address(4));
    }

    #[test]
    fn a_slot_that_differs_from_the_trie_is_refused_whether_it_changes_or_is_cleared() {
        let (_folder, mut store) = store();
        let StorageEntry { life, .. } = store.entry(address(7)).unwrap().unwrap().storage.unwrap();
        damage(&mut store, TrieId::Storage(life).leaf(slot_key(&U256::from(5))), vec![9]);
        for after in [0, 5] {
            assert_refused(&store, &written(&store, 7, after));
            store.stage(&written(&store, 8, after)).unwrap();
        }
    }

    #[test]
    fn a_branch_with_a_wrong_leaf_mask_assert_refused() {
        let (_folder, mut store) = store();
        let root = TrieId::Accounts.node(&Nibbles::new());
        let mut record = store.tables.get(&root).unwrap().unwrap();
        record[..2].copy_from_slice(&[0xff; 2]);
        damage(&mut store, root, record);
        for after in [Some(5), None] {
            store.upper_trie.keep(B256::ZERO, NodeLink::Empty, &[]);
            assert_refused(&store, &paid(&store, 7, after));
        }
    }

    #[test]
    fn a_streamed_storage_of_another_life_is_not_used() {
        let (_folder, store) = store();
        let key = U256::from(50);
        let in_life = |life| {
            let mut changes = paid(&store, 7, Some(1000));
            let change = changes.accounts.get_mut(&address(7)).unwrap();
            change.life = life;
            change.slots.insert(key, Change { before: U256::ZERO, after: U256::ONE });
            changes
        };
        for (streamed, whole) in [(Life::Same, Life::New), (Life::New, Life::Same)] {
            let (step, changes) = (in_life(streamed), in_life(whole));
            let (_, streamed) = store.stream_root(|sender| sender.send(step));
            let root = store.stage_streamed(&changes, streamed).unwrap().root();
            assert_eq!(root, store.stage(&changes).unwrap().root(), "{whole:?}");
        }
    }

    #[test]
    fn a_new_life_without_slots_has_no_storage() {
        let (_folder, store) = store();
        let mut changes = paid(&store, 7, Some(5));
        changes.accounts.get_mut(&address(7)).unwrap().life = Life::New;
        let staged = store.stage(&changes).unwrap();
        let StagedAccount { before, after, .. } = &staged.accounts[0][0];
        assert!(before.unwrap().storage.is_some());
        assert_eq!(after.unwrap().storage, None);
    }

    #[test]
    fn an_account_that_ends_may_list_its_slots() {
        let (_folder, store) = store();
        let mut changes = paid(&store, 7, None);
        let root = store.stage(&changes).unwrap().root();
        let mut stage = |before: u64| {
            let slots = &mut changes.accounts.get_mut(&address(7)).unwrap().slots;
            slots.insert(U256::from(5), Change { before: U256::from(before), after: U256::ZERO });
            store.stage(&changes)
        };
        assert_eq!(stage(6).unwrap().root(), root);
        assert!(matches!(stage(7), Err(DiskError::Mismatch(_))), "the slot holds 6");
    }

    #[test]
    fn of_several_slots_that_differ_the_lowest_is_reported() {
        let (_folder, store) = store();
        let mut changes = paid(&store, 7, Some(5));
        let slots = &mut changes.accounts.get_mut(&address(7)).unwrap().slots;
        for key in (3..40).map(U256::from) {
            slots.insert(key, Change { before: U256::MAX, after: U256::ONE });
        }
        let DiskError::Mismatch(mismatch) = store.stage(&changes).unwrap_err() else {
            panic!("it is a mismatch")
        };
        assert_eq!(mismatch.location, Location::Slot(address(7), U256::from(3)));
    }

    #[test]
    fn a_read_that_fails_while_the_block_is_streamed_fails_the_block() {
        let (_folder, mut store) = store();
        let step = written(&store, 7, 5);
        damage(&mut store, TrieId::Accounts.node(&Nibbles::new()), Vec::new());
        store.upper_trie.keep(B256::ZERO, NodeLink::Empty, &[]);
        let (_, streamed) = store.stream_root(|sender| sender.send(step));
        assert!(store.stage_streamed(&Changes::default(), streamed).is_err());
    }
}
