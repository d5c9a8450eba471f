//! The contracts of every generated state: tokens, pools, and a worker.

use alloy_primitives::{Address, U256};
use blockloom_fixtures::contracts::pool::Pool;

use super::names::{address, thousandths};

/// The number of tokens.
pub(super) const TOKENS: u64 = 16;
/// The time from the last use of a pool to the first block, in seconds.
const POOL_AGE: u32 = 60;

/// The addresses of the contracts, derived from the seed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Addresses {
    pub(super) seed: u64,
}

impl Addresses {
    pub(super) fn token(self, number: u64) -> Address {
        address(self.seed, "token", number)
    }

    pub(super) fn worker(self) -> Address {
        address(self.seed, "worker", 0)
    }

    pub(super) fn coinbase(self) -> Address {
        address(self.seed, "coinbase", 0)
    }

    /// A pool of a state with a fixed number of pools.
    pub(super) fn pool_address(self, number: u64) -> Address {
        address(self.seed, "pool", number)
    }

    /// The tokens of a pool.
    pub(super) fn pool_tokens(self, pool: Address) -> [Address; 2] {
        // The address of the pool selects the tokens.
        let first = u64::from(pool[0]) % TOKENS;
        [self.token(first), self.token((first + 1) % TOKENS)]
    }

    /// The storage of a pool before a block at `timestamp`.
    pub(super) fn pool(self, pool: Address, timestamp: u64) -> Pool {
        let [token0, token1] = self.pool_tokens(pool);
        Pool { timestamp: timestamp as u32 - POOL_AGE, ..Pool::new(token0, token1) }
    }
}

/// Enough ether for a block of payments.
pub(super) fn rich_balance() -> U256 {
    thousandths(1_000_000_000)
}

/// Enough of a token for a block of payments.
pub(super) fn rich_token_balance() -> U256 {
    thousandths(1_000_000)
}
