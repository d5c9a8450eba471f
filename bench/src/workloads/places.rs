//! The places that every generated state has: tokens, pools, a worker.

use alloy_primitives::{Address, U256};
use blockloom_fixtures::contracts::pool::Pool;

use super::random::{address, thousandths};

/// How many tokens there are.
pub(super) const TOKENS: u64 = 16;
/// How long before the first block a pool was used last, in seconds.
const POOL_AGE: u32 = 60;

/// Where everything is that a seed has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places {
    pub(super) seed: u64,
}

impl Places {
    pub(super) fn token(self, number: u64) -> Address {
        address(self.seed, "token", number)
    }

    pub(super) fn worker(self) -> Address {
        address(self.seed, "worker", 0)
    }

    pub(super) fn coinbase(self) -> Address {
        address(self.seed, "coinbase", 0)
    }

    /// One of the pools, where a state has a fixed number of them.
    pub(super) fn pool_address(self, number: u64) -> Address {
        address(self.seed, "pool", number)
    }

    /// The tokens of a pool.
    pub(super) fn pool_tokens(self, pool: Address) -> [Address; 2] {
        // Which tokens it has goes by its address.
        let first = u64::from(pool[0]) % TOKENS;
        [self.token(first), self.token((first + 1) % TOKENS)]
    }

    /// A pool as it is before a block that is made at `timestamp`.
    pub(super) fn pool(self, pool: Address, timestamp: u64) -> Pool {
        let [token0, token1] = self.pool_tokens(pool);
        Pool { timestamp: timestamp as u32 - POOL_AGE, ..Pool::new(token0, token1) }
    }
}

/// What is enough for a block of payments.
pub(super) fn riches() -> U256 {
    thousandths(1_000_000_000)
}

/// What is enough of a token.
pub(super) fn token_riches() -> U256 {
    thousandths(1_000_000)
}
