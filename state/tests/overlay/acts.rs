//! What transactions do to a few accounts, as plainly as possible.

use std::collections::BTreeMap;

use alloy_primitives::{Address, Bytes, U256};
use blockloom_state::{Allocation, MemoryStore};
use proptest::prelude::*;
use revm_database_interface::Database;
use revm_state::{Account, AccountInfo, Bytecode, EvmStorageSlot, TransactionId};

/// What a transaction does to one account.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Pay(u64),
    Write(Vec<(u8, u64)>),
    Create { code: u8, slots: Vec<(u8, u64)> },
    Destroy,
    Empty,
    Touch,
}

pub(crate) fn act() -> impl Strategy<Value = Act> {
    let slots = || prop::collection::vec((0..6u8, 0..4u64), 0..4);
    prop_oneof![
        (0..5u64).prop_map(Act::Pay),
        slots().prop_map(Act::Write),
        (1..4u8, slots()).prop_map(|(code, slots)| Act::Create { code, slots }),
        Just(Act::Destroy),
        Just(Act::Empty),
        Just(Act::Touch),
    ]
}

/// A whole state, kept as plainly as possible.
pub(crate) type Model = BTreeMap<Address, (u64, u8, BTreeMap<u8, u64>)>;

pub(crate) fn address(byte: u8) -> Address {
    Address::with_last_byte(byte)
}

pub(crate) fn code(byte: u8) -> Bytes {
    if byte == 0 { Bytes::new() } else { vec![byte].into() }
}

pub(crate) fn store(model: &Model) -> MemoryStore {
    MemoryStore::from_genesis(model.iter().map(|(address, (balance, byte, slots))| {
        let storage = slots.iter().map(|(key, value)| (U256::from(*key), U256::from(*value))).collect();
        let allocation = Allocation { balance: U256::from(*balance), nonce: 0, code: code(*byte), storage };
        (*address, allocation)
    }))
}

pub(crate) fn apply_to_model(model: &mut Model, address: Address, act: &Act) {
    let write = |into: &mut BTreeMap<u8, u64>, slots: &[(u8, u64)]| {
        for (key, value) in slots {
            if *value == 0 {
                into.remove(key)
            } else {
                into.insert(*key, *value)
            };
        }
    };
    match act {
        Act::Pay(wei) => {
            let account = model.entry(address).or_default();
            account.0 += wei;
        }
        Act::Write(slots) => write(&mut model.entry(address).or_default().2, slots),
        Act::Create { code, slots } => {
            let mut new = BTreeMap::new();
            write(&mut new, slots);
            let balance = model.get(&address).map_or(0, |account| account.0);
            model.insert(address, (balance, *code, new));
        }
        Act::Destroy | Act::Empty => {
            model.remove(&address);
        }
        Act::Touch => {}
    }
    // EIP-161: whoever was touched and is empty is gone.
    if model.get(&address).is_some_and(|(balance, code, _)| *balance == 0 && *code == 0) {
        model.remove(&address);
    }
}

/// The account as revm would hand it over after a transaction that did `act`.
pub(crate) fn touched<D: Database>(db: &mut D, address: Address, act: &Act) -> Account {
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
    match act {
        Act::Pay(wei) => account.info.balance += U256::from(*wei),
        Act::Write(slots) => write(&mut account, slots, false),
        Act::Create { code: byte, slots } => {
            account.mark_created();
            account.info.set_code(Bytecode::new_legacy(code(*byte)));
            write(&mut account, slots, true);
        }
        Act::Destroy => account.mark_selfdestruct(),
        Act::Empty => {
            account.info = AccountInfo { account_id: account.info.account_id, ..Default::default() }
        }
        Act::Touch => {}
    }
    account
}

/// A state to begin with.
pub(crate) fn genesis() -> impl Strategy<Value = Model> {
    let slots = prop::collection::btree_map(0..6u8, 1..4u64, 0..4);
    prop::collection::btree_map((0..4u8).prop_map(address), (1..5u64, 0..3u8, slots), 0..4)
}
