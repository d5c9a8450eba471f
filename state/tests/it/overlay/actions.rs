//! Actions of transactions on a few accounts, and a simple model of the state.

use std::collections::BTreeMap;

use alloy_primitives::{Address, Bytes, U256};
use blockloom_state::{Allocation, MemoryStore};
use proptest::prelude::*;
use revm_database_interface::Database;
use revm_state::{Account, AccountInfo, Bytecode, EvmStorageSlot, TransactionId};

/// The action of a transaction on one account.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    Pay(u64),
    /// The nonce grows, as if the account had sent a transaction or created a contract.
    Count,
    /// The code changes and the nonce grows, as with an EIP-7702 authorization. Code 0 is no code.
    SetCode(u8),
    Write(Vec<(u8, u64)>),
    Create {
        code: u8,
        slots: Vec<(u8, u64)>,
    },
    Destroy,
    Empty,
    Touch,
}

pub(crate) fn action() -> impl Strategy<Value = Action> {
    let slots = || prop::collection::vec((0..6u8, 0..4u64), 0..4);
    prop_oneof![
        (0..5u64).prop_map(Action::Pay),
        Just(Action::Count),
        (0..3u8).prop_map(Action::SetCode),
        slots().prop_map(Action::Write),
        (1..4u8, slots()).prop_map(|(code, slots)| Action::Create { code, slots }),
        Just(Action::Destroy),
        Just(Action::Empty),
        Just(Action::Touch),
    ]
}

/// A state.
pub(crate) type Model = BTreeMap<Address, AccountModel>;

/// An account.
#[derive(Clone, Debug, Default)]
pub(crate) struct AccountModel {
    pub(crate) balance: u64,
    pub(crate) nonce: u64,
    pub(crate) code: u8,
    pub(crate) slots: BTreeMap<u8, u64>,
}

pub(crate) fn address(byte: u8) -> Address {
    Address::with_last_byte(byte)
}

pub(crate) fn code(byte: u8) -> Bytes {
    if byte == 0 { Bytes::new() } else { vec![byte].into() }
}

pub(crate) fn store(model: &Model) -> MemoryStore {
    MemoryStore::from_genesis(model.iter().map(|(address, account)| {
        let storage = account.slots.iter().map(|(key, value)| (U256::from(*key), U256::from(*value)));
        let allocation = Allocation {
            balance: U256::from(account.balance),
            nonce: account.nonce,
            code: code(account.code),
            storage: storage.collect(),
        };
        (*address, allocation)
    }))
}

pub(crate) fn apply_to_model(model: &mut Model, address: Address, action: &Action) {
    let write = |into: &mut BTreeMap<u8, u64>, slots: &[(u8, u64)]| {
        for (key, value) in slots {
            if *value == 0 {
                into.remove(key)
            } else {
                into.insert(*key, *value)
            };
        }
    };
    match action {
        Action::Pay(wei) => {
            model.entry(address).or_default().balance += wei;
        }
        Action::Count => model.entry(address).or_default().nonce += 1,
        Action::SetCode(code) => {
            let account = model.entry(address).or_default();
            (account.nonce, account.code) = (account.nonce + 1, *code);
        }
        Action::Write(slots) => write(&mut model.entry(address).or_default().slots, slots),
        Action::Create { code, slots } => {
            let account = model.entry(address).or_default();
            (account.code, account.slots) = (*code, BTreeMap::new());
            write(&mut account.slots, slots);
        }
        Action::Destroy | Action::Empty => {
            model.remove(&address);
        }
        Action::Touch => {}
    }
    // EIP-161: a touched empty account is removed.
    let is_empty = |account: &AccountModel| (account.balance, account.nonce, account.code) == (0, 0, 0);
    if model.get(&address).is_some_and(is_empty) {
        model.remove(&address);
    }
}

/// The account as revm passes it on after a transaction with this action.
pub(crate) fn touched<D: Database>(db: &mut D, address: Address, action: &Action) -> Account {
    let mut account = match db.basic(address).unwrap() {
        Some(info) => Account::from(info),
        None => Account::new_not_existing(TransactionId::ZERO),
    };
    account.mark_touch();
    let mut write = |account: &mut Account, slots: &[(u8, u64)], is_new: bool| {
        for (key, value) in slots {
            let key = U256::from(*key);
            let held = if is_new { U256::ZERO } else { db.storage(address, key).unwrap() };
            let slot = account.storage.entry(key);
            let slot = slot.or_insert_with(|| EvmStorageSlot::new(held, TransactionId::ZERO));
            slot.present_value = U256::from(*value);
        }
    };
    match action {
        Action::Pay(wei) => account.info.balance += U256::from(*wei),
        Action::Count => account.info.nonce += 1,
        Action::SetCode(byte) => {
            account.info.nonce += 1;
            account.info.set_code(Bytecode::new_legacy(code(*byte)));
        }
        Action::Write(slots) => write(&mut account, slots, false),
        Action::Create { code: byte, slots } => {
            account.mark_created();
            account.info.set_code(Bytecode::new_legacy(code(*byte)));
            write(&mut account, slots, true);
        }
        Action::Destroy => account.mark_selfdestruct(),
        Action::Empty => {
            account.info = AccountInfo { account_id: account.info.account_id, ..Default::default() }
        }
        Action::Touch => {}
    }
    account
}

/// The genesis state.
pub(crate) fn genesis() -> impl Strategy<Value = Model> {
    let slots = prop::collection::btree_map(0..6u8, 1..4u64, 0..4);
    let account = (1..5u64, 0..2u64, 0..3u8, slots);
    let account =
        account.prop_map(|(balance, nonce, code, slots)| AccountModel { balance, nonce, code, slots });
    prop::collection::btree_map((0..4u8).prop_map(address), account, 0..4)
}
