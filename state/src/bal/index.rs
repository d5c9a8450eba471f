//! What somebody says beforehand that the transactions of a block write: predictions with their values.
//!
//! Owns an access list (EIP-7928), wherever it comes from, and finds things in it. Says what an account
//! or a slot is just before a transaction, as far as anything before it in the block changes it.
//! Nothing here is ever believed: what is wrong costs a run, never an outcome.

use std::sync::OnceLock;

use alloy_eip7928::{
    AccountChanges, BalanceChange, BlockAccessIndex, BlockAccessList, BlockAccessListValidationError,
    CodeChange, NonceChange, SlotChanges, StorageChange, validate_block_access_list,
};
use alloy_primitives::{Address, B256, U256, map::AddressMap};
use revm_state::{AccountInfo, Bytecode};

use crate::model::index::{AccessIndex, TxIndex};

/// An access list in which accounts and slots are found fast.
#[derive(Debug)]
pub struct AccessListIndex {
    list: BlockAccessList,
    places: AddressMap<ListAccountId>,
    /// For each account that gets code, in the order of the list: its codes, once they are needed.
    codes: Vec<Codes>,
    delegations: Delegations,
}

/// Whether a code may be one that delegates to another account (EIP-7702).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delegations {
    /// It is, if it looks like one.
    Known,
    /// No: such bytes are instructions like any others, under forks in which they may be deployed.
    Unknown,
}

/// Where an account is in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ListAccountId {
    place: u32,
    /// Where its codes are.
    codes: Option<u32>,
}

/// The codes that an account gets, in order, and their hashes.
type Codes = Box<[OnceLock<(B256, Bytecode)>]>;

/// A change of which the list says when it happens.
trait Dated {
    fn date(&self) -> BlockAccessIndex;
}

macro_rules! dated {
    ($($change:ty),*) => {
        $(impl Dated for $change {
            fn date(&self) -> BlockAccessIndex {
                self.block_access_index
            }
        })*
    };
}

dated!(BalanceChange, NonceChange, CodeChange, StorageChange);

impl AccessListIndex {
    /// An index of `list`, which is to be that of a block with so many transactions under a fork that
    /// knows delegations or does not.
    ///
    /// # Errors
    ///
    /// If the list is not in order, says something twice, or speaks of what the block does not have.
    pub fn new(
        list: BlockAccessList,
        transactions: usize,
        delegations: Delegations,
    ) -> Result<Self, BlockAccessListValidationError> {
        validate_block_access_list(&list, transactions)?;
        let (mut places, mut codes) = (AddressMap::default(), Vec::new());
        places.reserve(list.len());
        for (place, account) in (0..).zip(&list) {
            let mut id = ListAccountId { place, codes: None };
            if !account.code_changes.is_empty() {
                id.codes = Some(codes.len() as u32);
                codes.push(account.code_changes.iter().map(|_| OnceLock::new()).collect());
            }
            places.insert(account.address, id);
        }
        Ok(Self { list, places, codes, delegations })
    }

    /// The list.
    pub fn list(&self) -> &BlockAccessList {
        &self.list
    }

    /// Where an account is, if it is in the list.
    #[inline]
    pub(crate) fn find(&self, address: &Address) -> Option<ListAccountId> {
        self.places.get(address).copied()
    }

    /// Makes of an account as the base has it what it is just before `reader`.
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
        if let (Some(position), Some(codes)) = (code, id.codes) {
            let known = &self.codes[codes as usize][position];
            let (hash, code) = known.get_or_init(|| self.code_of(&account.code_changes[position]));
            (now.code_hash, now.code) = (*hash, Some(code.clone()));
        }
        // Who is left with nothing is no more (EIP-161).
        if now.is_empty() {
            *info = None;
        }
    }

    /// What a slot holds just before `reader`, if something before it in the block changed that.
    pub(crate) fn slot(&self, id: ListAccountId, key: U256, reader: TxIndex) -> Option<U256> {
        let account = self.account(id);
        let end = last_end(account, reader);
        let changes = account.storage_changes.binary_search_by_key(&key, |slot: &SlotChanges| slot.slot).ok();
        let change = changes.and_then(|place| latest(&account.storage_changes[place].changes, reader));
        match (change, end) {
            (Some(change), end) if end.is_none_or(|end| end <= change.date()) => Some(change.new_value),
            (_, end) => end.map(|_| U256::ZERO),
        }
    }

    /// A code as revm has it. One that delegates and is malformed cannot come about: it is an empty one
    /// here, so that whoever runs it is found stale.
    fn code_of(&self, change: &CodeChange) -> (B256, Bytecode) {
        let bytes = change.new_code.clone();
        let code = match self.delegations {
            Delegations::Known => Bytecode::new_raw_checked(bytes).unwrap_or_default(),
            Delegations::Unknown => Bytecode::new_legacy(bytes),
        };
        (code.hash_slow(), code)
    }

    fn account(&self, id: ListAccountId) -> &AccountChanges {
        &self.list[id.place as usize]
    }
}

/// Where the last change before `reader` is, if there is one.
#[inline]
fn position<C: Dated>(changes: &[C], reader: TxIndex) -> Option<usize> {
    let reader = BlockAccessIndex(AccessIndex::from(reader).get().into());
    changes.partition_point(|change| change.date() < reader).checked_sub(1)
}

#[inline]
fn latest<C: Dated>(changes: &[C], reader: TxIndex) -> Option<&C> {
    position(changes, reader).map(|position| &changes[position])
}

/// When the account's life ended last before `reader`: its slots were empty then. Only who is no more
/// loses its nonce; and whoever stops delegating (EIP-7702) counts that.
fn last_end(account: &AccountChanges, reader: TxIndex) -> Option<BlockAccessIndex> {
    let nonces = &account.nonce_changes;
    let lost_nonce = nonces[..position(nonces, reader).map_or(0, |last| last + 1)]
        .iter()
        .rev()
        .find(|change| change.new_nonce == 0)
        .map(Dated::date);
    let codes = &account.code_changes;
    let has_nonce = |date| nonces.binary_search_by_key(&date, Dated::date).is_ok();
    let lost_code = codes[..position(codes, reader).map_or(0, |last| last + 1)]
        .iter()
        .rev()
        .find(|change| change.new_code.is_empty() && !has_nonce(change.date()))
        .map(Dated::date);
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

    /// A contract that is called at 1, destroyed at 3 and made anew at 5, in a block of six.
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

    fn foresight(account: AccountChanges) -> (AccessListIndex, ListAccountId) {
        let foresight = AccessListIndex::new(vec![account], 6, Delegations::Known).unwrap();
        let id = foresight.find(&ACCOUNT).unwrap();
        (foresight, id)
    }

    #[test]
    fn a_reader_sees_the_last_change_before_it_or_the_base() {
        let (foresight, id) = foresight(contract());
        let seen = |reader| {
            let mut info = Some(AccountInfo { nonce: 9, ..AccountInfo::from_balance(word(3)) });
            foresight.apply(id, before(reader), &mut info);
            info.map(|info| (info.balance, info.nonce, info.code_hash != KECCAK256_EMPTY))
        };
        // Transaction `i` is at index `i + 1` of the list.
        assert_eq!(seen(0), Some((word(3), 9, false)), "nothing happened");
        assert_eq!(seen(1), Some((word(7), 9, false)));
        assert_eq!(seen(2), Some((word(7), 9, false)), "it does not see its own");
        assert_eq!([seen(3), seen(4)], [None; 2], "it is no more");
        assert_eq!(seen(5), Some((word(0), 1, true)));
        assert_eq!(foresight.find(&Address::ZERO), None);
    }

    #[test]
    fn a_slot_is_what_was_written_there_last_in_the_life_that_the_account_lives() {
        let (foresight, id) = foresight(contract());
        let seen = |key, reader| foresight.slot(id, word(key), before(reader));
        assert_eq!([0, 1, 2].map(|reader| seen(1, reader)), [None, Some(word(11)), Some(word(11))]);
        assert_eq!([3, 4, 5].map(|reader| seen(1, reader)), [word(0), word(0), word(15)].map(Some));
        assert_eq!([1, 3, 5].map(|reader| seen(2, reader)), [word(21), word(0), word(0)].map(Some));
        assert_eq!([1, 3].map(|reader| seen(3, reader)), [None, Some(word(0))]);
    }

    #[test]
    fn who_stops_delegating_keeps_its_slots() {
        let cleared = CodeChange { block_access_index: at(2), new_code: bytes!("") };
        let counted = NonceChange { block_access_index: at(2), new_nonce: 4 };
        let (foresight, id) = foresight(AccountChanges {
            nonce_changes: vec![counted],
            code_changes: vec![cleared],
            ..AccountChanges::new(ACCOUNT)
        });
        assert_eq!(foresight.slot(id, word(1), before(5)), None);
    }

    #[test]
    fn a_code_delegates_only_where_the_fork_knows_that() {
        let code = [&[0xef, 1, 0][..], &[7; 20]].concat();
        let deployed = CodeChange { block_access_index: at(1), new_code: code.into() };
        let account = AccountChanges { code_changes: vec![deployed], ..AccountChanges::new(ACCOUNT) };
        for (delegations, delegates) in [(Delegations::Known, true), (Delegations::Unknown, false)] {
            let foresight = AccessListIndex::new(vec![account.clone()], 6, delegations).unwrap();
            let mut info = None;
            foresight.apply(foresight.find(&ACCOUNT).unwrap(), before(3), &mut info);
            assert_eq!(info.unwrap().code.unwrap().is_eip7702(), delegates);
        }
    }

    #[test]
    fn a_list_out_of_order_or_about_more_than_the_block_has_is_refused() {
        let twice = vec![AccountChanges::new(ACCOUNT), AccountChanges::new(ACCOUNT)];
        let new = |list, transactions| AccessListIndex::new(list, transactions, Delegations::Known);
        assert!(new(twice, 6).is_err());
        assert!(new(vec![contract()], 3).is_err());
        assert!(new(vec![contract()], 4).is_ok(), "index 5 is after the transactions");
    }
}
