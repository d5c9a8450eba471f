//! What a block, or one of its transactions, did to the state under it.
//!
//! Plain data: every change says what stood there before, so that a store can check that the
//! changes fit and can give back the changes that undo them. A value that is written but equal to
//! what stood there is no change, and an account without a change is not listed.

use alloy_primitives::{
    Address, B256, U256,
    map::{AddressIndexMap, B256Map, U256Map},
};
use revm_state::Bytecode;

use crate::model::{
    account::Account,
    mismatch::{Location, Mismatch, Value},
};

/// What stood at a place before, and what stands there now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change<T> {
    /// What stood there.
    pub before: T,
    /// What stands there now.
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

/// Whether an account still lives the life that it had before the changes.
///
/// A storage slot belongs to a life. When an account is destroyed or created its life ends, and a
/// new life starts with empty storage, whatever the store still holds of the old one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Life {
    /// The slots that are not listed keep what they hold.
    #[default]
    Same,
    /// The slots that are not listed are empty.
    New,
}

/// What happened to one account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountChange {
    /// Balance, nonce and code hash; `None` where the account does not exist.
    pub account: Change<Option<Account>>,
    /// Whether its storage starts anew.
    pub life: Life,
    /// The slots that changed. In a new life every slot changes from zero.
    pub slots: U256Map<Change<U256>>,
}

impl AccountChange {
    /// Whether it changes anything.
    pub fn is_change(&self) -> bool {
        self.account.is_change() || self.life == Life::New || self.slots.values().any(Change::is_change)
    }

    /// This change and the one after it in one.
    fn then(mut self, later: &Self) -> Self {
        let [dies, is_dead] = [later, &self].map(|change| change.account.after.is_none());
        // Who is gone has lost its storage, whether the change says so or not.
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

    /// Says whether it changes anything, once all that happened is in it, and only slots that change.
    pub(crate) fn settle(&mut self) -> bool {
        // Who did not exist has no storage to lose: its life is new either way.
        if self.account.before.is_none() {
            self.life = Life::Same;
        }
        self.is_change()
    }
}

/// What happened to the accounts of a state, and the codes that came with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// By address, the accounts that changed. Their order means nothing.
    pub accounts: AddressIndexMap<AccountChange>,
    /// By hash, the codes that accounts got. Undoing changes leaves codes where they are: they are
    /// found by their content only.
    pub codes: B256Map<Bytecode>,
}

impl Changes {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }

    /// Lists an account, if anything about it changed. `code` is its code now, where it is at hand.
    pub(crate) fn add(&mut self, address: Address, mut change: AccountChange, code: Option<Bytecode>) {
        change.slots.retain(|_, slot| slot.is_change());
        if change.settle() {
            self.add_code(&change.account, code);
            self.accounts.insert(address, change);
        }
    }

    /// Lists the code that an account got, where it is at hand.
    pub(crate) fn add_code(&mut self, account: &Change<Option<Account>>, code: Option<Bytecode>) {
        if let (Some(hash), Some(code)) = (new_code_hash(account), code) {
            self.codes.insert(hash, code);
        }
    }

    /// Adds what happened after these changes, which `later` started from.
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

    /// The first place, in order of addresses and slots, where these changes and `other` leave
    /// different values, or start from different ones. `expected` in the answer is ours.
    ///
    /// For people and tests: equality tells whether, this tells where.
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

/// The code hash that an account got with a change, unless it had it before or has none.
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
