//! The init codes of the contracts that programs create, and the codes of these contracts.
//!
//! They are the same under every fork, because the address of a child depends on its init code.

use revm::bytecode::opcode::*;

use crate::act::Child;

/// The init code of a child. It first increments slot 1, so a value in that slot that survives a
/// destruction becomes visible.
pub(crate) fn init_code(child: Child) -> Vec<u8> {
    let mut init = COUNT_IN_SLOT_1.to_vec();
    match child {
        Child::Destructible => {
            let length = destructible_code().len() as u8;
            store_in_memory(&mut init, &destructible_code());
            init.extend([PUSH1, length, PUSH1, 0, RETURN]);
        }
        Child::DestroyedInInit => init.extend([CALLER, SELFDESTRUCT]),
        Child::StorageOnly => init.push(STOP),
        Child::Failing => init.push(INVALID),
    }
    init
}

/// The code of a [destructible](Child::Destructible) contract.
pub(crate) fn destructible_code() -> Vec<u8> {
    let mut code = vec![CALLVALUE, PUSH1, 14, JUMPI];
    code.extend(COUNT_IN_SLOT_1);
    code.extend([STOP, JUMPDEST, CALLER, SELFDESTRUCT]);
    code
}

const COUNT_IN_SLOT_1: [u8; 9] = [PUSH1, 1, SLOAD, PUSH1, 1, ADD, PUSH1, 1, SSTORE];

pub(crate) fn store_in_memory(code: &mut Vec<u8>, bytes: &[u8]) {
    for (position, chunk) in bytes.chunks(32).enumerate() {
        let mut word = [0; 32];
        word[..chunk.len()].copy_from_slice(chunk);
        code.push(PUSH32);
        code.extend(word);
        code.extend([PUSH1, 32 * position as u8, MSTORE]);
    }
}
