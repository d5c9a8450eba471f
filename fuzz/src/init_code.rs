//! The init codes of the contracts that programs create, and the codes of these contracts.
//!
//! They are the same under every fork, because the address of a child depends on its init code.

use revm::bytecode::opcode::*;

use crate::act::{Child, NUMBER};

/// One byte more than Spurious Dragon allows (EIP-170).
const TOO_LONG: u16 = 0x6001;
/// A code of this length costs 819,200 gas.
pub(crate) const COSTLY: u16 = 0x1000;

const COUNT_IN_SLOT_1: [u8; 9] = [PUSH1, 1, SLOAD, PUSH1, 1, ADD, PUSH1, 1, SSTORE];

/// Reads memory that no transaction can pay.
pub(crate) const EXHAUST: [u8; 8] = [PUSH5, 1, 0, 0, 0, 0, MLOAD, POP];

/// The init code of a child. It first increments slot 1, so a value in that slot that survives a
/// destruction becomes visible.
pub(crate) fn init_code(child: Child) -> Vec<u8> {
    let mut init = COUNT_IN_SLOT_1.to_vec();
    match child {
        Child::Destructible => return_bytes(&mut init, &destructible_code()),
        Child::DestroyedInInit => init.extend([CALLER, SELFDESTRUCT]),
        Child::StorageOnly => init.push(STOP),
        Child::Invalid => init.push(INVALID),
        Child::Reverting => init.extend([PUSH1, 0, PUSH1, 0, REVERT]),
        Child::Exhausting => init.extend(EXHAUST),
        Child::Ef => init.extend(return_zeros_after(0xef, 2)),
        Child::TooLong => init.extend(return_zeros_after(STOP, TOO_LONG)),
        Child::Costly => init.extend(return_zeros_after(STOP, COSTLY)),
        Child::Varying(opcode) => vary(&mut init, opcode),
    }
    init
}

/// The code of a [destructible](Child::Destructible) contract. Of its slots it writes only slot 1; it reads
/// slot 0 or 2, depending on bit 1 of the input.
pub(crate) fn destructible_code() -> Vec<u8> {
    let mut code = vec![CALLVALUE, PUSH1, 0, JUMPI, PUSH1, 0, CALLDATALOAD, PUSH1, 1, AND, PUSH1, 0, JUMPI];
    code.extend(COUNT_IN_SLOT_1);
    code.push(STOP);
    code[11] = code.len() as u8;
    code.extend([JUMPDEST, PUSH1, 0, CALLDATALOAD, PUSH1, 2, AND, SLOAD, PUSH1, 0, MSTORE]);
    code.extend([PUSH1, 7, PUSH1, 32, PUSH1, 0, LOG1, PUSH1, 32, PUSH1, 0, RETURN]);
    code[2] = code.len() as u8;
    code.extend([JUMPDEST, CALLER, SELFDESTRUCT]);
    code
}

/// Returns this byte and zeros after it, `length` bytes in all.
pub(crate) fn return_zeros_after(first: u8, length: u16) -> [u8; 11] {
    let [high, low] = length.to_be_bytes();
    [PUSH1, first, PUSH1, 0, MSTORE8, PUSH2, high, low, PUSH1, 0, RETURN]
}

/// Stores bytes in memory, from its start.
pub(crate) fn store_in_memory(code: &mut Vec<u8>, bytes: &[u8]) {
    for (position, chunk) in bytes.chunks(32).enumerate() {
        let mut word = [0; 32];
        word[..chunk.len()].copy_from_slice(chunk);
        code.push(PUSH32);
        code.extend(word);
        code.extend([PUSH1, 32 * position as u8, MSTORE]);
    }
}

fn return_bytes(init: &mut Vec<u8>, bytes: &[u8]) {
    store_in_memory(init, bytes);
    init.extend([PUSH1, bytes.len() as u8, PUSH1, 0, RETURN]);
}

/// The rest of a [varying](Child::Varying) contract's init code: two bits of the reading decide. They differ
/// between the first two senders.
fn vary(init: &mut Vec<u8>, opcode: u8) {
    let [high, low] = (NUMBER - 1).to_be_bytes();
    let reading = if opcode == BLOCKHASH { vec![PUSH2, high, low, opcode] } else { vec![opcode] };
    init.extend([PUSH1, 16]);
    init.extend(&reading);
    init.extend([DIV, PUSH1, 3, AND]);
    let mut targets = Vec::new();
    for bits in 1..4 {
        init.extend([DUP1, PUSH1, bits, EQ, PUSH1, 0, JUMPI]);
        targets.push(init.len() - 2);
    }
    init.push(STOP);
    for (bits, target) in (1..4).zip(targets) {
        init[target] = init.len() as u8;
        init.push(JUMPDEST);
        match bits {
            1 => init.extend([PUSH1, 0, PUSH1, 0, REVERT]),
            2 => return_bytes(init, &destructible_code()),
            _ => {
                init.extend(&reading);
                // A zero precedes the reading, because no code may start with 0xEF.
                init.extend([PUSH1, 1, MSTORE, PUSH1, 33, PUSH1, 0, RETURN]);
            }
        }
    }
}
