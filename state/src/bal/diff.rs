//! Where two access lists (EIP-7928) part.
//!
//! Says it the way somebody needs it who looks for the cause: the first thing that one of them says
//! and the other does not, in the order in which a block happens. What is only accessed has no place in
//! that order and comes last.

use std::{collections::BTreeMap, fmt};

use alloy_eip7928::{AccountChanges, BlockAccessIndex};
use alloy_primitives::{Address, Bytes, U256};

/// Something that two lists do not both say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListDifference {
    /// When it happens: 0 is before the transactions, transaction `i` is `i + 1`; nothing if it is only
    /// accessed.
    pub index: Option<BlockAccessIndex>,
    /// Of which account it is.
    pub address: Address,
    /// What of it.
    pub item: ListItem,
    /// What the first list says of it, if anything.
    pub declared: Option<ListValue>,
    /// What the second one does.
    pub actual: Option<ListValue>,
}

/// What a list may say something of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ListItem {
    /// The account is in the list.
    Account,
    /// Its balance changes.
    Balance,
    /// Its nonce changes.
    Nonce,
    /// Its code changes.
    Code,
    /// A slot changes.
    Slot(U256),
    /// A slot is accessed and does not change.
    Read(U256),
}

/// What a list says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListValue {
    /// That it is there.
    Accessed,
    /// The balance, the nonce, or what the slot holds, after that index.
    Number(U256),
    /// The code after that index.
    Code(Bytes),
}

/// When, who, and what. What is only accessed comes after all that happens.
type Key = (u64, Address, ListItem);
const ONLY_ACCESSED: u64 = u64::MAX;

/// Everything that `declared` and `actual` do not both say, in the order in which it happens.
pub fn list_differences(declared: &[AccountChanges], actual: &[AccountChanges]) -> Vec<ListDifference> {
    let (mut declared, actual) = (items(declared), items(actual));
    let mut list_differences = Vec::new();
    let mut part = |(index, address, item): Key, declared, actual| {
        let index = (index != ONLY_ACCESSED).then_some(BlockAccessIndex(index));
        list_differences.push(ListDifference { index, address, item, declared, actual });
    };
    for (key, actual) in actual {
        let declared = declared.remove(&key);
        if declared.as_ref() != Some(&actual) {
            part(key, declared, Some(actual));
        }
    }
    declared.into_iter().for_each(|(key, declared)| part(key, Some(declared), None));
    list_differences.sort_by_key(|parting| {
        (parting.index.map_or(ONLY_ACCESSED, |index| index.0), parting.address, parting.item)
    });
    list_differences
}

/// All that a list says.
fn items(list: &[AccountChanges]) -> BTreeMap<Key, ListValue> {
    let mut items = BTreeMap::new();
    for account in list {
        let address = account.address;
        let mut say = |index: u64, item, value| items.insert((index, address, item), value);
        say(ONLY_ACCESSED, ListItem::Account, ListValue::Accessed);
        for change in &account.balance_changes {
            let value = ListValue::Number(change.post_balance);
            say(change.block_access_index.0, ListItem::Balance, value);
        }
        for change in &account.nonce_changes {
            let value = ListValue::Number(U256::from(change.new_nonce));
            say(change.block_access_index.0, ListItem::Nonce, value);
        }
        for change in &account.code_changes {
            let value = ListValue::Code(change.new_code.clone());
            say(change.block_access_index.0, ListItem::Code, value);
        }
        for slot in &account.storage_changes {
            for change in &slot.changes {
                let value = ListValue::Number(change.new_value);
                say(change.block_access_index.0, ListItem::Slot(slot.slot), value);
            }
        }
        for key in &account.storage_reads {
            say(ONLY_ACCESSED, ListItem::Read(*key), ListValue::Accessed);
        }
    }
    items
}

impl fmt::Display for ListDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { index, address, item, declared, actual } = self;
        match index {
            Some(index) => write!(f, "index {index}, ")?,
            None => write!(f, "at no index, ")?,
        }
        write!(f, "account {address}, {item}: ")?;
        let said = |value: &Option<ListValue>| {
            value.as_ref().map_or_else(|| "nothing".to_owned(), ListValue::to_string)
        };
        write!(f, "{} is declared, {} is so", said(declared), said(actual))
    }
}

impl fmt::Display for ListItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account => f.write_str("the account itself"),
            Self::Balance => f.write_str("balance"),
            Self::Nonce => f.write_str("nonce"),
            Self::Code => f.write_str("code"),
            Self::Slot(key) => write!(f, "slot {key:#x}"),
            Self::Read(key) => write!(f, "slot {key:#x}, unchanged"),
        }
    }
}

/// How many bytes of a code are shown.
const SHOWN: usize = 32;

impl fmt::Display for ListValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accessed => f.write_str("an access"),
            Self::Number(number) => write!(f, "{number:#x}"),
            Self::Code(code) if code.len() <= SHOWN => write!(f, "code {code}"),
            Self::Code(code) => write!(f, "{} bytes of code, {}...", code.len(), code.slice(..SHOWN)),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloy_eip7928::{BalanceChange, SlotChanges, StorageChange};

    use super::*;

    fn account(number: u8) -> AccountChanges {
        AccountChanges::new(Address::with_last_byte(number))
    }

    fn paid(number: u8, index: u64, balance: u64) -> AccountChanges {
        let change = BalanceChange::new(BlockAccessIndex(index), U256::from(balance));
        AccountChanges { balance_changes: vec![change], ..account(number) }
    }

    fn wrote(number: u8, key: u64, index: u64, value: u64) -> AccountChanges {
        let change = StorageChange::new(BlockAccessIndex(index), U256::from(value));
        let slot = SlotChanges::new(U256::from(key), vec![change]);
        AccountChanges { storage_changes: vec![slot], ..account(number) }
    }

    #[test]
    fn equal_lists_do_not_part() {
        let list = [paid(1, 1, 5), wrote(2, 1, 2, 3)];
        assert_eq!(list_differences(&list, &list), []);
    }

    #[test]
    fn lists_part_where_something_happens_first_that_only_one_says_or_both_differently() {
        let declared = [paid(1, 2, 5), wrote(2, 1, 1, 3), account(9)];
        let actual = [paid(1, 2, 6), wrote(2, 1, 3, 3)];
        let told: Vec<_> = list_differences(&declared, &actual).iter().map(ListDifference::to_string).collect();
        let at = |text: &str, number| text.replace('@', &Address::with_last_byte(number).to_string());
        assert_eq!(
            told,
            [
                at("index 1, account @, slot 0x1: 0x3 is declared, nothing is so", 2),
                at("index 2, account @, balance: 0x5 is declared, 0x6 is so", 1),
                at("index 3, account @, slot 0x1: nothing is declared, 0x3 is so", 2),
                at("at no index, account @, the account itself: an access is declared, nothing is so", 9),
            ]
        );
    }

    #[test]
    fn what_one_list_says_is_written_and_the_other_is_read_is_told_twice() {
        let read = AccountChanges { storage_reads: vec![U256::from(1)], ..account(2) };
        let items: Vec<_> =
            list_differences(&[read], &[wrote(2, 1, 1, 3)]).into_iter().map(|parting| parting.item).collect();
        assert_eq!(items, [ListItem::Slot(U256::from(1)), ListItem::Read(U256::from(1))]);
    }
}
