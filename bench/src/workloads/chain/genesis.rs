//! The state that a generated chain starts with, account by account.

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

use super::{people::People, proposer::FIRST_TIMESTAMP};
use crate::workloads::{
    places::{Places, TOKENS, riches, token_riches},
    random::thousandths,
};

/// How many pools there are.
const POOLS: u64 = 8;
/// How many contracts are among the accounts: the system's, the tokens, the pools and the worker.
const CONTRACTS: u64 = 4 + TOKENS + POOLS + 1;
/// Of so many people one holds a token.
const PEOPLE_PER_HOLDER: u64 = 4;

/// What a chain needs is provided once, and for more blocks than there will be.
const BLOCKS_OF_PLENTY: U256 = U256::from_limbs([1000, 0, 0, 0]);

/// The state that a chain starts with. It is not held: each account is made when it is asked for.
#[derive(Clone, Debug)]
pub struct Genesis {
    pub(super) places: Places,
    pub(super) people: People,
}

impl Genesis {
    pub(super) fn new(seed: u64, accounts: u64) -> Self {
        Self { places: Places { seed }, people: People::new(seed, accounts - CONTRACTS) }
    }

    /// Every account, each once, in an order that is always the same.
    pub fn accounts(&self) -> impl Iterator<Item = (Address, Allocation)> {
        let tokens = (0..TOKENS).map(|number| {
            let token = self.places.token(number);
            (token, contract(token::code(), self.token_storage(number, token)))
        });
        let pools = self.pools().map(|(address, pool)| (address, contract(pool::code(), pool.storage())));
        let worker = || (self.places.worker(), contract(worker::code(), self.spools()));
        let people = (0..self.people.count()).map(|number| self.person(number));
        system_contracts().into_iter().chain(tokens).chain(pools).chain(iter::once_with(worker)).chain(people)
    }

    /// The pool that a sender swaps in. Its tokens are those that the sender has.
    pub(super) fn pool_of(&self, sender: usize) -> Address {
        self.places.pool_address(sender as u64 % POOLS)
    }

    /// The tokens that a sender has.
    pub(super) fn tokens_of(&self, sender: usize) -> [Address; 2] {
        self.places.pool_tokens(self.pool_of(sender))
    }

    fn person(&self, number: u64) -> (Address, Allocation) {
        let address = self.people.address(number);
        let balance = if number < self.people.senders.len() as u64 {
            riches() * BLOCKS_OF_PLENTY
        } else {
            thousandths(1 + u64::from(address[0]) * u64::from(address[1]))
        };
        (address, Allocation { balance, ..Allocation::default() })
    }

    fn pools(&self) -> impl Iterator<Item = (Address, Pool)> {
        let addresses = (0..POOLS).map(|number| self.places.pool_address(number));
        addresses.map(|address| (address, self.places.pool(address, FIRST_TIMESTAMP)))
    }

    /// The storage of a token: who has of it, how much that is together, and what pools may take.
    fn token_storage(&self, number: u64, token: Address) -> BTreeMap<U256, U256> {
        let holders = self.holders(number).chain(self.rich(token)).chain(self.reserves(token));
        let mut storage: BTreeMap<_, _> =
            holders.map(|(holder, amount)| (token::balance_slot(holder), amount)).collect();
        storage.insert(token::SUPPLY_SLOT, storage.values().sum());
        let allowances = self.users(token).map(|(sender, address)| (address, self.pool_of(sender)));
        storage.extend(allowances.map(|(owner, pool)| (token::allowance_slot(owner, pool), U256::MAX)));
        storage
    }

    /// The people who have a little of a token.
    fn holders(&self, token: u64) -> impl Iterator<Item = (Address, U256)> {
        let step = (TOKENS * PEOPLE_PER_HOLDER) as usize;
        let numbers = (token * PEOPLE_PER_HOLDER..self.people.count()).step_by(step);
        numbers.map(|number| (self.people.address(number), thousandths(1 + number % 1_000_000)))
    }

    /// The senders who use a token, by their positions.
    fn users(&self, token: Address) -> impl Iterator<Item = (usize, Address)> {
        let senders = self.people.senders.iter().map(|sender| sender.address).enumerate();
        senders.filter(move |(sender, _)| self.tokens_of(*sender).contains(&token))
    }

    /// The senders who use a token, and have more of it than they will ever give away.
    fn rich(&self, token: Address) -> impl Iterator<Item = (Address, U256)> {
        self.users(token).map(|(_, address)| (address, token_riches() * BLOCKS_OF_PLENTY))
    }

    /// What the pools have of a token.
    fn reserves(&self, token: Address) -> impl Iterator<Item = (Address, U256)> {
        self.pools().flat_map(move |(address, pool)| {
            let tokens = [pool.token0, pool.token1].into_iter().zip(pool.balances());
            tokens.filter(move |(other, _)| *other == token).map(move |(_, balance)| (address, balance))
        })
    }

    /// What every sender has wound up at the worker.
    fn spools(&self) -> BTreeMap<U256, U256> {
        let spools = |owner| (0..worker::SPOOLS).map(move |spool| worker::spool_slot(owner, spool));
        let senders = self.people.senders.iter();
        senders.flat_map(|sender| spools(sender.address)).map(|slot| (slot, U256::ONE)).collect()
    }
}

fn contract(code: Bytes, storage: BTreeMap<U256, U256>) -> Allocation {
    Allocation { nonce: 1, code, storage, ..Allocation::default() }
}
