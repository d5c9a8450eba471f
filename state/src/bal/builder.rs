//! Builds a block's access list (EIP-7928) from what is committed to an overlay.
//!
//! Owns logs that grow with each commit. Each log entry holds the position of the previous entry of the
//! same account. The logs are sorted and duplicates removed once, when the list is taken. Several commits
//! may share an access index: a change holds the value before it, and the list gets their net change.

use alloy_eip7928::{
    AccountChanges, BalanceChange, BlockAccessIndex, BlockAccessList, CodeChange, NonceChange, SlotChanges,
    StorageChange,
};
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256, map::B256Map};
use revm_state::{Account as EvmAccount, Bytecode};

use crate::{
    model::{account::Account, changes::Change, index::OverlayAccountId},
    record::{effect::LifeChange, record::Record},
};

/// The accesses and changes of the commits so far.
#[derive(Debug, Default)]
pub(crate) struct AccessListBuilder {
    at: BlockAccessIndex,
    /// The last log entries of each account that was accessed, by its overlay id.
    accounts: Vec<Option<LastEntries>>,
    balances: AccessLog<IndexedChange<U256>>,
    nonces: AccessLog<IndexedChange<u64>>,
    code_hashes: AccessLog<IndexedChange<B256>>,
    codes: B256Map<Bytes>,
    /// Every access of a slot, read or write.
    slots: AccessLog<U256>,
    writes: AccessLog<(U256, IndexedChange<U256>)>,
}

/// The positions of the last log entries of an account.
#[derive(Clone, Copy, Debug, Default)]
struct LastEntries {
    balance: Option<u32>,
    nonce: Option<u32>,
    code_hash: Option<u32>,
    slot: Option<u32>,
    write: Option<u32>,
}

/// A change at an access index.
#[derive(Clone, Copy, Debug)]
struct IndexedChange<T> {
    at: BlockAccessIndex,
    change: Change<T>,
}

/// Entries, each with the position of the previous entry of the same account.
#[derive(Debug)]
struct AccessLog<T>(Vec<(Option<u32>, T)>);

impl AccessListBuilder {
    /// Sets the access index of what is committed from now on.
    pub(crate) fn set_index(&mut self, at: BlockAccessIndex) {
        self.at = at;
    }

    /// The number of slot accesses; a slot counts once for each commit.
    pub(crate) fn accessed_slots(&self) -> u64 {
        self.slots.0.len() as u64
    }

    /// Adds an account that was only read, and its slots.
    pub(crate) fn read(&mut self, id: OverlayAccountId, account: &EvmAccount) {
        let last = last_of(&mut self.accounts, id);
        account.storage.keys().for_each(|key| self.slots.push(&mut last.slot, *key));
    }

    /// Adds the change of an account and of its slots; `code` is its code now.
    pub(crate) fn commit(
        &mut self,
        id: OverlayAccountId,
        change: Change<Option<Account>>,
        code: Option<&Bytecode>,
        life_change: LifeChange,
        account: &EvmAccount,
    ) {
        self.change(id, change, code);
        let last = last_of(&mut self.accounts, id);
        for (key, slot) in &account.storage {
            self.slots.push(&mut last.slot, *key);
            let after = if life_change == LifeChange::Ends { U256::ZERO } else { slot.present_value };
            self.writes.add(&mut last.write, *key, self.at, Change { before: slot.original_value, after });
        }
    }

    /// Adds a record's accesses and its slot changes. `ids` are the ids of its accounts: payments first, then
    /// the others. The changes of accounts are added by [`change`](Self::change).
    pub(crate) fn commit_record(&mut self, record: &Record, ids: &[OverlayAccountId]) {
        for id in ids {
            last_of(&mut self.accounts, *id);
        }
        let others = &ids[record.payments.len()..];
        for read in &record.reads {
            let last = last_of(&mut self.accounts, others[read.account as usize]);
            self.slots.push(&mut last.slot, read.key);
            let effect = record.accounts[read.account as usize].effect.as_ref();
            if effect.is_some_and(|effect| effect.life_change == LifeChange::Ends) {
                let change = Change { before: read.value, after: U256::ZERO };
                self.writes.add(&mut last.write, read.key, self.at, change);
            }
        }
        for slot in &record.created {
            let last = last_of(&mut self.accounts, others[slot.account as usize]);
            self.slots.push(&mut last.slot, slot.key);
        }
        for write in &record.writes {
            let last = last_of(&mut self.accounts, others[write.account as usize]);
            let change = Change { before: write.original, after: write.value };
            self.writes.add(&mut last.write, write.key, self.at, change);
        }
    }

    /// Adds the change of an account; `code` is its code now.
    pub(crate) fn change(
        &mut self,
        id: OverlayAccountId,
        change: Change<Option<Account>>,
        code: Option<&Bytecode>,
    ) {
        let last = last_of(&mut self.accounts, id);
        let before = change.before.unwrap_or(Account::EMPTY);
        let after = change.after.unwrap_or(Account::EMPTY);
        self.balances.add(&mut last.balance, self.at, before.balance, after.balance);
        self.nonces.add(&mut last.nonce, self.at, before.nonce, after.nonce);
        self.code_hashes.add(&mut last.code_hash, self.at, before.code_hash, after.code_hash);
        if before.code_hash != after.code_hash && after.has_code() {
            let code = code.expect("a code that changed is loaded");
            self.codes.entry(after.code_hash).or_insert_with(|| code.original_bytes());
        }
    }

    /// The access list of all commits; `address` gives the address of an account.
    pub(crate) fn into_list(self, address: impl Fn(OverlayAccountId) -> Address) -> BlockAccessList {
        let accessed = self.accounts.iter().enumerate().filter_map(|(number, last)| {
            let last = last.as_ref()?;
            Some((address(OverlayAccountId::new(number)), last))
        });
        let mut accessed: Vec<_> = accessed.collect();
        accessed.sort_unstable_by_key(|(address, _)| *address);
        let mut scratch = Scratch::default();
        accessed.into_iter().map(|(address, last)| self.account(address, last, &mut scratch)).collect()
    }

    /// The list entry of an account. The content of `scratch` means nothing.
    fn account(&self, address: Address, last: &LastEntries, scratch: &mut Scratch) -> AccountChanges {
        let code_of = |hash| if hash == KECCAK256_EMPTY { Bytes::new() } else { self.codes[&hash].clone() };
        let storage_changes = self.slot_changes(last, &mut scratch.writes);
        AccountChanges {
            address,
            storage_reads: self.slot_reads(last, &storage_changes, &mut scratch.keys),
            storage_changes,
            balance_changes: self.balances.list(last.balance, BalanceChange::new),
            nonce_changes: self.nonces.list(last.nonce, NonceChange::new),
            code_changes: self
                .code_hashes
                .list(last.code_hash, |at, hash| CodeChange::new(at, code_of(hash))),
        }
    }

    fn slot_changes(
        &self,
        last: &LastEntries,
        writes: &mut Vec<(U256, IndexedChange<U256>)>,
    ) -> Vec<SlotChanges> {
        writes.clear();
        writes.extend(self.writes.back_from(last.write));
        writes.reverse();
        writes.sort_by_key(|(key, _)| *key);
        let slots = writes.chunk_by(|write, next| write.0 == next.0);
        let slots = slots.map(|writes| SlotChanges::new(writes[0].0, net_changes(writes)));
        slots.filter(|slot| !slot.is_empty()).collect()
    }

    fn slot_reads(&self, last: &LastEntries, changed: &[SlotChanges], keys: &mut Vec<U256>) -> Vec<U256> {
        keys.clear();
        keys.extend(self.slots.back_from(last.slot));
        keys.sort_unstable();
        keys.dedup();
        let is_read = |key: &U256| changed.binary_search_by_key(key, |slot| slot.slot).is_err();
        keys.iter().copied().filter(is_read).collect()
    }
}

/// Buffers for the slots of one account, used again for the next one.
#[derive(Default)]
struct Scratch {
    writes: Vec<(U256, IndexedChange<U256>)>,
    keys: Vec<U256>,
}

/// The last log entries of an account, which counts as accessed from now on.
#[inline]
fn last_of(accounts: &mut Vec<Option<LastEntries>>, id: OverlayAccountId) -> &mut LastEntries {
    if accounts.len() <= id.get() {
        accounts.resize(id.get() + 1, None);
    }
    accounts[id.get()].get_or_insert_default()
}

/// The net change of one slot at each access index; `writes` are its writes in order.
fn net_changes(writes: &[(U256, IndexedChange<U256>)]) -> Vec<StorageChange> {
    let indices = writes.chunk_by(|(_, write), (_, next)| write.at == next.at);
    let changes = indices.filter_map(|writes| {
        let ((_, first), (_, last)) = (writes.first()?, writes.last()?);
        let is_change = first.change.before != last.change.after;
        is_change.then(|| StorageChange::new(last.at, last.change.after))
    });
    changes.collect()
}

impl<T> Default for AccessLog<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> AccessLog<T> {
    #[inline]
    fn push(&mut self, last: &mut Option<u32>, entry: T) {
        let position = u32::try_from(self.0.len()).expect("a block makes fewer than 2^32 accesses");
        self.0.push((last.replace(position), entry));
    }

    /// The entries of one account, from the last one back.
    fn back_from(&self, last: Option<u32>) -> impl Iterator<Item = T>
    where
        T: Copy,
    {
        let entry = |position: u32| &self.0[position as usize];
        std::iter::successors(last.map(entry), move |(before, _)| before.map(entry)).map(|(_, entry)| *entry)
    }
}

impl AccessLog<(U256, IndexedChange<U256>)> {
    /// Adds a write, if it changes anything.
    #[inline]
    fn add(&mut self, last: &mut Option<u32>, key: U256, at: BlockAccessIndex, change: Change<U256>) {
        if change.is_change() {
            self.push(last, (key, IndexedChange { at, change }));
        }
    }
}

impl<T: Copy + PartialEq> AccessLog<IndexedChange<T>> {
    /// Adds a change, and merges it with an earlier one at the same index.
    #[inline]
    fn add(&mut self, last: &mut Option<u32>, at: BlockAccessIndex, before: T, after: T) {
        if before == after {
            return;
        }
        match last.map(|last| &mut self.0[last as usize].1) {
            Some(entry) if entry.at == at => entry.change.after = after,
            _ => self.push(last, IndexedChange { at, change: Change { before, after } }),
        }
    }

    /// The changes of one account in order; `make` makes a list item of each.
    fn list<C>(&self, last: Option<u32>, make: impl Fn(BlockAccessIndex, T) -> C) -> Vec<C> {
        let changes = self.back_from(last).filter(|entry| entry.change.is_change());
        let mut list: Vec<_> = changes.map(|entry| make(entry.at, entry.change.after)).collect();
        list.reverse();
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(wei: u64, nonce: u64) -> Option<Account> {
        Some(Account { balance: U256::from(wei), nonce, ..Account::EMPTY })
    }

    /// The ids are in the opposite order of the addresses.
    fn address(id: OverlayAccountId) -> Address {
        Address::with_last_byte(100 - id.get() as u8)
    }

    fn id(number: usize) -> OverlayAccountId {
        OverlayAccountId::new(number)
    }

    #[test]
    fn commits_of_one_index_are_listed_as_their_net_change() {
        let mut builder = AccessListBuilder::default();
        let mut change = |at, before, after| {
            builder.set_index(BlockAccessIndex(at));
            builder.change(id(3), Change { before, after }, None);
        };
        change(0, None, account(5, 0));
        change(0, account(5, 0), None);
        change(1, None, account(7, 1));
        change(2, account(7, 1), account(8, 1));
        change(2, account(8, 1), account(9, 1));
        change(2, account(9, 1), account(9, 1));
        let balances = vec![(1, 7), (2, 9)];
        let balances =
            balances.into_iter().map(|(at, wei)| BalanceChange::new(BlockAccessIndex(at), U256::from(wei)));
        let expected = AccountChanges {
            balance_changes: balances.collect(),
            nonce_changes: vec![NonceChange::new(BlockAccessIndex(1), 1)],
            ..AccountChanges::new(address(id(3)))
        };
        assert_eq!(builder.into_list(address), [expected]);
    }

    #[test]
    fn a_slot_is_listed_as_read_or_as_changed_but_not_both() {
        let mut builder = AccessListBuilder::default();
        let mut write = |at, key: u64, before: u64, after: u64| {
            builder.set_index(BlockAccessIndex(at));
            let last = last_of(&mut builder.accounts, id(0));
            builder.slots.push(&mut last.slot, U256::from(key));
            let change = Change { before: U256::from(before), after: U256::from(after) };
            builder.writes.add(&mut last.write, U256::from(key), builder.at, change);
        };
        write(1, 9, 0, 0);
        write(1, 2, 0, 5);
        write(2, 9, 0, 0);
        write(2, 2, 5, 5);
        write(3, 4, 1, 2);
        write(3, 4, 2, 1);
        write(3, 1, 1, 2);
        let list = builder.into_list(address);
        let changed: Vec<_> = list[0].storage_changes.iter().map(|slot| slot.slot.to::<u64>()).collect();
        assert_eq!(changed, [1, 2]);
        assert_eq!(list[0].storage_changes[1].changes.len(), 1);
        assert_eq!(list[0].storage_reads, [U256::from(4), U256::from(9)]);
    }

    #[test]
    fn accounts_are_in_order_of_their_addresses() {
        let mut builder = AccessListBuilder::default();
        for number in [4, 0, 2, 2] {
            last_of(&mut builder.accounts, id(number));
        }
        let list = builder.into_list(address);
        let addresses: Vec<_> = list.iter().map(|account| account.address).collect();
        assert_eq!(addresses, [4, 2, 0].map(|number| address(id(number))));
        assert!(list.iter().all(AccountChanges::is_empty));
    }
}
