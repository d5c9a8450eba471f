//! What a transaction of a workload does, and its payload.

use alloy_primitives::{Address, Bytes, TxKind, U256};
use blockloom_fixtures::Random;
use blockloom_fixtures::contracts::{
    pool::{self, Direction},
    token, worker,
};

use super::{Shape, names::thousandths};

/// What a transaction does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Job {
    /// Pays ether.
    Pay,
    /// Transfers a token.
    Transfer,
    /// Sets an allowance of a token.
    Approve,
    /// Swaps in a pool.
    Swap,
    /// Creates a token contract.
    Create,
    /// Runs a long computation.
    Work,
}

impl Job {
    pub(super) const KINDS: usize = 6;

    /// A random job, with about the frequencies of mainnet.
    pub(super) fn as_on_mainnet(random: &mut Random) -> Self {
        match random.below(200) {
            0 => Self::Create,
            1..=3 => Self::Work,
            4..=13 => Self::Approve,
            14..=53 => Self::Swap,
            54..=123 => Self::Transfer,
            _ => Self::Pay,
        }
    }

    /// The approximate gas that it uses in a block of this shape.
    pub(super) const fn gas(self, shape: Shape) -> u64 {
        match self {
            Self::Pay => 21_000,
            // The recipient has no balance yet, so the transfer creates a slot.
            Self::Transfer if matches!(shape, Shape::Chain) => 46_500,
            Self::Transfer => 34_500,
            Self::Approve => 46_000,
            Self::Swap => 105_000,
            Self::Create => 700_000,
            Self::Work => 600_000,
        }
    }

    /// The gas limit of the transaction.
    pub(super) const fn gas_limit(self) -> u64 {
        match self {
            Self::Pay => 21_000,
            _ => self.gas(Shape::Chain) / 2 * 3,
        }
    }
}

/// The payload of a transaction: recipient, value, data, and gas limit.
#[derive(Clone, Debug)]
pub(super) struct Payload {
    pub(super) to: TxKind,
    pub(super) value: U256,
    pub(super) data: Bytes,
    pub(super) gas_limit: u64,
}

impl Payload {
    pub(super) fn pay(to: Address, value: U256) -> Self {
        Self { to: to.into(), value, data: Bytes::new(), gas_limit: Job::Pay.gas_limit() }
    }

    pub(super) fn transfer(token: Address, to: Address, amount: U256) -> Self {
        Self::call(Job::Transfer, token, token::transfer(to, amount))
    }

    pub(super) fn approve(token: Address, spender: Address, amount: U256) -> Self {
        Self::call(Job::Approve, token, token::approve(spender, amount))
    }

    /// Swaps up to a tenth of a token, in a random direction.
    pub(super) fn swap(pool: Address, random: &mut Random) -> Self {
        let direction = if random.below(2) == 0 { Direction::ZeroForOne } else { Direction::OneForZero };
        let amount = thousandths(1 + random.below(100));
        Self::call(Job::Swap, pool, pool::swap(direction, amount, U256::ONE))
    }

    pub(super) fn create() -> Self {
        let (data, gas_limit) = (token::creation_code(), Job::Create.gas_limit());
        Self { to: TxKind::Create, value: U256::ZERO, data, gas_limit }
    }

    pub(super) fn work(worker: Address, random: &mut Random) -> Self {
        Self::call(Job::Work, worker, worker::work(500 + random.below(1000)))
    }

    fn call(job: Job, to: Address, data: Bytes) -> Self {
        Self { to: to.into(), value: U256::ZERO, data, gas_limit: job.gas_limit() }
    }
}
