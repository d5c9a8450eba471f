//! The differences of two block-level access lists (EIP-7928), to find why a block's list is wrong.
//!
//! Differences come in the order in which a block executes, so that the cause is the first one. Mere
//! accesses have no access index and come last.

use std::{collections::BTreeMap, fmt};

use alloy_eip7928::{AccountChanges, BlockAccessIndex};
use alloy_primitives::{Address, Bytes, U256};

/// An item in which two access lists differ.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ListDifference {
    /// The access index of the change: 0 is before the transactions, `i + 1` is transaction `i`. `None` for a
    /// mere access.
    pub index: Option<BlockAccessIndex>,
    /// The account.
    pub address: Address,
    /// The item of the account.
    pub item: ListItem,
    /// The value in the declared list, if it has the item.
    pub declared: Option<ListValue>,
    /// The value in the actual list, if it has the item.
    pub actual: Option<ListValue>,
}

/// An item of an access list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum ListItem {
    /// The account is listed.
    Account,
    /// Its balance changes.
    Balance,
    /// Its nonce changes.
    Nonce,
    /// Its code changes.
    Code,
    /// A slot changes.
    Slot(U256),
    /// A slot is accessed but does not change.
    Read(U256),
}

/// The value that a list has for an item.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum ListValue {
    /// The item is listed, and has no value.
    Accessed,
    /// The balance, nonce or slot value after the access index.
    Number(U256),
    /// The code after the access index.
    Code(Bytes),
}

/// Access index, account and item. Mere accesses come after all changes.
type ItemKey = (u64, Address, ListItem);
const ONLY_ACCESSED: u64 = u64::MAX;

/// All differences of the two lists, in the order in which the block executes.
pub fn list_differences(declared: &[AccountChanges], actual: &[AccountChanges]) -> Vec<ListDifference> {
    let (mut declared, actual) = (items(declared), items(actual));
    let mut differences = Vec::new();
    let mut add = |(index, address, item): ItemKey, declared, actual| {
        let index = (index != ONLY_ACCESSED).then_some(BlockAccessIndex(index));
        differences.push(ListDifference { index, address, item, declared, actual });
    };
    for (key, actual) in actual {
        let declared = declared.remove(&key);
        if declared.as_ref() != Some(&actual) {
            add(key, declared, Some(actual));
        }
    }
    declared.into_iter().for_each(|(key, declared)| add(key, Some(declared), None));
    differences.sort_by_key(|difference| {
        (difference.index.map_or(ONLY_ACCESSED, |index| index.0), difference.address, difference.item)
    });
    differences
}

/// All items of a list.
fn items(list: &[AccountChanges]) -> BTreeMap<ItemKey, ListValue> {
    let mut items = BTreeMap::new();
    for account in list {
        let address = account.address;
        let mut add = |index: u64, item, value| items.insert((index, address, item), value);
        add(ONLY_ACCESSED, ListItem::Account, ListValue::Accessed);
        for change in &account.balance_changes {
            let value = ListValue::Number(change.post_balance);
            add(change.block_access_index.0, ListItem::Balance, value);
        }
        for change in &account.nonce_changes {
            let value = ListValue::Number(U256::from(change.new_nonce));
            add(change.block_access_index.0, ListItem::Nonce, value);
        }
        for change in &account.code_changes {
            let value = ListValue::Code(change.new_code.clone());
            add(change.block_access_index.0, ListItem::Code, value);
        }
        for slot in &account.storage_changes {
            for change in &slot.changes {
                let value = ListValue::Number(change.new_value);
                add(change.block_access_index.0, ListItem::Slot(slot.slot), value);
            }
        }
        for key in &account.storage_reads {
            add(ONLY_ACCESSED, ListItem::Read(*key), ListValue::Accessed);
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
        let text = |value: &Option<ListValue>| {
            value.as_ref().map_or_else(|| "nothing".to_owned(), ListValue::to_string)
        };
        write!(f, "declared {}, actual {}", text(declared), text(actual))
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

/// How many bytes of a code are printed.
const PRINTED_CODE_BYTES: usize = 32;

impl fmt::Display for ListValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accessed => f.write_str("an access"),
            Self::Number(number) => write!(f, "{number:#x}"),
            Self::Code(code) if code.len() <= PRINTED_CODE_BYTES => write!(f, "code {code}"),
            Self::Code(code) => {
                write!(f, "{} bytes of code, {}...", code.len(), code.slice(..PRINTED_CODE_BYTES))
            }
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
    fn equal_lists_have_no_differences() {
        let list = [paid(1, 1, 5), wrote(2, 1, 2, 3)];
        assert_eq!(list_differences(&list, &list), []);
    }

    #[test]
    fn differences_come_in_the_order_of_execution_and_accesses_last() {
        let declared = [paid(1, 2, 5), wrote(2, 1, 1, 3), account(9)];
        let actual = [paid(1, 2, 6), wrote(2, 1, 3, 3)];
        let texts: Vec<_> =
            list_differences(&declared, &actual).iter().map(ListDifference::to_string).collect();
        let at = |text: &str, number| text.replace('@', &Address::with_last_byte(number).to_string());
        assert_eq!(
            texts,
            [
                at("index 1, account @, slot 0x1: declared 0x3, actual nothing", 2),
                at("index 2, account @, balance: declared 0x5, actual 0x6", 1),
                at("index 3, account @, slot 0x1: declared nothing, actual 0x3", 2),
                at("at no index, account @, the account itself: declared an access, actual nothing", 9),
            ]
        );
    }

    #[test]
    fn a_slot_that_is_written_in_one_list_and_read_in_the_other_is_two_differences() {
        let read = AccountChanges { storage_reads: vec![U256::from(1)], ..account(2) };
        let items: Vec<_> = list_differences(&[read], &[wrote(2, 1, 1, 3)])
            .into_iter()
            .map(|difference| difference.item)
            .collect();
        assert_eq!(items, [ListItem::Slot(U256::from(1)), ListItem::Read(U256::from(1))]);
    }

    #[test]
    fn only_the_first_bytes_of_a_long_code_are_printed() {
        let text = |bytes| ListValue::Code(vec![0xab; bytes].into()).to_string();
        let first = "ab".repeat(PRINTED_CODE_BYTES);
        assert_eq!(text(PRINTED_CODE_BYTES), format!("code 0x{first}"));
        assert_eq!(text(PRINTED_CODE_BYTES + 1), format!("33 bytes of code, 0x{first}..."));
    }
}
