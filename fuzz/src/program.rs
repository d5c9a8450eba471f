//! Programs of contracts: short lists of acts.

use alloy_primitives::U256;
use revm::bytecode::opcode::*;

use crate::{
    act::{AccountOperand, Act, AfterCreate, Child, Reading},
    actors::{ABSENT, RIPEMD, all_actors},
    choices::Choices,
};

/// How many slots programs use.
pub(crate) const SLOTS: u8 = 3;

/// The number of every hostile block.
pub(crate) const NUMBER: u16 = 1_000;
/// The blocks of which programs read the hash: one too old, the oldest that is available, the
/// parent's parent, the parent, and the block itself, which has no hash yet.
const HASHES_OF: [u16; 5] = [NUMBER - 257, NUMBER - 256, NUMBER - 2, NUMBER - 1, NUMBER];

/// The earlier blocks of [`HASHES_OF`], of which the base must know the hash.
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
        7 => Act::CountTransient { slot },
        8..13 => Act::Store { reading: reading(choices), slot },
        13..15 => Act::Log(reading(choices)),
        15 => Act::StopIf(reading(choices)),
        16..21 => Act::Call {
            opcode: choices.of(&[CALL, CALL, CALL, CALL, CALLCODE, DELEGATECALL, STATICCALL]),
            callee: account(choices),
            value: choices.below(3),
            gas: choices.of(&[40_000, 40_000, 120_000, 700, 0]),
        },
        21..25 => create(choices),
        25 => Act::Destroy(account(choices)),
        26 => Act::Revert,
        _ => Act::Burn,
    }
}

fn account(choices: &mut Choices<'_>) -> AccountOperand {
    match choices.below(10) {
        0..5 => AccountOperand::Constant(choices.of(all_actors())),
        5 => AccountOperand::Constant(choices.of(&[RIPEMD, ABSENT])),
        6..8 => AccountOperand::Input,
        _ => AccountOperand::Opcode(choices.of(&[COINBASE, COINBASE, CALLER, ORIGIN, ADDRESS])),
    }
}

fn reading(choices: &mut Choices<'_>) -> Reading {
    let plain = [SELFBALANCE, CALLVALUE, BASEFEE, GASPRICE, BLOBBASEFEE, RETURNDATASIZE, GAS];
    match choices.below(10) {
        0..2 => Reading::Plain(choices.of(&plain)),
        2 => Reading::Numbered(BLOBHASH, choices.below(3).into()),
        3 => Reading::Numbered(BLOCKHASH, choices.of(&HASHES_OF)),
        4 => Reading::Numbered(choices.of(&[SLOAD, SLOAD, TLOAD]), choices.below(SLOTS).into()),
        _ => Reading::OfAccount(choices.of(&[BALANCE, BALANCE, EXTCODEHASH, EXTCODESIZE]), account(choices)),
    }
}

fn create(choices: &mut Choices<'_>) -> Act {
    use AfterCreate::{Nothing, Pay};
    use Child::*;
    Act::Create {
        child: choices.of(&[
            Destructible,
            Destructible,
            Destructible,
            Destructible,
            Destructible,
            DestroyedInInit,
            StorageOnly,
            Failing,
        ]),
        salt: choices.of(&[Some(0), Some(0), Some(1), None]),
        value: choices.of(&[0, 0, 1, 6]),
        after: choices.of(&[Nothing, Nothing, Nothing, Pay]),
    }
}

/// The creation of one of the [known children](crate::actors::children), if a parent executes it.
pub(crate) fn create_known_child(choices: &mut Choices<'_>) -> Act {
    let salt = Some(choices.of(&[0, 0, 1]));
    let value = choices.of(&[0, 0, 1, 6]);
    Act::Create { child: Child::Destructible, salt, value, after: AfterCreate::Nothing }
}

/// A slot or value of a program as a word.
pub(crate) fn word(value: u64) -> U256 {
    U256::from(value)
}
