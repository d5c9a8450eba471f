//! Mutations of access lists (EIP-7928): one or a few entries become wrong.
//!
//! Bytes choose the mutations, as everywhere in this crate. A mutated list is an encoding, because some
//! mutations cannot be decoded.

use alloy_eips::eip7928::{
    AccountChanges, BalanceChange, BlockAccessIndex, BlockAccessList, CodeChange, NonceChange, SlotChanges,
    StorageChange,
};
use alloy_primitives::{Address, Bytes, U256};

use crate::{actors::contract, choices::Choices, program::word};

/// The encoding of `list` with the mutations that these bytes choose. It is unchanged if the bytes
/// choose only entries that the list does not have.
pub fn mutated(list: &BlockAccessList, bytes: &[u8]) -> Vec<u8> {
    let mut choices = Choices::new(bytes);
    let right = alloy_rlp::encode(list);
    let (mut list, mut encoded) = (list.clone(), right.clone());
    let target = choices.of(&[Target::Account, Target::Item, Target::Item, Target::Item, Target::Bytes]);
    let mut left = choices.of(&[1, 1, 1, 1, 2, 4]);
    for _ in 0..ATTEMPTS {
        match target {
            Target::Account => mutate_accounts(&mut list, &mut choices),
            Target::Item => mutate_account(&mut list, &mut choices),
            Target::Bytes => mutate_bytes(&mut encoded, &mut choices),
        }
        if !matches!(target, Target::Bytes) {
            encoded = alloy_rlp::encode(&list);
        }
        left -= u8::from(encoded != right);
        if left == 0 {
            break;
        }
    }
    encoded
}

/// How many mutations are tried; some change nothing.
const ATTEMPTS: usize = 10;

/// The part of a list that is mutated.
#[derive(Clone, Copy, Debug)]
enum Target {
    /// Its accounts and their order.
    Account,
    /// An entry of one account.
    Item,
    /// Its encoding.
    Bytes,
}

/// A mutation of a sequence.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Removed,
    Repeated,
    Swapped,
    Truncated,
    Inserted,
    Altered,
}

const FAULTS: [Fault; 8] = [
    Fault::Altered,
    Fault::Altered,
    Fault::Altered,
    Fault::Inserted,
    Fault::Removed,
    Fault::Repeated,
    Fault::Swapped,
    Fault::Truncated,
];

/// Mutates a sequence, unless it is too short. `make` makes new elements from an old one, if there is one.
fn mutate<T: Clone>(
    sequence: &mut Vec<T>,
    choices: &mut Choices<'_>,
    make: impl FnOnce(Option<&T>, &mut Choices<'_>) -> T,
) {
    let fault = choices.of(&FAULTS);
    let place = choices.position(sequence.len());
    match (fault, place) {
        (Fault::Inserted, place) => {
            let new = make(place.map(|place| &sequence[place]), choices);
            // Usually in the plausible place: behind the element that it was made from.
            sequence.insert(place.map_or(0, |place| place + usize::from(choices.below(4) > 0)), new);
        }
        (_, None) => {}
        (Fault::Altered, Some(place)) => sequence[place] = make(Some(&sequence[place]), choices),
        (Fault::Removed, Some(place)) => drop(sequence.remove(place)),
        (Fault::Repeated, Some(place)) => sequence.insert(place, sequence[place].clone()),
        (Fault::Swapped, Some(place)) => {
            let other = choices.position(sequence.len()).unwrap_or_default();
            sequence.swap(place, other);
        }
        (Fault::Truncated, Some(place)) => sequence.truncate(place),
    }
}

fn mutate_accounts(list: &mut BlockAccessList, choices: &mut Choices<'_>) {
    mutate(list, choices, |old, choices| {
        let address = old.map_or(Address::ZERO, |old| old.address);
        let address = match choices.below(4) {
            0 => contract(choices.below(8)),
            _ => Address::from_slice(&near(word_of(address), choices).to_be_bytes::<32>()[12..]),
        };
        match old {
            Some(old) if choices.below(2) == 1 => AccountChanges { address, ..old.clone() },
            _ => AccountChanges::new(address),
        }
    });
}

fn word_of(address: Address) -> U256 {
    U256::from_be_slice(address.as_slice())
}

/// Mutates one entry of an account.
fn mutate_account(list: &mut BlockAccessList, choices: &mut Choices<'_>) {
    let Some(place) = choices.position(list.len()) else { return };
    let account = &mut list[place];
    match choices.below(8) {
        0 => mutate(&mut account.balance_changes, choices, |old, choices| {
            let (at, wei) =
                old.map_or_else(Default::default, |old| (old.block_access_index, old.post_balance));
            altered(at, wei, choices, BalanceChange::new)
        }),
        1 => mutate(&mut account.nonce_changes, choices, |old, choices| {
            let (at, nonce) =
                old.map_or_else(Default::default, |old| (old.block_access_index, old.new_nonce));
            altered(at, U256::from(nonce), choices, |at, nonce| NonceChange::new(at, low(nonce)))
        }),
        2 => mutate(&mut account.code_changes, choices, |old, choices| {
            let (at, code) =
                old.map_or_else(Default::default, |old| (old.block_access_index, old.new_code.clone()));
            altered(at, U256::from(code.len()), choices, |at, other| {
                CodeChange::new(at, other_code(&code, other))
            })
        }),
        3 => mutate(&mut account.storage_reads, choices, |old, choices| {
            near(old.copied().unwrap_or_default(), choices)
        }),
        4 => mutate(&mut account.storage_changes, choices, other_slot),
        5 => mutate_slot(account, choices),
        6 => add_many_reads(account, choices),
        _ => swap_read_and_write(account, choices),
    }
}

/// A change with another index or another value.
fn altered<C>(
    at: BlockAccessIndex,
    value: U256,
    choices: &mut Choices<'_>,
    make: impl FnOnce(BlockAccessIndex, U256) -> C,
) -> C {
    match choices.below(3) {
        0 => make(BlockAccessIndex(low(near(U256::from(at.0), choices))), value),
        _ => make(at, near(value, choices)),
    }
}

/// The low 64 bits of a number.
fn low(number: U256) -> u64 {
    number.as_limbs()[0]
}

/// A code that is longer, shorter, a delegation, one that revm refuses, or much too long.
fn other_code(code: &Bytes, choice: U256) -> Bytes {
    let delegation = [&[0xef, 0x01, 0x00], contract(1).as_slice()].concat();
    match low(choice) % 5 {
        0 => [code, &[0x5b][..]].concat().into(),
        1 => code.slice(..code.len() / 2),
        2 => delegation.into(),
        3 => vec![0xef, 0x01, 0x00, 0x05].into(),
        _ => vec![0x5b; 30_000].into(),
    }
}

/// Another slot with the same changes, or a slot with one change.
fn other_slot(old: Option<&SlotChanges>, choices: &mut Choices<'_>) -> SlotChanges {
    let key = near(old.map_or(U256::ZERO, |old| old.slot), choices);
    match old {
        Some(old) if choices.below(2) == 1 => SlotChanges { slot: key, ..old.clone() },
        _ => {
            let change = StorageChange::new(BlockAccessIndex(choices.below(8).into()), word(5));
            SlotChanges::new(key, vec![change])
        }
    }
}

fn mutate_slot(account: &mut AccountChanges, choices: &mut Choices<'_>) {
    let Some(place) = choices.position(account.storage_changes.len()) else { return };
    mutate(&mut account.storage_changes[place].changes, choices, |old, choices| {
        let (at, value) = old.map_or_else(Default::default, |old| (old.block_access_index, old.new_value));
        altered(at, value, choices, StorageChange::new)
    });
}

/// Adds up to 32,768 slot reads.
fn add_many_reads(account: &mut AccountChanges, choices: &mut Choices<'_>) {
    let most = account.storage_reads.last().copied().unwrap_or(word(1 << 40));
    let more = 1_u64 << choices.below(16);
    account.storage_reads.extend((1..=more).map_while(|step| most.checked_add(word(step))));
}

/// Turns a written slot into a read one, or the reverse, and keeps the order.
fn swap_read_and_write(account: &mut AccountChanges, choices: &mut Choices<'_>) {
    let (reads, writes) = (&mut account.storage_reads, &mut account.storage_changes);
    if let Some(place) = choices.position(writes.len()).filter(|_| choices.below(2) == 0) {
        reads.push(writes.remove(place).slot);
        reads.sort_unstable();
    } else if let Some(place) = choices.position(reads.len()) {
        let change = StorageChange::new(BlockAccessIndex(choices.below(8).into()), word(5));
        writes.push(SlotChanges::new(reads.remove(place), vec![change]));
        writes.sort_unstable_by_key(|slot| slot.slot);
    }
}

/// An adjacent number, zero, a huge one, or one bit flipped.
fn near(number: U256, choices: &mut Choices<'_>) -> U256 {
    match choices.below(8) {
        0..3 => number.wrapping_add(word(1)),
        3 | 4 => number.wrapping_sub(word(1)),
        5 => U256::ZERO,
        6 => U256::MAX >> usize::from(choices.below(255)),
        _ => number ^ (word(1) << usize::from(choices.below(255))),
    }
}

fn mutate_bytes(encoded: &mut Vec<u8>, choices: &mut Choices<'_>) {
    mutate(encoded, choices, |old, choices| match choices.below(3) {
        0 => choices.of(&[0x00, 0x80, 0xbf, 0xc0, 0xf7, 0xff]),
        _ => old.copied().unwrap_or_default() ^ (1 << choices.below(8)),
    });
}
