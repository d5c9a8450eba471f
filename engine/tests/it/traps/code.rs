//! A small assembler for test bytecode.

use alloy_primitives::{Address, Bytes, U256};
use revm::bytecode::opcode::*;

/// The gas that each call forwards. Before EIP-150 the caller must have it.
const CALL_GAS: u64 = 60_000;

/// Bytecode; each method appends to it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Code(Vec<u8>);

impl Code {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn ops(mut self, opcodes: impl IntoIterator<Item = u8>) -> Self {
        self.0.extend(opcodes);
        self
    }

    /// The shortest push, without PUSH0, which most forks do not have.
    pub(crate) fn push(self, value: impl Into<Word>) -> Self {
        let bytes = value.into().0.to_be_bytes_trimmed_vec();
        let bytes = if bytes.is_empty() { vec![0] } else { bytes };
        self.ops([PUSH0 + bytes.len() as u8]).ops(bytes)
    }

    /// Writes a constant into a slot.
    pub(crate) fn sstore(self, key: impl Into<Word>, value: impl Into<Word>) -> Self {
        self.push(value).store_top(key)
    }

    /// Writes the top of the stack into a slot.
    pub(crate) fn store_top(self, key: impl Into<Word>) -> Self {
        self.push(key).ops([SSTORE])
    }

    /// Writes the top of the stack into the slot that the first word of the call data names.
    pub(crate) fn store_at_argument(self) -> Self {
        self.argument(0).ops([SSTORE])
    }

    /// Adds to a slot.
    pub(crate) fn increment(self, key: u64, by: u64) -> Self {
        self.push(key).ops([SLOAD]).push(by).ops([ADD]).store_top(key)
    }

    /// Pushes a word of the call data.
    pub(crate) fn argument(self, position: u64) -> Self {
        self.push(32 * position).ops([CALLDATALOAD])
    }

    /// Calls without data, and leaves the success flag on the stack.
    pub(crate) fn call(self, to: Address, value: u64) -> Self {
        self.call_with(to, value, 0)
    }

    /// Calls with the first `length` bytes of memory as data.
    pub(crate) fn call_with(self, to: Address, value: u64, length: u64) -> Self {
        self.push(0).push(0).push(length).push(0).push(value).push(to).push(CALL_GAS).ops([CALL])
    }

    /// Calls the address in the first word of the call data.
    pub(crate) fn call_argument(self, value: u64) -> Self {
        let ends = self.push(0).push(0).push(0).push(0).push(value);
        ends.argument(0).push(CALL_GAS).ops([CALL])
    }

    /// Writes bytes to the start of memory.
    pub(crate) fn memory(mut self, bytes: &[u8]) -> Self {
        for (number, chunk) in bytes.chunks(32).enumerate() {
            let mut word = [0; 32];
            word[..chunk.len()].copy_from_slice(chunk);
            self = self.ops([PUSH32]).ops(word).push(32 * number as u64).ops([MSTORE]);
        }
        self
    }

    /// Creates a contract, and leaves its address, or zero, on the stack.
    pub(crate) fn create(self, init: &[u8], value: u64) -> Self {
        self.memory(init).push(init.len() as u64).push(0).push(value).ops([CREATE])
    }

    /// Creates a contract with salt zero, and leaves its address, or zero, on the stack.
    pub(crate) fn create2(self, init: &[u8], value: u64) -> Self {
        self.memory(init).push(0).push(init.len() as u64).push(0).push(value).ops([CREATE2])
    }

    /// Logs the top of the stack.
    pub(crate) fn log(self) -> Self {
        self.push(0).ops([MSTORE]).push(32).push(0).ops([LOG0])
    }

    pub(crate) fn destroy(self, heir: Address) -> Self {
        self.push(heir).ops([SELFDESTRUCT])
    }

    /// Runs `yes` if `condition` leaves a value other than zero on the stack, and `no` otherwise.
    pub(crate) fn branch(self, condition: Self, yes: Self, no: Self) -> Self {
        let start = self.0.len() + condition.0.len();
        let target = start + 4 + no.0.len() + 1;
        let jump = [PUSH2, (target >> 8) as u8, target as u8, JUMPI];
        self.ops(condition.0).ops(jump).ops(no.0).ops([STOP, JUMPDEST]).ops(yes.0)
    }

    /// Init code that runs this code and then deploys `runtime`.
    pub(crate) fn deploying(self, runtime: &Self) -> Self {
        let (length, offset) = (runtime.0.len() as u16, self.0.len() as u8 + 12);
        let [high, low] = length.to_be_bytes();
        self.ops([PUSH2, high, low, DUP1, PUSH1, offset, PUSH1, 0, CODECOPY, PUSH1, 0, RETURN])
            .ops(runtime.0.iter().copied())
    }

    pub(crate) fn bytes(&self) -> Bytes {
        self.0.clone().into()
    }
}

/// A value that can be pushed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Word(pub(crate) U256);

impl From<u64> for Word {
    fn from(value: u64) -> Self {
        Self(U256::from(value))
    }
}

impl From<i32> for Word {
    fn from(value: i32) -> Self {
        Self(U256::from(value))
    }
}

impl From<U256> for Word {
    fn from(value: U256) -> Self {
        Self(value)
    }
}

impl From<Address> for Word {
    fn from(address: Address) -> Self {
        Self(address.into_word().into())
    }
}
