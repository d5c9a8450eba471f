//! What commits to an overlay access and change, index by index: a block's access list (EIP-7928).
//!
//! Owns logs that grow with each commit, in which each entry names the one before it on the same
//! account. They are put in order, and what they say twice is left out, once, when the list is taken.
//! A change says what stood there before it: several commits may share an index, and what is listed
//! is what they change together.

use alloy_eip7928::{
    AccountChanges, BalanceChange, BlockAccessIndex, BlockAccessList, CodeChange, NonceChange, SlotChanges,
    StorageChange,
};
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256, map::B256Map};
use revm_state::{Account as EvmAccount, AccountId, Bytecode};

use crate::{
    model::{account::Account, changes::Change},
    record::record::{LifeChange, Record},
};

/// The accesses and changes of the commits so far.
#[derive(Debug, Default)]
pub(crate) struct AccessListBuilder {
    at: BlockAccessIndex,
    /// By place, the last entries on each account that was accessed.
    accounts: Vec<Option<Last>>,
    balances: Log<Step<U256>>,
    nonces: Log<Step<u64>>,
    code_hashes: Log<Step<B256>>,
    codes: B256Map<Bytes>,
    /// Every slot that was accessed, written or not, as often as that happened.
    slots: Log<U256>,
    writes: Log<(U256, Step<U256>)>,
}

/// Where the last entries on an account stand in the logs.
#[derive(Clone, Copy, Debug, Default)]
struct Last {
    balance: Option<u32>,
    nonce: Option<u32>,
    code_hash: Option<u32>,
    slot: Option<u32>,
    write: Option<u32>,
}

/// What happens at an index.
#[derive(Clone, Copy, Debug)]
struct Step<T> {
    at: BlockAccessIndex,
    change: Change<T>,
}

/// Entries, each with the position of the one before it on the same account.
#[derive(Debug)]
struct Log<T>(Vec<(Option<u32>, T)>);

impl AccessListBuilder {
    /// What is committed from now on belongs to this index of the list.
    pub(crate) fn enter(&mut self, at: BlockAccessIndex) {
        self.at = at;
    }

    /// How many accesses of slots there were; a slot counts once for each commit.
    pub(crate) fn accesses(&self) -> u64 {
        self.slots.0.len() as u64
    }

    /// An account was looked at, and so were the slots that it has.
    pub(crate) fn look(&mut self, place: AccountId, account: &EvmAccount) {
        let last = last_of(&mut self.accounts, place);
        account.storage.keys().for_each(|key| self.slots.push(&mut last.slot, *key));
    }

    /// A run left an account so, and its slots; `code` is its code now.
    pub(crate) fn commit(
        &mut self,
        place: AccountId,
        change: Change<Option<Account>>,
        code: Option<&Bytecode>,
        life_change: LifeChange,
        account: &EvmAccount,
    ) {
        self.change(place, change, code);
        let last = last_of(&mut self.accounts, place);
        for (key, slot) in &account.storage {
            self.slots.push(&mut last.slot, *key);
            let after = if life_change == LifeChange::Ends { U256::ZERO } else { slot.present_value };
            self.writes.add(&mut last.write, *key, self.at, Change { before: slot.original_value, after });
        }
    }

    /// A record is committed whose accounts lie in these places: payments first, then the others.
    /// What happens to accounts is told apart, by [`change`](Self::change).
    pub(crate) fn commit_record(&mut self, record: &Record, places: &[AccountId]) {
        for place in places {
            last_of(&mut self.accounts, *place);
        }
        let others = &places[record.payments.len()..];
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

    /// This happened to an account; `code` is its code now.
    pub(crate) fn change(
        &mut self,
        place: AccountId,
        change: Change<Option<Account>>,
        code: Option<&Bytecode>,
    ) {
        let last = last_of(&mut self.accounts, place);
        let before = change.before.unwrap_or(Account::EMPTY);
        let after = change.after.unwrap_or(Account::EMPTY);
        self.balances.add(&mut last.balance, self.at, before.balance, after.balance);
        self.nonces.add(&mut last.nonce, self.at, before.nonce, after.nonce);
        self.code_hashes.add(&mut last.code_hash, self.at, before.code_hash, after.code_hash);
        if before.code_hash != after.code_hash && after.has_code() {
            let code = code.expect("a code that changed is at hand");
            self.codes.entry(after.code_hash).or_insert_with(|| code.original_bytes());
        }
    }

    /// The list of all that was committed; `address` tells who lies in a place.
    pub(crate) fn into_list(self, address: impl Fn(AccountId) -> Address) -> BlockAccessList {
        let accessed = self.accounts.iter().enumerate().filter_map(|(place, last)| {
            let last = last.as_ref()?;
            AccountId::new(place).map(|place| (address(place), last))
        });
        let mut accessed: Vec<_> = accessed.collect();
        accessed.sort_unstable_by_key(|(address, _)| *address);
        let mut room = (Vec::new(), Vec::new());
        accessed.into_iter().map(|(address, last)| self.account(address, last, &mut room)).collect()
    }

    /// What the logs say of an account. What is in `room` means nothing.
    fn account(&self, address: Address, last: &Last, room: &mut Room) -> AccountChanges {
        let code_of = |hash| if hash == KECCAK256_EMPTY { Bytes::new() } else { self.codes[&hash].clone() };
        let storage_changes = self.slot_changes(last, &mut room.0);
        AccountChanges {
            address,
            storage_reads: self.slot_reads(last, &storage_changes, &mut room.1),
            storage_changes,
            balance_changes: self.balances.list(last.balance, BalanceChange::new),
            nonce_changes: self.nonces.list(last.nonce, NonceChange::new),
            code_changes: self
                .code_hashes
                .list(last.code_hash, |at, hash| CodeChange::new(at, code_of(hash))),
        }
    }

    fn slot_changes(&self, last: &Last, room: &mut Vec<(U256, Step<U256>)>) -> Vec<SlotChanges> {
        room.clear();
        room.extend(self.writes.back_from(last.write));
        room.reverse();
        room.sort_by_key(|(key, _)| *key);
        let slots = room.chunk_by(|write, next| write.0 == next.0);
        let slots = slots.map(|writes| SlotChanges::new(writes[0].0, together(writes)));
        slots.filter(|slot| !slot.is_empty()).collect()
    }

    fn slot_reads(&self, last: &Last, changed: &[SlotChanges], room: &mut Vec<U256>) -> Vec<U256> {
        room.clear();
        room.extend(self.slots.back_from(last.slot));
        room.sort_unstable();
        room.dedup();
        let is_read = |key: &U256| changed.binary_search_by_key(key, |slot| slot.slot).is_err();
        room.iter().copied().filter(is_read).collect()
    }
}

/// Room for the writes and accesses of one account's slots.
type Room = (Vec<(U256, Step<U256>)>, Vec<U256>);

/// The last entries on an account, which was accessed.
#[inline]
fn last_of(accounts: &mut Vec<Option<Last>>, place: AccountId) -> &mut Last {
    if accounts.len() <= place.get() {
        accounts.resize(place.get() + 1, None);
    }
    accounts[place.get()].get_or_insert_default()
}

/// What writes of one slot, in order, change together at each index.
fn together(writes: &[(U256, Step<U256>)]) -> Vec<StorageChange> {
    let indices = writes.chunk_by(|(_, step), (_, next)| step.at == next.at);
    let changes = indices.filter_map(|writes| {
        let ((_, first), (_, last)) = (writes.first()?, writes.last()?);
        let is_change = first.change.before != last.change.after;
        is_change.then(|| StorageChange::new(last.at, last.change.after))
    });
    changes.collect()
}

impl<T> Default for Log<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Log<T> {
    #[inline]
    fn push(&mut self, last: &mut Option<u32>, entry: T) {
        let position = u32::try_from(self.0.len()).expect("a block makes fewer than 2^32 accesses");
        self.0.push((last.replace(position), entry));
    }

    /// The entries on one account, from its last one back.
    fn back_from(&self, last: Option<u32>) -> impl Iterator<Item = T>
    where
        T: Copy,
    {
        let entry = |position: u32| &self.0[position as usize];
        std::iter::successors(last.map(entry), move |(before, _)| before.map(entry)).map(|(_, entry)| *entry)
    }
}

impl Log<(U256, Step<U256>)> {
    /// Adds a write, if it changes anything.
    #[inline]
    fn add(&mut self, last: &mut Option<u32>, key: U256, at: BlockAccessIndex, change: Change<U256>) {
        if change.is_change() {
            self.push(last, (key, Step { at, change }));
        }
    }
}

impl<T: Copy + PartialEq> Log<Step<T>> {
    /// Adds what happened, in one with what happened at the same index before.
    #[inline]
    fn add(&mut self, last: &mut Option<u32>, at: BlockAccessIndex, before: T, after: T) {
        if before == after {
            return;
        }
        match last.map(|last| &mut self.0[last as usize].1) {
            Some(step) if step.at == at => step.change.after = after,
            _ => self.push(last, Step { at, change: Change { before, after } }),
        }
    }

    /// What changed, and when.
    fn list<C>(&self, last: Option<u32>, make: impl Fn(BlockAccessIndex, T) -> C) -> Vec<C> {
        let steps = self.back_from(last).filter(|step| step.change.is_change());
        let mut list: Vec<_> = steps.map(|step| make(step.at, step.change.after)).collect();
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

    /// Places are numbered against the order of addresses.
    fn address(place: AccountId) -> Address {
        Address::with_last_byte(100 - place.get() as u8)
    }

    fn place(number: usize) -> AccountId {
        AccountId::new(number).expect("a small number")
    }

    #[test]
    fn what_an_index_changes_is_what_its_commits_change_together() {
        let mut listing = AccessListBuilder::default();
        let mut change = |at, before, after| {
            listing.enter(BlockAccessIndex(at));
            listing.change(place(3), Change { before, after }, None);
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
            ..AccountChanges::new(address(place(3)))
        };
        assert_eq!(listing.into_list(address), [expected]);
    }

    #[test]
    fn a_slot_is_read_or_changed_but_not_both() {
        let mut listing = AccessListBuilder::default();
        let mut write = |at, key: u64, before: u64, after: u64| {
            listing.enter(BlockAccessIndex(at));
            let last = last_of(&mut listing.accounts, place(0));
            listing.slots.push(&mut last.slot, U256::from(key));
            let change = Change { before: U256::from(before), after: U256::from(after) };
            listing.writes.add(&mut last.write, U256::from(key), listing.at, change);
        };
        write(1, 9, 0, 0);
        write(1, 2, 0, 5);
        write(2, 9, 0, 0);
        write(2, 2, 5, 5);
        write(3, 4, 1, 2);
        write(3, 4, 2, 1);
        write(3, 1, 1, 2);
        let list = listing.into_list(address);
        let changed: Vec<_> = list[0].storage_changes.iter().map(|slot| slot.slot.to::<u64>()).collect();
        assert_eq!(changed, [1, 2]);
        assert_eq!(list[0].storage_changes[1].changes.len(), 1);
        assert_eq!(list[0].storage_reads, [U256::from(4), U256::from(9)]);
    }

    #[test]
    fn accounts_are_in_order_of_their_addresses() {
        let mut listing = AccessListBuilder::default();
        for number in [4, 0, 2, 2] {
            last_of(&mut listing.accounts, place(number));
        }
        let list = listing.into_list(address);
        let addresses: Vec<_> = list.iter().map(|account| account.address).collect();
        assert_eq!(addresses, [4, 2, 0].map(|number| address(place(number))));
        assert!(list.iter().all(AccountChanges::is_empty));
    }
}
