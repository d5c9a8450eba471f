//! What transactions are to do, before anybody knows the nonces and balances that they will meet.

use std::ops::Range;

use alloy_primitives::Address;

use crate::{
    cast::{AUTHORITIES, CONTRACTS, SENDERS, children, contract, everybody, sender},
    choices::Choices,
    program::{Act, SLOTS, program},
    system::REQUESTED,
};

/// What a transaction is to do.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The number of its sender.
    pub(crate) sender: u8,
    pub(crate) to: To,
    /// The account that its input names.
    pub(crate) named: Address,
    pub(crate) amount: Amount,
    pub(crate) gas: Gas,
    /// What the coinbase gets for each unit of gas.
    pub(crate) tip: u16,
    pub(crate) form: Form,
    /// The accounts, with one slot each, of its access list.
    pub(crate) access: Vec<(Address, u8)>,
    /// What makes it invalid, on purpose.
    pub(crate) flaw: Option<Flaw>,
}

/// Where a transaction goes.
#[derive(Clone, Debug)]
pub(crate) enum To {
    /// To one of the contracts that are there before the block.
    Contract(u8),
    /// To an account.
    Account(Address),
    /// It creates a contract, and this is its init code.
    Creation(Vec<Act>),
}

/// What a transaction pays to whom it goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Amount {
    Wei(u8),
    /// Enough to send transactions.
    Fortune,
}

/// The gas limit of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gas {
    Limit(u64),
    /// Exactly what the transactions before it left of the block's.
    AllThatIsLeft,
}

/// The type of a transaction; a fork that does not know it gets a legacy one.
#[derive(Clone, Debug)]
pub(crate) enum Form {
    /// Not bound to a chain.
    Unprotected,
    Legacy,
    AccessList,
    DynamicFee,
    /// With so many blobs.
    Blob(u8),
    SetCode(Vec<Delegation>),
}

/// An authority, and whose code it is to run from now on.
#[derive(Clone, Debug)]
pub(crate) struct Delegation {
    pub(crate) authority: u8,
    pub(crate) target: Address,
    pub(crate) binding: Binding,
}

/// What an authorization is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Binding {
    ThisChain,
    AnyChain,
    AnotherChain,
    AnotherNonce,
}

/// What makes a transaction invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    NonceAhead,
    NonceBehind,
    AboveMeans,
    AboveBlock,
    BelowIntrinsicGas,
}

impl Flaw {
    const ALL: [Self; 5] =
        [Self::NonceAhead, Self::NonceBehind, Self::AboveMeans, Self::AboveBlock, Self::BelowIntrinsicGas];
}

impl Plan {
    /// A plan for one transaction.
    pub(crate) fn new(choices: &mut Choices<'_>) -> Self {
        Self {
            sender: choices.below(SENDERS),
            to: to(choices),
            named: choices.of(everybody()),
            amount: if choices.one_in(9) { Amount::Fortune } else { Amount::Wei(choices.below(3)) },
            gas: match choices.below(26) {
                0..20 => Gas::Limit(400_000),
                20..23 => Gas::Limit(90_000),
                23..25 => Gas::Limit(21_000),
                _ => Gas::AllThatIsLeft,
            },
            tip: choices.of(&[0, 0, 1, 200]),
            form: form(choices),
            access: (0..choices.below(3)).map(|_| (choices.of(everybody()), choices.below(SLOTS))).collect(),
            flaw: choices.one_in(50).then(|| choices.of(&Flaw::ALL)),
        }
    }

    /// The same plan with no more than so many senders, and some of the contracts that are called
    /// directly: with one of them every transaction depends on the one before.
    pub(crate) fn among(self, senders: u8, contracts: &Range<u8>) -> Self {
        let to = match self.to {
            To::Contract(number) => To::Contract(contracts.start + number % contracts.len() as u8),
            to => to,
        };
        Self { sender: self.sender % senders, to, ..self }
    }
}

fn to(choices: &mut Choices<'_>) -> To {
    match choices.below(21) {
        0..9 => To::Contract(choices.below(CONTRACTS)),
        9..12 => To::Account(choices.of(children())),
        12 => To::Account(children()[0]),
        13..17 => To::Account(sender(choices.below(AUTHORITIES))),
        17 => To::Account(choices.of(everybody())),
        18 => To::Account(choices.of(&REQUESTED)),
        _ => To::Creation(program(choices)),
    }
}

fn form(choices: &mut Choices<'_>) -> Form {
    match choices.below(13) {
        0..2 => Form::Legacy,
        2 => Form::Unprotected,
        3..5 => Form::AccessList,
        5..8 => Form::DynamicFee,
        8 => Form::Blob(1 + choices.below(2)),
        _ => Form::SetCode((0..=choices.below(3)).map(|_| delegation(choices)).collect()),
    }
}

fn delegation(choices: &mut Choices<'_>) -> Delegation {
    Delegation {
        authority: choices.below(AUTHORITIES),
        target: match choices.below(9) {
            0..6 => contract(choices.below(CONTRACTS)),
            6..8 => Address::ZERO,
            _ => choices.of(everybody()),
        },
        binding: match choices.below(12) {
            0..8 => Binding::ThisChain,
            8..10 => Binding::AnyChain,
            10 => Binding::AnotherChain,
            _ => Binding::AnotherNonce,
        },
    }
}
