//! The bytecode of programs. An opcode that a fork does not know is replaced by a similar one that it
//! knows, so that programs under old forks do more than fail.

use alloy_hardforks::EthereumHardfork::{self, *};
use alloy_primitives::U256;
use revm::bytecode::opcode::*;

use crate::{
    act::{AccountOperand, Act, AfterCreate, Child, Reading},
    init_code::{EXHAUST, init_code, return_zeros_after, store_in_memory},
};

/// Opcodes that a later fork introduced, that fork, and an older opcode with as many operands.
const SINCE: [(u8, EthereumHardfork, u8); 11] = [
    (STATICCALL, Byzantium, DELEGATECALL),
    (RETURNDATASIZE, Byzantium, MSIZE),
    (REVERT, Byzantium, INVALID),
    (EXTCODEHASH, Petersburg, EXTCODESIZE),
    (SELFBALANCE, Istanbul, CALLVALUE),
    (BASEFEE, London, GASPRICE),
    (BLOBBASEFEE, Cancun, NUMBER),
    (BLOBHASH, Cancun, BLOCKHASH),
    (TLOAD, Cancun, SLOAD),
    (TSTORE, Cancun, SSTORE),
    (DELEGATECALL, Homestead, INVALID),
];

/// Whether a fork knows CREATE2. Otherwise programs use CREATE.
pub(crate) fn has_create2(fork: EthereumHardfork) -> bool {
    fork >= Petersburg
}

/// The bytecode of a program under a fork.
pub(crate) fn assemble(program: &[Act], fork: EthereumHardfork) -> Vec<u8> {
    let mut assembler = Assembler { code: Vec::new(), fork, exits: Vec::new() };
    for act in program {
        assembler.act(act);
    }
    assembler.finish()
}

struct Assembler {
    code: Vec<u8>,
    fork: EthereumHardfork,
    /// The positions in the code of the operands of jumps to the end.
    exits: Vec<usize>,
}

impl Assembler {
    fn act(&mut self, act: &Act) {
        match act {
            Act::Increment { slot, by } => {
                self.code.extend([PUSH1, *slot, SLOAD, PUSH1, *by, ADD, PUSH1, *slot, SSTORE]);
            }
            Act::Write { slot, value } => self.code.extend([PUSH1, *value, PUSH1, *slot, SSTORE]),
            Act::CountTransient { slot } => {
                let (load, store) = (self.known(TLOAD), self.known(TSTORE));
                self.code.extend([PUSH1, *slot, load, PUSH1, 1, ADD, PUSH1, *slot, store]);
            }
            Act::Store { reading, slot } => {
                self.read(reading);
                self.code.extend([PUSH1, *slot, SSTORE]);
            }
            Act::Log(reading) => {
                self.read(reading);
                self.code.extend([PUSH1, 0, MSTORE, PUSH1, 7, PUSH1, 32, PUSH1, 0, LOG1]);
            }
            Act::StopIf(reading) => {
                self.read(reading);
                self.code.extend([PUSH1, 1, AND, PUSH2]);
                self.exits.push(self.code.len());
                self.code.extend([0, 0, JUMPI]);
            }
            Act::Call { opcode, callee, value, gas } => self.call(*opcode, callee, *value, *gas),
            Act::Create { child, salt, value, after } => self.create(*child, *salt, *value, *after),
            Act::Destroy(beneficiary) => {
                self.account(beneficiary);
                self.code.push(SELFDESTRUCT);
            }
            Act::Revert => {
                let revert = self.known(REVERT);
                self.code.extend([PUSH1, 0, PUSH1, 0, revert]);
            }
            Act::Burn => self.code.push(INVALID),
            Act::Return { first, length } => self.code.extend(return_zeros_after(*first, *length)),
            Act::Exhaust => self.code.extend(EXHAUST),
        }
    }

    fn known(&self, opcode: u8) -> u8 {
        let later = SINCE.iter().find(|(later, since, _)| *later == opcode && self.fork < *since);
        later.map_or(opcode, |(.., older)| self.known(*older))
    }

    fn account(&mut self, operand: &AccountOperand) {
        match operand {
            AccountOperand::Constant(address) => {
                self.code.push(PUSH20);
                self.code.extend(address.as_slice());
            }
            AccountOperand::Input => self.code.extend([PUSH1, 0, CALLDATALOAD]),
            AccountOperand::Opcode(opcode) => self.code.push(*opcode),
        }
    }

    /// Pushes a number, with an opcode that is as short as possible.
    fn number(&mut self, number: U256) {
        let length = number.byte_len().max(1);
        self.code.push(PUSH1 + (length - 1) as u8);
        self.code.extend(&number.to_be_bytes::<32>()[32 - length..]);
    }

    /// Pushes a reading.
    fn read(&mut self, reading: &Reading) {
        let opcode = match reading {
            Reading::Plain(opcode) => opcode,
            Reading::Numbered(opcode, number) => {
                self.code.push(PUSH2);
                self.code.extend(number.to_be_bytes());
                opcode
            }
            Reading::OfAccount(opcode, operand) => {
                self.account(operand);
                opcode
            }
            Reading::Answer { of, input } => {
                self.code.extend([PUSH1, *input, PUSH1, 0, MSTORE]);
                self.code.extend([PUSH1, 32, PUSH1, 0, PUSH1, 32, PUSH1, 0, PUSH1, 0]);
                self.account(of);
                self.gas(40_000);
                self.code.extend([CALL, POP, PUSH1, 0, MLOAD]);
                return;
            }
        };
        self.code.push(self.known(*opcode));
    }

    fn call(&mut self, opcode: u8, callee: &AccountOperand, value: U256, gas: u32) {
        self.code.extend([PUSH1, 0, PUSH1, 0, PUSH1, 0, PUSH1, 0]);
        if matches!(opcode, CALL | CALLCODE) {
            self.number(value);
        }
        self.account(callee);
        self.gas(gas);
        let opcode = self.known(opcode);
        self.code.extend([opcode, POP]);
    }

    /// Pushes the gas of a call. Before EIP-150, a call that asks for more gas than is left fails its caller.
    fn gas(&mut self, gas: u32) {
        let gas = if self.fork < Tangerine { gas.min(4_000) } else { gas };
        self.code.push(PUSH4);
        self.code.extend(gas.to_be_bytes());
    }

    fn create(&mut self, child: Child, salt: Option<u8>, value: U256, after: AfterCreate) {
        let init = init_code(child);
        store_in_memory(&mut self.code, &init);
        let salt = salt.filter(|_| has_create2(self.fork));
        if let Some(salt) = salt {
            self.code.extend([PUSH1, salt]);
        }
        let length = u8::try_from(init.len()).expect("init codes are short");
        self.code.extend([PUSH1, length, PUSH1, 0]);
        self.number(value);
        self.code.push(if salt.is_some() { CREATE2 } else { CREATE });
        if after == AfterCreate::Pay {
            // On the stack, the new address is below the two empty ranges and the value.
            self.code.extend([PUSH1, 0, PUSH1, 0, PUSH1, 0, PUSH1, 0, PUSH1, 1, DUP6]);
            self.code.extend([PUSH3, 0, 0x80, 0, CALL, POP]);
        }
        self.code.push(POP);
    }

    fn finish(mut self) -> Vec<u8> {
        let end = (self.code.len() as u16).to_be_bytes();
        for exit in self.exits {
            self.code[exit..exit + 2].copy_from_slice(&end);
        }
        self.code.extend([JUMPDEST, STOP]);
        self.code
    }
}
