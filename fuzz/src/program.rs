//! Programs for contracts: short lists of acts, and their bytecode.

use alloy_primitives::{Address, U256};
use proptest::prelude::*;
use revm::bytecode::opcode::*;

/// One thing that a contract does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Adds to a slot.
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
    /// Writes what it reads of an account into a slot.
    Observe {
        /// BALANCE, EXTCODEHASH or EXTCODESIZE.
        opcode: u8,
        /// The account.
        account: Address,
        /// The slot.
        slot: u8,
    },
    /// Writes its own balance into a slot.
    ObserveSelf {
        /// The slot.
        slot: u8,
    },
    /// Calls an account with a value, and goes on whatever comes of it.
    Call {
        /// Who is called.
        account: Address,
        /// What is sent along.
        value: u8,
    },
    /// Runs another account's code on its own storage.
    Delegate {
        /// Whose code.
        account: Address,
    },
    /// Creates a contract whose init code destroys itself or stays, at an address that depends on
    /// `salt` alone.
    Create {
        /// The salt.
        salt: u8,
        /// What is sent along.
        value: u8,
        /// Whether the new contract destroys itself while it is created.
        fate: Fate,
    },
    /// Logs a word.
    Log(u8),
    /// Destroys itself in favour of an account.
    Destroy(Address),
    /// Reverts.
    Revert,
    /// Uses up all gas.
    Burn,
}

/// What becomes of a contract that is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It stays, and destroys itself when it is called.
    Mortal,
    /// It destroys itself at once.
    Stillborn,
}

/// Programs over some accounts.
pub fn program(accounts: Vec<Address>) -> impl Strategy<Value = Vec<Act>> {
    let account = prop::sample::select(accounts);
    let slot = 0..3u8;
    let act = prop_oneof![
        4 => (slot.clone(), 0..3u8).prop_map(|(slot, by)| Act::Increment { slot, by }),
        2 => (slot.clone(), 0..3u8).prop_map(|(slot, value)| Act::Write { slot, value }),
        3 => (prop::sample::select(vec![BALANCE, EXTCODEHASH, EXTCODESIZE]), account.clone(), slot.clone())
            .prop_map(|(opcode, account, slot)| Act::Observe { opcode, account, slot }),
        2 => slot.prop_map(|slot| Act::ObserveSelf { slot }),
        4 => (account.clone(), 0..3u8).prop_map(|(account, value)| Act::Call { account, value }),
        1 => account.clone().prop_map(|account| Act::Delegate { account }),
        2 => (0..2u8, 0..2u8, prop_oneof![Just(Fate::Mortal), Just(Fate::Stillborn)])
            .prop_map(|(salt, value, fate)| Act::Create { salt, value, fate }),
        1 => any::<u8>().prop_map(Act::Log),
        1 => account.prop_map(Act::Destroy),
        1 => Just(Act::Revert),
        1 => Just(Act::Burn),
    ];
    prop::collection::vec(act, 0..8)
}

/// The bytecode of a program. CREATE2 stands for both ways to create: it is before its fork an
/// invalid opcode, which is a case of its own.
pub fn assemble(program: &[Act]) -> Vec<u8> {
    let mut code = Vec::new();
    for act in program {
        append(&mut code, act);
    }
    code.push(STOP);
    code
}

fn append(code: &mut Vec<u8>, act: &Act) {
    match act {
        Act::Increment { slot, by } => {
            code.extend([PUSH1, *slot, SLOAD, PUSH1, *by, ADD, PUSH1, *slot, SSTORE]);
        }
        Act::Write { slot, value } => code.extend([PUSH1, *value, PUSH1, *slot, SSTORE]),
        Act::Observe { opcode, account, slot } => {
            push_address(code, account);
            code.extend([*opcode, PUSH1, *slot, SSTORE]);
        }
        Act::ObserveSelf { slot } => code.extend([ADDRESS, BALANCE, PUSH1, *slot, SSTORE]),
        Act::Call { account, value } => {
            code.extend([PUSH1, 0, PUSH1, 0, PUSH1, 0, PUSH1, 0, PUSH1, *value]);
            push_address(code, account);
            code.extend([PUSH3, 0, 0x80, 0, CALL, POP]);
        }
        Act::Delegate { account } => {
            code.extend([PUSH1, 0, PUSH1, 0, PUSH1, 0, PUSH1, 0]);
            push_address(code, account);
            code.extend([PUSH3, 0, 0x80, 0, DELEGATECALL, POP]);
        }
        Act::Create { salt, value, fate } => append_create(code, *salt, *value, *fate),
        Act::Log(word) => code.extend([PUSH1, *word, PUSH1, 0, MSTORE, PUSH1, 32, PUSH1, 0, LOG0]),
        Act::Destroy(account) => {
            push_address(code, account);
            code.push(SELFDESTRUCT);
        }
        Act::Revert => code.extend([PUSH1, 0, PUSH1, 0, REVERT]),
        Act::Burn => code.push(INVALID),
    }
}

/// Puts init code into memory and creates a contract of it. The contract's code is CALLER,
/// SELFDESTRUCT.
fn append_create(code: &mut Vec<u8>, salt: u8, value: u8, fate: Fate) {
    let init: &[u8] = match fate {
        Fate::Mortal => &[
            PUSH1,
            1,
            PUSH1,
            1,
            SSTORE,
            PUSH2,
            CALLER,
            SELFDESTRUCT,
            PUSH1,
            0,
            MSTORE,
            PUSH1,
            2,
            PUSH1,
            30,
            RETURN,
        ],
        Fate::Stillborn => &[PUSH1, 1, PUSH1, 1, SSTORE, CALLER, SELFDESTRUCT],
    };
    let mut word = [0; 32];
    word[..init.len()].copy_from_slice(init);
    code.push(PUSH32);
    code.extend(word);
    code.extend([
        PUSH1,
        0,
        MSTORE,
        PUSH1,
        salt,
        PUSH1,
        init.len() as u8,
        PUSH1,
        0,
        PUSH1,
        value,
        CREATE2,
        POP,
    ]);
}

fn push_address(code: &mut Vec<u8>, address: &Address) {
    code.push(PUSH20);
    code.extend(address.as_slice());
}

/// The slots and values of programs are words.
pub(crate) fn word(value: u64) -> U256 {
    U256::from(value)
}
