//! The message of a transaction: what it calls or creates, with which value and input.

use alloy_primitives::{Address, U256};

use crate::{
    act::Act,
    actors::{AUTHORITIES, CONTRACTS, all_actors, children, sender},
    choices::Choices,
    program::program,
    system::REQUEST_CONTRACTS,
};

/// What a transaction calls or creates.
#[derive(Clone, Debug)]
pub(crate) enum To {
    /// Calls one of the contracts that exist before the block.
    Contract(u8),
    /// Calls an account.
    Account(Address),
    /// Creates a contract with this init code.
    Creation(Vec<Act>),
}

/// The value of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Amount {
    Wei(u8),
    /// Enough to send transactions.
    Funding,
    /// Near the most that a balance can be.
    Huge(U256),
}

/// The message of a transaction: what it calls or creates, with which value and input.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) to: To,
    pub(crate) amount: Amount,
    /// The account in the input.
    pub(crate) input_account: Address,
}

impl Message {
    /// A message about nothing in particular.
    pub(crate) fn new(choices: &mut Choices<'_>) -> Self {
        Self {
            to: to(choices),
            input_account: choices.of(all_actors()),
            amount: if choices.one_in(9) { Amount::Funding } else { Amount::Wei(choices.below(3)) },
        }
    }
}

fn to(choices: &mut Choices<'_>) -> To {
    match choices.below(21) {
        0..9 => To::Contract(choices.below(CONTRACTS)),
        9..12 => To::Account(choices.of(children())),
        12 => To::Account(children()[0]),
        13..17 => To::Account(sender(choices.below(AUTHORITIES))),
        17 => To::Account(choices.of(all_actors())),
        18 => To::Account(choices.of(&REQUEST_CONTRACTS)),
        _ => To::Creation(program(choices)),
    }
}
