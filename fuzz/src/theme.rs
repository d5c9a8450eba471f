//! The theme of a block.

use alloy_hardforks::EthereumHardfork::{self, *};

use crate::{assemble::has_create2, choices::Choices};

/// What most transactions and contracts of a block are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Theme {
    /// Nothing in particular.
    Mixed,
    /// Contracts are destroyed, created again, and asked for slots of their earlier life.
    Lives,
    /// Contracts are created at addresses that have nothing but storage, which a touch may clear.
    StorageOnly,
    /// Accounts that are empty or absent are called without value.
    Touches,
    /// Balances and transfers are near 2^256.
    Huge,
    /// Creations fail.
    Creations,
    /// Code depends on what a transaction or its block sets.
    Environment,
    /// Runs on an earlier state pay and create accounts that the same runs leave alone on the right state.
    StaleEffects,
}

impl Theme {
    /// One of the themes that make a difference under a fork.
    pub(crate) fn new(fork: EthereumHardfork, choices: &mut Choices<'_>) -> Self {
        use Theme::*;
        let (main, other) = if fork < SpuriousDragon {
            (Touches, StorageOnly)
        } else if !has_create2(fork) {
            (StorageOnly, StorageOnly)
        } else if fork < Paris {
            (Lives, StorageOnly)
        } else {
            (Lives, Lives)
        };
        let common = [Huge, Huge, Creations, Creations, Environment, Environment, StaleEffects, StaleEffects];
        choices.of(&[&[Mixed, Mixed, main, main, main, other][..], &common].concat())
    }
}
