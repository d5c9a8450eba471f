//! What commits to an overlay access and change, index by index: a block's access list (EIP-7928).
//!
//! Owns flat logs that grow with each commit. They are sorted, and what they say twice is left out,
//! once, when the list is taken. A change says what stood there before it: several commits may
//! share an index, and what is listed is what they change together.

use alloy_eip7928::{
    AccountChanges, BalanceChange, BlockAccessIndex, BlockAccessList, CodeChange, NonceChange, SlotChanges,
    StorageChange,
};
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256, map::B256Map};
use revm_state::{Account as EvmAccount, AccountId, Bytecode};

use crate::{Account, Change, Fate, Record};

/// The accesses and changes of the commits so far.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    at: BlockAccessIndex,
    /// Of the account in each place, whether it was accessed.
    accessed: Vec<bool>,
    balances: Vec<Step<AccountId, U256>>,
    nonces: Vec<Step<AccountId, u64>>,
    code_hashes: Vec<Step<AccountId, B256>>,
    codes: B256Map<Bytes>,
    /// Every slot that was accessed, written or not, as often as that happened.
    slots: Vec<Slot>,
    writes: Vec<Step<Slot, U256>>,
}

/// The place of an account, and a slot of it.
type Slot = (AccountId, U256);

/// What one commit changes.
#[derive(Debug)]
struct Step<L, T> {
    location: L,
    at: BlockAccessIndex,
    change: Change<T>,
}

impl Listing {
    /// What is committed from now on belongs to this index of the list.
    pub(crate) fn enter(&mut self, at: BlockAccessIndex) {
        self.at = at;
    }

    /// An account was looked at, and so were the slots that it has.
    pub(crate) fn look(&mut self, place: AccountId, account: &EvmAccount) {
        self.access(place);
        self.slots.extend(account.storage.keys().map(|key| (place, *key)));
    }

    /// A run left an account so, and its slots.
    pub(crate) fn commit(
        &mut self,
        place: AccountId,
        change: Change<Option<Account>>,
        code: Option<&Bytecode>,
        fate: Fate,
        account: &EvmAccount,
    ) {
        self.change(place, change, code);
        for (key, slot) in &account.storage {
            let after = if fate == Fate::Ends { U256::ZERO } else { slot.present_value };
            self.slots.push((place, *key));
            self.write((place, *key), Change { before: slot.original_value, after });
        }
    }

    /// A record is committed whose accounts lie in these places: payments first, then the others.
    /// What happens to accounts is told apart, by [`change`](Self::change).
    pub(crate) fn commit_record(&mut self, record: &Record, places: &[AccountId]) {
        places.iter().for_each(|place| self.access(*place));
        let others = &places[record.payments.len()..];
        for read in &record.reads {
            let slot = (others[read.account as usize], read.key);
            self.slots.push(slot);
            let effect = record.accounts[read.account as usize].effect.as_ref();
            if effect.is_some_and(|effect| effect.fate == Fate::Ends) {
                self.write(slot, Change { before: read.value, after: U256::ZERO });
            }
        }
        let created = record.created.iter().map(|slot| (others[slot.account as usize], slot.key));
        self.slots.extend(created);
        for write in &record.writes {
            let change = Change { before: write.original, after: write.value };
            self.write((others[write.account as usize], write.key), change);
        }
    }

    /// An account was accessed, and this happened to it; `code` is its code now.
    pub(crate) fn change(
        &mut self,
        place: AccountId,
        change: Change<Option<Account>>,
        code: Option<&Bytecode>,
    ) {
        self.access(place);
        let before = change.before.unwrap_or(Account::EMPTY);
        let after = change.after.unwrap_or(Account::EMPTY);
        self.balances.extend(Step::of(place, self.at, before.balance, after.balance));
        self.nonces.extend(Step::of(place, self.at, before.nonce, after.nonce));
        if let Some(step) = Step::of(place, self.at, before.code_hash, after.code_hash) {
            self.code_hashes.push(step);
            if after.has_code() {
                let code = code.expect("a code that changed is at hand");
                self.codes.entry(after.code_hash).or_insert_with(|| code.original_bytes());
            }
        }
    }

    fn access(&mut self, place: AccountId) {
        if self.accessed.len() <= place.get() {
            self.accessed.resize(place.get() + 1, false);
        }
        self.accessed[place.get()] = true;
    }

    fn write(&mut self, slot: Slot, change: Change<U256>) {
        self.writes.extend(Step::of(slot, self.at, change.before, change.after));
    }

    /// The list of all that was committed; `address` tells who lies in a place.
    pub(crate) fn into_list(mut self, address: impl Fn(AccountId) -> Address) -> BlockAccessList {
        self.balances.sort_by_key(|step| step.location);
        self.nonces.sort_by_key(|step| step.location);
        self.code_hashes.sort_by_key(|step| step.location);
        self.writes.sort_by_key(|step| step.location);
        self.slots.sort_unstable();
        self.slots.dedup();
        let mut rest = Rest {
            balances: &self.balances,
            nonces: &self.nonces,
            code_hashes: &self.code_hashes,
            writes: &self.writes,
            slots: &self.slots,
        };
        let places = self.accessed.iter().enumerate().filter(|(_, accessed)| **accessed);
        let places = places.filter_map(|(place, _)| AccountId::new(place));
        let mut list: Vec<_> = places.map(|place| rest.next(place, address(place), &self.codes)).collect();
        list.sort_unstable_by_key(|account| account.address);
        list
    }
}

impl<L, T: PartialEq> Step<L, T> {
    /// The step that leads from one value to another, if they differ.
    #[inline]
    fn of(location: L, at: BlockAccessIndex, before: T, after: T) -> Option<Self> {
        (before != after).then_some(Self { location, at, change: Change { before, after } })
    }
}

/// What is left of sorted logs.
struct Rest<'l> {
    balances: &'l [Step<AccountId, U256>],
    nonces: &'l [Step<AccountId, u64>],
    code_hashes: &'l [Step<AccountId, B256>],
    writes: &'l [Step<Slot, U256>],
    slots: &'l [Slot],
}

impl Rest<'_> {
    /// Takes what the logs say of the account in the first place that is left.
    fn next(&mut self, place: AccountId, address: Address, codes: &B256Map<Bytes>) -> AccountChanges {
        let balances = split_off(&mut self.balances, |step| step.location == place);
        let nonces = split_off(&mut self.nonces, |step| step.location == place);
        let code_hashes = split_off(&mut self.code_hashes, |step| step.location == place);
        let writes = split_off(&mut self.writes, |step| step.location.0 == place);
        let slots = split_off(&mut self.slots, |slot| slot.0 == place);

        let slot_changes = writes.chunk_by(|step, next| step.location == next.location).map(|steps| {
            let changes = together(steps).map(|(at, value)| StorageChange::new(at, value));
            SlotChanges::new(steps[0].location.1, changes.collect())
        });
        let storage_changes: Vec<_> = slot_changes.filter(|slot| !slot.is_empty()).collect();
        let is_read = |key: &U256| storage_changes.binary_search_by_key(key, |slot| slot.slot).is_err();
        let code_of = |hash| if hash == KECCAK256_EMPTY { Bytes::new() } else { codes[&hash].clone() };
        AccountChanges {
            address,
            storage_reads: slots.iter().map(|slot| slot.1).filter(is_read).collect(),
            balance_changes: together(balances).map(|(at, wei)| BalanceChange::new(at, wei)).collect(),
            nonce_changes: together(nonces).map(|(at, nonce)| NonceChange::new(at, nonce)).collect(),
            code_changes: together(code_hashes)
                .map(|(at, hash)| CodeChange::new(at, code_of(hash)))
                .collect(),
            storage_changes,
        }
    }
}

/// Splits off the elements at the start that belong together.
fn split_off<'l, T>(rest: &mut &'l [T], belongs: impl Fn(&T) -> bool) -> &'l [T] {
    let length = rest.iter().position(|element| !belongs(element)).unwrap_or(rest.len());
    let (first, others) = rest.split_at(length);
    *rest = others;
    first
}

/// What the steps of each index change together, and to what, if they do. All steps are of one
/// location, in order.
fn together<L, T: Copy + PartialEq>(steps: &[Step<L, T>]) -> impl Iterator<Item = (BlockAccessIndex, T)> {
    steps.chunk_by(|step, next| step.at == next.at).filter_map(|steps| {
        let (first, last) = (steps.first()?, steps.last()?);
        (first.change.before != last.change.after).then_some((last.at, last.change.after))
    })
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
        let mut listing = Listing::default();
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
        let mut listing = Listing::default();
        let mut write = |at, key: u64, before: u64, after: u64| {
            listing.enter(BlockAccessIndex(at));
            let slot = (place(0), U256::from(key));
            listing.access(place(0));
            listing.slots.push(slot);
            listing.write(slot, Change { before: U256::from(before), after: U256::from(after) });
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
        let mut listing = Listing::default();
        [4, 0, 2, 2].into_iter().for_each(|number| listing.access(place(number)));
        let list = listing.into_list(address);
        let addresses: Vec<_> = list.iter().map(|account| account.address).collect();
        assert_eq!(addresses, [4, 2, 0].map(|number| address(place(number))));
        assert!(list.iter().all(AccountChanges::is_empty));
    }
}
