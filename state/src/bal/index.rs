//! The access-list index: finds what a block's access list (EIP-7928) predicts of accounts and slots.
//!
//! Owns a list, trusted or not. Returns what an account or a slot holds just before a transaction, if the
//! list has a change before it. The values are predictions: a wrong one costs a run, never an outcome.

use std::sync::OnceLock;

use alloy_eip7928::{
    AccountChanges, BalanceChange, BlockAccessIndex, BlockAccessList, BlockAccessListValidationError,
    CodeChange, NonceChange, SlotChanges, StorageChange, validate_block_access_list,
};
use alloy_primitives::{Address, B256, U256, map::AddressMap};
use revm_state::{AccountInfo, Bytecode};

use crate::model::index::{AccessIndex, ListAccountId, TxIndex};

/// A block's access list with an index of its accounts.
#[derive(Debug)]
pub struct AccessListIndex {
    list: BlockAccessList,
    ids: AddressMap<ListAccountId>,
    /// The codes of each account, in the order of its code changes, decoded when they are first read.
    codes: Vec<DecodedCodes>,
    delegations: Delegations,
}

/// The codes of one account and their hashes.
type DecodedCodes = Box<[OnceLock<(B256, Bytecode)>]>;

/// Whether the fork knows delegations (EIP-7702).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Delegations {
    /// A code with the form of a delegation is one.
    Known,
    /// Such bytes are ordinary instructions, which some forks allow to deploy.
    Unknown,
}

/// A change with an access index.
trait IndexedItem {
    fn access_index(&self) -> BlockAccessIndex;
}

macro_rules! indexed_items {
    ($($change:ty),*) => {
        $(impl IndexedItem for $change {
            fn access_index(&self) -> BlockAccessIndex {
                self.block_access_index
            }
        })*
    };
}

indexed_items!(BalanceChange, NonceChange, CodeChange, StorageChange);

impl AccessListIndex {
    /// An index of the list of a block with `transactions` transactions.
    ///
    /// # Errors
    ///
    /// If the list is not sorted, has duplicates, or has an access index that the block does not have.
    pub fn new(
        list: BlockAccessList,
        transactions: usize,
        delegations: Delegations,
    ) -> Result<Self, BlockAccessListValidationError> {
        validate_block_access_list(&list, transactions)?;
        let ids =
            list.iter().enumerate().map(|(number, account)| (account.address, ListAccountId::new(number)));
        let codes = list.iter().map(|account| account.code_changes.iter().map(|_| OnceLock::new()).collect());
        Ok(Self { ids: ids.collect(), codes: codes.collect(), list, delegations })
    }

    /// The list.
    pub fn list(&self) -> &BlockAccessList {
        &self.list
    }

    /// The id of an account, if it is in the list.
    #[inline]
    pub(crate) fn find(&self, address: &Address) -> Option<ListAccountId> {
        self.ids.get(address).copied()
    }

    /// Turns an account of the base into what it is just before `reader`.
    pub(crate) fn apply(&self, id: ListAccountId, reader: TxIndex, info: &mut Option<AccountInfo>) {
        let account = self.account(id);
        let balance = latest(&account.balance_changes, reader);
        let nonce = latest(&account.nonce_changes, reader);
        let code = position(&account.code_changes, reader);
        if balance.is_none() && nonce.is_none() && code.is_none() {
            return;
        }
        let now = info.get_or_insert_default();
        if let Some(change) = balance {
            now.balance = change.post_balance;
        }
        if let Some(change) = nonce {
            now.nonce = change.new_nonce;
        }
        if let Some(position) = code {
            let known = &self.codes[id.get()][position];
            let (hash, code) = known.get_or_init(|| self.decode(&account.code_changes[position]));
            (now.code_hash, now.code) = (*hash, Some(code.clone()));
        }
        // An empty account does not exist (EIP-161).
        if now.is_empty() {
            *info = None;
        }
    }

    /// The value of a slot just before `reader`, if the list has a change of it before `reader`.
    pub(crate) fn slot(&self, id: ListAccountId, key: U256, reader: TxIndex) -> Option<U256> {
        let account = self.account(id);
        let end = last_end(account, reader);
        let changes = account.storage_changes.binary_search_by_key(&key, |slot: &SlotChanges| slot.slot).ok();
        let change = changes.and_then(|found| latest(&account.storage_changes[found].changes, reader));
        match (change, end) {
            (Some(change), end) if end.is_none_or(|end| end <= change.access_index()) => {
                Some(change.new_value)
            }
            (_, end) => end.map(|_| U256::ZERO),
        }
    }

    /// A code in revm's form. A malformed delegation cannot exist in a state. It becomes empty code, so that
    /// a run that reads it is found stale.
    fn decode(&self, change: &CodeChange) -> (B256, Bytecode) {
        let bytes = change.new_code.clone();
        let code = match self.delegations {
            Delegations::Known => Bytecode::new_raw_checked(bytes).unwrap_or_default(),
            Delegations::Unknown => Bytecode::new_legacy(bytes),
        };
        (code.hash_slow(), code)
    }

    fn account(&self, id: ListAccountId) -> &AccountChanges {
        &self.list[id.get()]
    }
}

/// The position of the last change before `reader`.
#[inline]
fn position<C: IndexedItem>(changes: &[C], reader: TxIndex) -> Option<usize> {
    let reader = BlockAccessIndex(AccessIndex::from(reader).get().into());
    changes.partition_point(|change| change.access_index() < reader).checked_sub(1)
}

#[inline]
fn latest<C: IndexedItem>(changes: &[C], reader: TxIndex) -> Option<&C> {
    position(changes, reader).map(|position| &changes[position])
}

/// The last access index before `reader` at which the account's life ended: its slots were empty then.
///
/// A nonce drops to zero only when the account is destroyed. Code is lost then as well, but also when a
/// delegation (EIP-7702) is cleared, which increments the nonce.
fn last_end(account: &AccountChanges, reader: TxIndex) -> Option<BlockAccessIndex> {
    let nonces = &account.nonce_changes;
    let lost_nonce = nonces[..position(nonces, reader).map_or(0, |last| last + 1)]
        .iter()
        .rev()
        .find(|change| change.new_nonce == 0)
        .map(IndexedItem::access_index);
    let codes = &account.code_changes;
    let has_nonce = |index| nonces.binary_search_by_key(&index, IndexedItem::access_index).is_ok();
    let lost_code = codes[..position(codes, reader).map_or(0, |last| last + 1)]
        .iter()
        .rev()
        .find(|change| change.new_code.is_empty() && !has_nonce(change.access_index()))
        .map(IndexedItem::access_index);
    lost_nonce.max(lost_code)
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{KECCAK256_EMPTY, bytes};

    use super::*;

    const ACCOUNT: Address = Address::with_last_byte(1);

    fn at(index: u64) -> BlockAccessIndex {
        BlockAccessIndex(index)
    }

    fn word(value: u64) -> U256 {
        U256::from(value)
    }

    fn before(transaction: usize) -> TxIndex {
        TxIndex::new(transaction)
    }

    /// A contract that is called at index 1, destroyed at 3 and created again at 5, in a block of six.
    fn contract() -> AccountChanges {
        let code = |index, new_code| CodeChange { block_access_index: at(index), new_code };
        let slot = |key, changes: &[(u64, u64)]| SlotChanges {
            slot: word(key),
            changes: changes
                .iter()
                .map(|(index, value)| StorageChange {
                    block_access_index: at(*index),
                    new_value: word(*value),
                })
                .collect(),
        };
        AccountChanges {
            address: ACCOUNT,
            storage_changes: vec![slot(1, &[(1, 11), (5, 15)]), slot(2, &[(1, 21)])],
            storage_reads: vec![word(3)],
            balance_changes: vec![
                BalanceChange { block_access_index: at(1), post_balance: word(7) },
                BalanceChange { block_access_index: at(3), post_balance: word(0) },
            ],
            nonce_changes: vec![
                NonceChange { block_access_index: at(3), new_nonce: 0 },
                NonceChange { block_access_index: at(5), new_nonce: 1 },
            ],
            code_changes: vec![code(3, bytes!("")), code(5, bytes!("5b00"))],
        }
    }

    fn index_of(account: AccountChanges) -> (AccessListIndex, ListAccountId) {
        let index = AccessListIndex::new(vec![account], 6, Delegations::Known).unwrap();
        let id = index.find(&ACCOUNT).unwrap();
        (index, id)
    }

    #[test]
    fn a_reader_sees_the_last_change_before_it_or_the_base() {
        let (index, id) = index_of(contract());
        let read = |reader| {
            let mut info = Some(AccountInfo { nonce: 9, ..AccountInfo::from_balance(word(3)) });
            index.apply(id, before(reader), &mut info);
            info.map(|info| (info.balance, info.nonce, info.code_hash != KECCAK256_EMPTY))
        };
        // Transaction `i` is at index `i + 1` of the list.
        assert_eq!(read(0), Some((word(3), 9, false)), "no change yet");
        assert_eq!(read(1), Some((word(7), 9, false)));
        assert_eq!(read(2), Some((word(7), 9, false)), "its own change is invisible");
        assert_eq!([read(3), read(4)], [None; 2], "destroyed");
        assert_eq!(read(5), Some((word(0), 1, true)));
        assert_eq!(index.find(&Address::ZERO), None);
    }

    #[test]
    fn a_slot_holds_the_last_write_in_the_current_life_of_the_account() {
        let (index, id) = index_of(contract());
        let read = |key, reader| index.slot(id, word(key), before(reader));
        assert_eq!([0, 1, 2].map(|reader| read(1, reader)), [None, Some(word(11)), Some(word(11))]);
        assert_eq!([3, 4, 5].map(|reader| read(1, reader)), [word(0), word(0), word(15)].map(Some));
        assert_eq!([1, 3, 5].map(|reader| read(2, reader)), [word(21), word(0), word(0)].map(Some));
        assert_eq!([1, 3].map(|reader| read(3, reader)), [None, Some(word(0))]);
    }

    #[test]
    fn an_account_that_clears_its_delegation_keeps_its_slots() {
        let cleared = CodeChange { block_access_index: at(2), new_code: bytes!("") };
        let incremented = NonceChange { block_access_index: at(2), new_nonce: 4 };
        let (index, id) = index_of(AccountChanges {
            nonce_changes: vec![incremented],
            code_changes: vec![cleared],
            ..AccountChanges::new(ACCOUNT)
        });
        assert_eq!(index.slot(id, word(1), before(5)), None);
    }

    #[test]
    fn a_code_delegates_only_if_the_fork_knows_delegations() {
        let code = [&[0xef, 1, 0][..], &[7; 20]].concat();
        let deployed = CodeChange { block_access_index: at(1), new_code: code.into() };
        let account = AccountChanges { code_changes: vec![deployed], ..AccountChanges::new(ACCOUNT) };
        for (delegations, delegates) in [(Delegations::Known, true), (Delegations::Unknown, false)] {
            let index = AccessListIndex::new(vec![account.clone()], 6, delegations).unwrap();
            let mut info = None;
            index.apply(index.find(&ACCOUNT).unwrap(), before(3), &mut info);
            assert_eq!(info.unwrap().code.unwrap().is_eip7702(), delegates);
        }
    }

    #[test]
    fn an_unsorted_list_or_one_with_a_wrong_index_is_rejected() {
        let twice = vec![AccountChanges::new(ACCOUNT), AccountChanges::new(ACCOUNT)];
        let new = |list, transactions| AccessListIndex::new(list, transactions, Delegations::Known);
        assert!(new(twice, 6).is_err());
        assert!(new(vec![contract()], 3).is_err());
        assert!(new(vec![contract()], 4).is_ok(), "index 5 is after the transactions");
    }

    #[test]
    fn an_account_that_loses_its_code_without_a_change_of_its_nonce_loses_its_slots() {
        let lost = CodeChange { block_access_index: at(2), new_code: bytes!("") };
        let (index, id) =
            index_of(AccountChanges { code_changes: vec![lost], ..AccountChanges::new(ACCOUNT) });
        let read = |reader| index.slot(id, word(1), before(reader));
        assert_eq!([1, 2, 5].map(read), [None, Some(word(0)), Some(word(0))]);
    }
}
