//! Plans of transactions, made before their senders' nonces and balances are known.

use std::ops::Range;

use alloy_primitives::Address;

use crate::{
    actors::{AUTHORITIES, CONTRACTS, SENDERS, all_actors, contract},
    choices::Choices,
    message::{Amount, Message, To},
    program::SLOTS,
    scene::Scene,
};

/// The plan of a transaction.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The number of its sender.
    pub(crate) sender: u8,
    pub(crate) to: To,
    /// The account in its input.
    pub(crate) input_account: Address,
    pub(crate) amount: Amount,
    pub(crate) gas: Gas,
    /// The priority fee per gas.
    pub(crate) tip: u16,
    pub(crate) form: Form,
    /// The accounts of its access list, with one slot each.
    pub(crate) access: Vec<(Address, u8)>,
    /// A deliberate error that makes it invalid.
    pub(crate) flaw: Option<Flaw>,
}

/// The gas limit of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gas {
    Limit(u64),
    /// The gas of the block that its predecessors left.
    RestOfBlock,
}

/// The type of a transaction; legacy under a fork that does not know the type.
#[derive(Clone, Debug)]
pub(crate) enum Form {
    /// Legacy, without a chain id.
    Unprotected,
    Legacy,
    AccessList,
    DynamicFee,
    /// With this number of blobs.
    Blob(u8),
    SetCode(Vec<Delegation>),
}

/// An authority, and the account that it delegates to.
#[derive(Clone, Debug)]
pub(crate) struct Delegation {
    pub(crate) authority: u8,
    pub(crate) target: Address,
    pub(crate) binding: Binding,
}

/// The chain id and nonce of an authorization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Binding {
    ThisChain,
    AnyChain,
    AnotherChain,
    AnotherNonce,
}

/// A deliberate error that makes a transaction invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    NonceAhead,
    NonceBehind,
    AboveBalance,
    /// The value and the gas together are more than a balance can be.
    AboveEveryBalance,
    AboveBlock,
    BelowIntrinsicGas,
}

impl Flaw {
    const ALL: [Self; 6] = [
        Self::NonceAhead,
        Self::NonceBehind,
        Self::AboveBalance,
        Self::AboveBlock,
        Self::BelowIntrinsicGas,
        Self::AboveEveryBalance,
    ];
}

impl Plan {
    /// A plan for one transaction of a block with this scene.
    pub(crate) fn new(scene: &Scene, choices: &mut Choices<'_>) -> Self {
        let sender = choices.below(SENDERS);
        let Message { to, amount, input_account } =
            scene.message(choices).unwrap_or_else(|| Message::new(choices));
        Self {
            sender,
            to,
            input_account,
            amount,
            gas: match choices.below(26) {
                0..20 => Gas::Limit(400_000),
                20..23 => Gas::Limit(90_000),
                23..25 => Gas::Limit(21_000),
                _ => Gas::RestOfBlock,
            },
            // The last two make init code that depends on GASPRICE end differently.
            tip: choices.of(&[0, 0, 1, 40, 208]),
            form: form(choices),
            access: (0..choices.below(3)).map(|_| (choices.of(all_actors()), choices.below(SLOTS))).collect(),
            flaw: choices.one_in(50).then(|| choices.of(&Flaw::ALL)),
        }
    }

    /// The plan with at most `senders` senders and only `contracts` as directly called contracts. With
    /// one contract, every transaction depends on its predecessor.
    pub(crate) fn restricted_to(self, senders: u8, contracts: &Range<u8>) -> Self {
        let to = match self.to {
            To::Contract(number) => To::Contract(contracts.start + number % contracts.len() as u8),
            to => to,
        };
        Self { sender: self.sender % senders, to, ..self }
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
            _ => choices.of(all_actors()),
        },
        binding: match choices.below(12) {
            0..8 => Binding::ThisChain,
            8..10 => Binding::AnyChain,
            10 => Binding::AnotherChain,
            _ => Binding::AnotherNonce,
        },
    }
}
