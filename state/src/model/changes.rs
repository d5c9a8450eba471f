//! The changes of a block, or of one of its transactions, to the state before it.
//!
//! Plain data: every change holds the value before it, so that a store can check that the changes fit
//! and can return the changes that undo them. A write of an equal value is no change, and an account
//! without a change is not listed.

use alloy_primitives::{
    Address, B256, U256,
    map::{AddressIndexMap, B256Map, U256Map},
};
use revm_state::Bytecode;

use crate::model::{
    account::Account,
    mismatch::{Location, Mismatch, Value},
};

/// The value of a location before and after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Change<T> {
    /// The value before.
    pub before: T,
    /// The value after.
    pub after: T,
}

impl<T> Change<T> {
    /// The change that undoes this one.
    #[must_use]
    pub fn inverse(self) -> Self {
        Self { before: self.after, after: self.before }
    }
}

impl<T: PartialEq> Change<T> {
    /// Whether it changes anything.
    pub fn is_change(&self) -> bool {
        self.before != self.after
    }
}

/// Whether an account still has the life that it had before the changes.
///
/// A storage slot belongs to a life. When an account is destroyed or created, its life ends. A new life
/// starts with empty storage, whatever the store still holds of the old one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Life {
    /// Slots that are not listed keep their values.
    #[default]
    Same,
    /// Slots that are not listed are empty.
    New,
}

/// The change of one account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct AccountChange {
    /// Balance, nonce and code hash; `None` if the account does not exist.
    pub account: Change<Option<Account>>,
    /// Whether its storage starts empty.
    pub life: Life,
    /// The slots that changed. In a new life every slot changes from zero.
    pub slots: U256Map<Change<U256>>,
}

impl AccountChange {
    /// Whether it changes anything.
    pub fn is_change(&self) -> bool {
        self.account.is_change() || self.life == Life::New || self.slots.values().any(Change::is_change)
    }

    /// This change and a later one, combined.
    fn then(mut self, later: &Self) -> Self {
        let [dies, is_dead] = [later, &self].map(|change| change.account.after.is_none());
        // An account that is gone has lost its storage, whether the change says so or not.
        if dies || is_dead || later.life == Life::New {
            self.life = Life::New;
            self.slots.clear();
        }
        self.account.after = later.account.after;
        for (key, slot) in later.slots.iter().filter(|_| !dies) {
            self.slots.entry(*key).or_insert(*slot).after = slot.after;
        }
        self
    }

    /// Normalizes the life of a complete change without idle slots; returns whether it changes anything.
    pub(crate) fn settle(&mut self) -> bool {
        // An account that did not exist has no storage to lose: its life is new either way.
        if self.account.before.is_none() {
            self.life = Life::Same;
        }
        self.is_change()
    }
}

/// The changes of the accounts of a state, and their new codes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Changes {
    /// The accounts that changed, by address, in no particular order.
    pub accounts: AddressIndexMap<AccountChange>,
    /// The new codes of accounts, by hash. Reverting the changes leaves the codes in the store, which
    /// finds them by their hash only.
    pub codes: B256Map<Bytecode>,
}

impl Changes {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }

    /// Adds an account, if it changed. `code` is its code now, if that is loaded.
    pub(crate) fn add(&mut self, address: Address, mut change: AccountChange, code: Option<&Bytecode>) {
        change.slots.retain(|_, slot| slot.is_change());
        if change.settle() {
            self.add_code(&change.account, code);
            self.accounts.insert(address, change);
        }
    }

    /// Adds the new code of an account, if that is loaded.
    pub(crate) fn add_code(&mut self, account: &Change<Option<Account>>, code: Option<&Bytecode>) {
        if let (Some(hash), Some(code)) = (new_code_hash(account), code) {
            self.codes.insert(hash, code.clone());
        }
    }

    /// Adds later changes, which start from the state after these.
    pub fn add_later(&mut self, later: &Self) {
        self.codes.extend(later.codes.iter().map(|(hash, code)| (*hash, code.clone())));
        for (address, change) in &later.accounts {
            let mut both = match self.accounts.swap_remove(address) {
                Some(earlier) => earlier.then(change),
                None => change.clone(),
            };
            both.slots.retain(|_, slot| slot.is_change());
            if both.settle() {
                self.accounts.insert(*address, both);
            }
        }
    }

    /// The first location, in order of addresses and slots, in which these changes and `other` start from
    /// different values or leave different ones. `expected` in the result is the value of `self`.
    ///
    /// For reports and tests; compare with `==` to learn whether they differ.
    pub fn first_difference(&self, other: &Self) -> Option<Mismatch> {
        let mut addresses: Vec<_> = self.accounts.keys().chain(other.accounts.keys()).copied().collect();
        addresses.sort_unstable();
        addresses.dedup();
        let none = AccountChange::default();
        addresses.into_iter().find_map(|address| {
            let ours = self.accounts.get(&address).unwrap_or(&none);
            let theirs = other.accounts.get(&address).unwrap_or(&none);
            account_difference(address, ours.account.before, theirs.account.before)
                .or_else(|| account_difference(address, ours.account.after, theirs.account.after))
                .or_else(|| slot_difference(address, ours, theirs))
        })
    }
}

/// The first of balance, nonce and code in which two accounts differ.
pub(crate) fn account_difference(
    address: Address,
    expected: Option<Account>,
    found: Option<Account>,
) -> Option<Mismatch> {
    type Field = (fn(Address) -> Location, fn(Account) -> Value);
    let fields: [Field; 3] = [
        (Location::Balance, |account| Value::Word(account.balance)),
        (Location::Nonce, |account| Value::Count(account.nonce)),
        (Location::Code, |account| Value::Hash(account.code_hash)),
    ];
    fields.into_iter().find_map(|(location, value)| {
        let expected = expected.map_or(Value::Absent, value);
        let found = found.map_or(Value::Absent, value);
        (expected != found).then(|| Mismatch { location: location(address), expected, found })
    })
}

fn slot_difference(address: Address, ours: &AccountChange, theirs: &AccountChange) -> Option<Mismatch> {
    let mut keys: Vec<_> = ours.slots.keys().chain(theirs.slots.keys()).copied().collect();
    keys.sort_unstable();
    keys.dedup();
    keys.into_iter().find_map(|key| {
        let ours = ours.slots.get(&key).copied().unwrap_or_default();
        let theirs = theirs.slots.get(&key).copied().unwrap_or_default();
        [(ours.before, theirs.before), (ours.after, theirs.after)].into_iter().find_map(
            |(expected, found)| (expected != found).then(|| Mismatch::of_slot(address, key, expected, found)),
        )
    })
}

/// The code hash of an account after a change, if it is new and not that of empty code.
fn new_code_hash(change: &Change<Option<Account>>) -> Option<B256> {
    let after = change.after.filter(Account::has_code)?.code_hash;
    (change.before.map(|before| before.code_hash) != Some(after)).then_some(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn balance(before: u64, after: u64) -> AccountChange {
        let account = |wei| Some(Account { balance: U256::from(wei), ..Account::EMPTY });
        AccountChange {
            account: Change { before: account(before), after: account(after) },
            ..AccountChange::default()
        }
    }

    #[test]
    fn equal_values_are_no_change() {
        assert!(!balance(5, 5).is_change());
        assert!(balance(5, 6).is_change());
        assert!(!Changes::default().accounts.values().any(AccountChange::is_change));
    }

    #[test]
    fn the_first_difference_is_the_lowest_address() {
        let address = Address::with_last_byte;
        let changes = |high| Changes {
            accounts: [(address(2), balance(1, high)), (address(1), balance(1, high + 1))]
                .into_iter()
                .collect(),
            ..Changes::default()
        };
        assert_eq!(changes(2).first_difference(&changes(2)), None);
        let difference = changes(2).first_difference(&changes(3)).unwrap();
        assert_eq!(difference.location, Location::Balance(address(1)));
        assert_eq!(difference.expected, Value::Word(U256::from(3)));
        assert_eq!(difference.found, Value::Word(U256::from(4)));
    }
}
