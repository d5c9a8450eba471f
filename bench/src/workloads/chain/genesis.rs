//! The genesis state of a generated chain, account by account.

use std::{collections::BTreeMap, iter};

use alloy_primitives::{Address, Bytes, U256};
use blockloom_fixtures::{
    compose::system_contracts,
    contracts::{
        pool::{self, Pool},
        token, worker,
    },
};
use blockloom_state::Allocation;

use super::{proposer::FIRST_TIMESTAMP, users::Users};
use crate::workloads::{
    addresses::{Addresses, TOKENS, rich_balance, rich_token_balance},
    names::thousandths,
};

/// The number of pools.
const POOLS: u64 = 8;
/// The number of contracts: system contracts, tokens, pools, and the worker.
const CONTRACTS: u64 = 4 + TOKENS + POOLS + 1;
/// One in this many users holds a token.
const USERS_PER_HOLDER: u64 = 4;

/// Senders have funds for this many blocks, more than a chain has.
const BLOCKS_OF_FUNDS: U256 = U256::from_limbs([1000, 0, 0, 0]);

/// The genesis state of a chain. It is not held in memory: each account is computed on demand.
#[derive(Clone, Debug)]
pub struct ChainGenesis {
    pub(super) addresses: Addresses,
    pub(super) users: Users,
}

impl ChainGenesis {
    pub(super) fn new(seed: u64, accounts: u64) -> Self {
        Self { addresses: Addresses { seed }, users: Users::new(seed, accounts - CONTRACTS) }
    }

    /// Every account once, in a fixed order.
    pub fn accounts(&self) -> impl Iterator<Item = (Address, Allocation)> {
        let tokens = (0..TOKENS).map(|number| {
            let token = self.addresses.token(number);
            (token, contract(token::code(), self.token_storage(number, token)))
        });
        let pools = self.pools().map(|(address, pool)| (address, contract(pool::code(), pool.storage())));
        let worker = || (self.addresses.worker(), contract(worker::code(), self.worker_storage()));
        let users = (0..self.users.count()).map(|number| self.user(number));
        system_contracts().into_iter().chain(tokens).chain(pools).chain(iter::once_with(worker)).chain(users)
    }

    /// The pool that a sender swaps in. The sender has the tokens of this pool.
    pub(super) fn pool_of(&self, sender: usize) -> Address {
        self.addresses.pool_address(sender as u64 % POOLS)
    }

    /// The tokens that a sender has.
    pub(super) fn tokens_of(&self, sender: usize) -> [Address; 2] {
        self.addresses.pool_tokens(self.pool_of(sender))
    }

    fn user(&self, number: u64) -> (Address, Allocation) {
        let address = self.users.address(number);
        let balance = if number < self.users.senders.len() as u64 {
            rich_balance() * BLOCKS_OF_FUNDS
        } else {
            thousandths(1 + u64::from(address[0]) * u64::from(address[1]))
        };
        (address, Allocation { balance, ..Allocation::default() })
    }

    fn pools(&self) -> impl Iterator<Item = (Address, Pool)> {
        let addresses = (0..POOLS).map(|number| self.addresses.pool_address(number));
        addresses.map(|address| (address, self.addresses.pool(address, FIRST_TIMESTAMP)))
    }

    /// The storage of a token: balances, total supply, and the allowances of pools.
    fn token_storage(&self, number: u64, token: Address) -> BTreeMap<U256, U256> {
        let holders = self.holders(number).chain(self.rich(token)).chain(self.reserves(token));
        let mut storage: BTreeMap<_, _> =
            holders.map(|(holder, amount)| (token::balance_slot(holder), amount)).collect();
        storage.insert(token::SUPPLY_SLOT, storage.values().sum());
        let allowances = self.senders_of(token).map(|(sender, address)| (address, self.pool_of(sender)));
        storage.extend(allowances.map(|(owner, pool)| (token::allowance_slot(owner, pool), U256::MAX)));
        storage
    }

    /// The users with a small balance of a token.
    fn holders(&self, token: u64) -> impl Iterator<Item = (Address, U256)> {
        let step = (TOKENS * USERS_PER_HOLDER) as usize;
        let numbers = (token * USERS_PER_HOLDER..self.users.count()).step_by(step);
        numbers.map(|number| (self.users.address(number), thousandths(1 + number % 1_000_000)))
    }

    /// The senders that use a token, with their positions.
    fn senders_of(&self, token: Address) -> impl Iterator<Item = (usize, Address)> {
        let senders = self.users.senders.iter().map(|sender| sender.address).enumerate();
        senders.filter(move |(sender, _)| self.tokens_of(*sender).contains(&token))
    }

    /// The senders that use a token, with more of it than they can send.
    fn rich(&self, token: Address) -> impl Iterator<Item = (Address, U256)> {
        self.senders_of(token).map(|(_, address)| (address, rich_token_balance() * BLOCKS_OF_FUNDS))
    }

    /// The balances of the pools in a token.
    fn reserves(&self, token: Address) -> impl Iterator<Item = (Address, U256)> {
        self.pools().flat_map(move |(address, pool)| {
            let tokens = [pool.token0, pool.token1].into_iter().zip(pool.balances());
            tokens.filter(move |(other, _)| *other == token).map(move |(_, balance)| (address, balance))
        })
    }

    /// The worker's storage: the initialized slots of every sender.
    fn worker_storage(&self) -> BTreeMap<U256, U256> {
        let slots =
            |owner| (0..worker::SLOTS_PER_CALLER).map(move |number| worker::caller_slot(owner, number));
        let senders = self.users.senders.iter();
        senders.flat_map(|sender| slots(sender.address)).map(|slot| (slot, U256::ONE)).collect()
    }
}

fn contract(code: Bytes, storage: BTreeMap<U256, U256>) -> Allocation {
    Allocation { nonce: 1, code, storage, ..Allocation::default() }
}
