//! Acts: what the contracts of a hostile block do, one after the other.

use alloy_primitives::{Address, U256};

/// The number of every hostile block.
pub(crate) const NUMBER: u16 = 1_000;

/// One thing that a contract does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Adds a number, perhaps zero, to a storage slot.
    Increment { slot: u8, by: u8 },
    /// Writes a value into a storage slot; zero clears it.
    Write { slot: u8, value: u8 },
    /// Adds one to a slot of transient storage.
    CountTransient { slot: u8 },
    /// Writes a reading into a storage slot.
    Store { reading: Reading, slot: u8 },
    /// Logs a reading.
    Log(Reading),
    /// Stops if a reading is odd.
    StopIf(Reading),
    /// Calls an account, and goes on whether the call succeeds or not.
    Call {
        /// CALL, CALLCODE, DELEGATECALL or STATICCALL; the last two ignore the value.
        opcode: u8,
        callee: AccountOperand,
        value: U256,
        /// The gas that the call asks for; it gets less where less is left.
        gas: u32,
    },
    /// Creates a contract.
    Create {
        child: Child,
        /// The salt of CREATE2; `None` creates with CREATE.
        salt: Option<u8>,
        value: U256,
        after: AfterCreate,
    },
    /// Self-destructs in favour of an account.
    Destroy(AccountOperand),
    /// Reverts.
    Revert,
    /// Executes an invalid opcode, which uses up all gas.
    Burn,
    /// Returns a byte and zeros after it. If init code returns them, they are the code of the contract.
    Return { first: u8, length: u16 },
    /// Runs out of gas.
    Exhaust,
}

/// Where an act takes an account from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AccountOperand {
    /// A constant.
    Constant(Address),
    /// The first word of the input.
    Input,
    /// An opcode without operands: COINBASE, CALLER, ORIGIN, ADDRESS.
    Opcode(u8),
}

/// A value that a program reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// An opcode without operands.
    Plain(u8),
    /// An opcode that takes a number: BLOCKHASH, BLOBHASH, SLOAD, TLOAD.
    Numbered(u8, u16),
    /// An opcode that takes an account: BALANCE, EXTCODEHASH, EXTCODESIZE.
    OfAccount(u8, AccountOperand),
    /// The first word that an account returns for this input; the input if it returns nothing.
    Answer { of: AccountOperand, input: u8 },
}

/// The kind of a created contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Child {
    /// Self-destructs when a call has a value. Otherwise the input decides: odd, it logs and returns one of
    /// the slots that it never writes; even, it counts its calls.
    Destructible,
    /// Self-destructs in its init code.
    DestroyedInInit,
    /// Has storage and no code.
    StorageOnly,
    /// Its init code executes an invalid opcode.
    Invalid,
    /// Its init code reverts.
    Reverting,
    /// Its init code runs out of gas.
    Exhausting,
    /// Its code starts with 0xEF, which London forbids.
    Ef,
    /// Its code is longer than Spurious Dragon allows.
    TooLong,
    /// Its code costs more gas than most transactions have.
    Costly,
    /// Has no code, one code or another, or reverts: its init code decides by ORIGIN, GASPRICE, COINBASE or
    /// the parent's BLOCKHASH, whichever opcode this is.
    Varying(u8),
}

/// What a program does with a contract after creating it, in the same transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AfterCreate {
    /// Nothing.
    Nothing,
    /// Calls it with a value, which destroys a [destructible](Child::Destructible) one.
    Pay,
}
