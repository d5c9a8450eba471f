//! Programs for contracts: short lists of acts.

use alloy_primitives::{Address, U256};
use revm::bytecode::opcode::*;

use crate::{
    cast::{NOBODY, RIPEMD, everybody},
    choices::Choices,
};

/// How many slots programs use.
pub(crate) const SLOTS: u8 = 3;

/// One thing that a contract does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Adds to a slot, perhaps nothing.
    Increment {
        /// The slot.
        slot: u8,
        /// What is added.
        by: u8,
    },
    /// Writes a value into a slot; zero clears it.
    Write {
        /// The slot.
        slot: u8,
        /// The value.
        value: u8,
    },
    /// Adds one to a slot of transient storage.
    Count {
        /// The slot.
        slot: u8,
    },
    /// Writes what it reads into a slot.
    Observe {
        /// What is read.
        reading: Reading,
        /// The slot.
        slot: u8,
    },
    /// Logs what it reads.
    Log(Reading),
    /// Stops if the number that it reads is odd.
    StopIf(Reading),
    /// Calls an account, and goes on whatever comes of it.
    Call {
        /// The opcode; those that carry no value ignore it.
        how: u8,
        /// Who is called.
        whom: Whom,
        /// What is sent along.
        value: u8,
        /// The gas; less is given when less is left.
        gas: u32,
    },
    /// Creates a contract.
    Create {
        /// What it will be.
        birth: Birth,
        /// CREATE2's salt; `None` creates with CREATE.
        salt: Option<u8>,
        /// What is sent along.
        value: u8,
        /// What is done to it then.
        then: Then,
    },
    /// Destroys itself in favour of an account.
    Destroy(Whom),
    /// Reverts.
    Revert,
    /// Uses up all gas.
    Burn,
}

/// Whom an act is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    /// This account.
    Is(Address),
    /// The one that the input names.
    Named,
    /// The one that an opcode without operands answers with: COINBASE, CALLER, ORIGIN, ADDRESS.
    Says(u8),
}

/// What a program can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// An opcode without operands.
    Plain(u8),
    /// An opcode that takes a number: BLOCKHASH, BLOBHASH, SLOAD, TLOAD.
    Numbered(u8, u16),
    /// An opcode that takes an account: BALANCE, EXTCODEHASH, EXTCODESIZE.
    Of(u8, Whom),
}

/// What a contract that is created will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Birth {
    /// It counts its calls, and destroys itself when it is called with a value.
    Mortal,
    /// It destroys itself while it is created.
    Stillborn,
    /// It has storage and no code.
    Hollow,
    /// Its creation fails.
    Failing,
}

/// What is done to a contract after its creation, in the same transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Nothing.
    Leave,
    /// It is called with a value, which destroys a mortal one.
    Pay,
}

/// The number of every hostile block, and those that its programs ask the hashes of: too old, just not
/// too old, the parent's, and what has no hash yet.
pub(crate) const NUMBER: u16 = 1_000;
const HASHES_OF: [u16; 5] = [NUMBER - 257, NUMBER - 256, NUMBER - 2, NUMBER - 1, NUMBER];

/// The blocks whose hashes programs can learn.
pub(crate) fn blocks_with_hashes() -> impl Iterator<Item = u64> {
    HASHES_OF.into_iter().filter(|number| *number < NUMBER).map(u64::from)
}

/// A program.
pub(crate) fn program(choices: &mut Choices<'_>) -> Vec<Act> {
    (0..choices.below(8)).map(|_| act(choices)).collect()
}

fn act(choices: &mut Choices<'_>) -> Act {
    let slot = choices.below(SLOTS);
    match choices.below(28) {
        0..5 => Act::Increment { slot, by: choices.below(3) },
        5..7 => Act::Write { slot, value: choices.below(3) },
        7 => Act::Count { slot },
        8..13 => Act::Observe { reading: reading(choices), slot },
        13..15 => Act::Log(reading(choices)),
        15 => Act::StopIf(reading(choices)),
        16..21 => Act::Call {
            how: choices.of(&[CALL, CALL, CALL, CALL, CALLCODE, DELEGATECALL, STATICCALL]),
            whom: whom(choices),
            value: choices.below(3),
            gas: choices.of(&[40_000, 40_000, 120_000, 700, 0]),
        },
        21..25 => creation(choices),
        25 => Act::Destroy(whom(choices)),
        26 => Act::Revert,
        _ => Act::Burn,
    }
}

fn whom(choices: &mut Choices<'_>) -> Whom {
    match choices.below(10) {
        0..5 => Whom::Is(choices.of(everybody())),
        5 => Whom::Is(choices.of(&[RIPEMD, NOBODY])),
        6..8 => Whom::Named,
        _ => Whom::Says(choices.of(&[COINBASE, COINBASE, CALLER, ORIGIN, ADDRESS])),
    }
}

fn reading(choices: &mut Choices<'_>) -> Reading {
    let plain = [SELFBALANCE, CALLVALUE, BASEFEE, GASPRICE, BLOBBASEFEE, RETURNDATASIZE, GAS];
    match choices.below(10) {
        0..2 => Reading::Plain(choices.of(&plain)),
        2 => Reading::Numbered(BLOBHASH, choices.below(3).into()),
        3 => Reading::Numbered(BLOCKHASH, choices.of(&HASHES_OF)),
        4 => Reading::Numbered(choices.of(&[SLOAD, SLOAD, TLOAD]), choices.below(SLOTS).into()),
        _ => Reading::Of(choices.of(&[BALANCE, BALANCE, EXTCODEHASH, EXTCODESIZE]), whom(choices)),
    }
}

fn creation(choices: &mut Choices<'_>) -> Act {
    use Birth::*;
    Act::Create {
        birth: choices.of(&[Mortal, Mortal, Mortal, Mortal, Mortal, Stillborn, Hollow, Failing]),
        salt: choices.of(&[Some(0), Some(0), Some(1), None]),
        value: choices.of(&[0, 0, 1, 6]),
        then: choices.of(&[Then::Leave, Then::Leave, Then::Leave, Then::Pay]),
    }
}

/// The creation of one of the children that everybody knows, if a parent does it.
pub(crate) fn birth(choices: &mut Choices<'_>) -> Act {
    let salt = Some(choices.of(&[0, 0, 1]));
    Act::Create { birth: Birth::Mortal, salt, value: choices.of(&[0, 0, 1, 6]), then: Then::Leave }
}

/// The slots and values of programs are words.
pub(crate) fn word(value: u64) -> U256 {
    U256::from(value)
}
