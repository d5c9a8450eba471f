//! How creations end.

use std::collections::HashMap;

use alloy_primitives::{B256, Bytes};
use revm::interpreter::{CreateInputs, CreateOutcome, InstructionResult};

/// What a creation that is refused finds at its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Nonce,
    Code,
    Storage,
}

/// The name of the way in which a creation ended; `found` is what was at its address.
pub(super) fn end_of(outcome: &CreateOutcome, found: Option<Found>) -> &'static str {
    use InstructionResult::*;
    match (outcome.result.result, found) {
        (CreateCollision, Some(Found::Storage)) => "creation at an account with storage",
        (CreateCollision, Some(Found::Code)) => "creation at an account with code",
        (CreateCollision, _) => "creation at an account with a nonce",
        (OutOfFunds, _) => "creation without the balance for its value",
        (OverflowPayment, _) => "creation that overflows a balance",
        (Return, _) if outcome.address.is_none() => "creation by an account with the highest nonce",
        (Revert, _) => "creation that reverts",
        (CreateContractStartingWithEF, _) => "creation of a code with 0xEF",
        (CreateContractSizeLimit, _) => "creation of a code that is too long",
        // The output is the code for which no gas is left.
        (OutOfGas, _) if !outcome.result.output.is_empty() => "creation without gas for the code",
        (OutOfGas | MemoryOOG, _) => "creation that runs out of gas",
        (InvalidFEOpcode, _) => "creation with an invalid opcode",
        (Stop | Return | SelfDestruct, _) => "creation",
        _ => "creation that fails otherwise",
    }
}

/// How the creations of a block with the same init code ended.
#[derive(Debug, Default)]
pub(super) struct InitCodes(HashMap<B256, (InstructionResult, Bytes)>);

impl InitCodes {
    /// Whether the init code had another end, or made another code, the time before.
    pub(super) fn varies(&mut self, inputs: &CreateInputs, outcome: &CreateOutcome) -> bool {
        use InstructionResult::{Return, Revert, Stop};
        let end = outcome.result.result;
        if !matches!(end, Return | Stop | Revert) || (end == Return && outcome.address.is_none()) {
            return false;
        }
        let end = (end, outcome.result.output.clone());
        let before = self.0.insert(inputs.init_code_hash(), end.clone());
        before.is_some_and(|before| before != end)
    }
}
