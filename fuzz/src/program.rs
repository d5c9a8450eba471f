//! Programs of contracts: short lists of acts.

use alloy_primitives::U256;
use revm::bytecode::opcode::*;

use crate::{
    act::{AccountOperand, Act, AfterCreate, Child, NUMBER, Reading},
    actors::{ABSENT, RIPEMD, all_actors},
    choices::Choices,
    init_code::COSTLY,
};

/// How many slots programs use.
pub(crate) const SLOTS: u8 = 3;

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
    match choices.below(30) {
        0..5 => Act::Increment { slot, by: choices.below(3) },
        5..7 => Act::Write { slot, value: choices.below(3) },
        7 => Act::CountTransient { slot },
        8..13 => Act::Store { reading: reading(choices), slot },
        13..15 => Act::Log(reading(choices)),
        15 => Act::StopIf(reading(choices)),
        16..21 => Act::Call {
            opcode: choices.of(&[CALL, CALL, CALL, CALL, CALLCODE, DELEGATECALL, STATICCALL]),
            callee: account(choices),
            value: value(choices),
            gas: choices.of(&[40_000, 40_000, 120_000, 700, 0]),
        },
        21..25 => create(choices),
        25 => Act::Destroy(account(choices)),
        26 => Act::Revert,
        27 => Act::Burn,
        28 => returned(choices),
        _ => Act::Exhaust,
    }
}

/// Returns bytes that are a code as well, and that some forks or gas limits refuse.
pub(crate) fn returned(choices: &mut Choices<'_>) -> Act {
    let (first, length) = choices.of(&[(0, 0), (0, 1), (0xef, 1), (0, COSTLY), (0, 0x6001)]);
    Act::Return { first, length }
}

/// A value that an act transfers: usually zero, one or two.
fn value(choices: &mut Choices<'_>) -> U256 {
    match choices.below(40) {
        39 => huge(choices),
        chosen => word((chosen / 13).into()),
    }
}

/// A huge amount. A balance above 2^255 is always observed exactly, so what matters most are amounts that leave
/// less and that overflow together with another one; and those beside the limit from which transfers observe
/// exact balances.
pub(crate) fn huge(choices: &mut Choices<'_>) -> U256 {
    choices.of(&[
        power(255),
        power(255) - U256::ONE,
        power(254),
        power(254),
        power(255) + power(254),
        power(255) + power(254),
        power(255) + power(254),
        power(200),
        power(200) - U256::ONE,
        U256::MAX,
    ])
}

/// A balance that pays most of the [huge] amounts.
pub(crate) fn huge_balance(choices: &mut Choices<'_>) -> U256 {
    let most = power(255) + power(254);
    choices.of(&[most, most, most, power(255), power(200), U256::MAX - power(100), U256::MAX])
}

/// A power of two.
fn power(exponent: usize) -> U256 {
    U256::ONE << exponent
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
    let plain =
        [SELFBALANCE, CALLVALUE, BASEFEE, GASPRICE, BLOBBASEFEE, RETURNDATASIZE, GAS, ORIGIN, COINBASE];
    match choices.below(10) {
        0..2 => Reading::Plain(choices.of(&plain)),
        2 => Reading::Numbered(BLOBHASH, choices.below(3).into()),
        3 => Reading::Numbered(BLOCKHASH, choices.of(&HASHES_OF)),
        4 => Reading::Numbered(choices.of(&[SLOAD, SLOAD, TLOAD]), choices.below(SLOTS).into()),
        _ => Reading::OfAccount(choices.of(&[BALANCE, BALANCE, EXTCODEHASH, EXTCODESIZE]), account(choices)),
    }
}

/// A reading of what a transaction or its block sets. The same code reads another value in another transaction
/// or block.
pub(crate) fn environment(choices: &mut Choices<'_>) -> Reading {
    match choices.of(&ENVIRONMENT) {
        BLOCKHASH => Reading::Numbered(BLOCKHASH, choices.of(&HASHES_OF)),
        opcode => Reading::Plain(opcode),
    }
}

/// The opcodes of [`environment`].
const ENVIRONMENT: [u8; 4] = [ORIGIN, GASPRICE, COINBASE, BLOCKHASH];

fn create(choices: &mut Choices<'_>) -> Act {
    use AfterCreate::{Nothing, Pay};
    use Child::*;
    let child = match choices.below(16) {
        0..9 => Destructible,
        9..11 => DestroyedInInit,
        11 => StorageOnly,
        12..15 => choices.of(&FAILING),
        _ => Varying(choices.of(&ENVIRONMENT)),
    };
    Act::Create {
        child,
        salt: choices.of(&[Some(0), Some(0), Some(1), None]),
        value: endowment(choices),
        after: choices.of(&[Nothing, Nothing, Nothing, Pay]),
    }
}

/// The children of which the creation fails, under some forks or always.
pub(crate) const FAILING: [Child; 6] =
    [Child::Invalid, Child::Reverting, Child::Exhausting, Child::Ef, Child::TooLong, Child::Costly];

/// The value that a contract gives to its child: usually nothing, sometimes more than it has.
pub(crate) fn endowment(choices: &mut Choices<'_>) -> U256 {
    word(choices.of(&[0, 0, 1, 6]))
}

/// A slot or value of a program as a word.
pub(crate) fn word(value: u64) -> U256 {
    U256::from(value)
}
