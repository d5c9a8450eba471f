//! The town where the transactions of a workload happen: its people, its tokens, its pools.
//!
//! Owns the state before the block and grows it with whatever a transaction needs to succeed.

use std::collections::BTreeMap;

use alloy_consensus::Header;
use alloy_hardforks::EthereumHardfork;
use alloy_primitives::{Address, B256, U256, keccak256, map::AddressMap};
use blockloom_engine::{Block, Frame, Rules, Transaction};
use blockloom_fixtures::contracts::{pool, token, worker};
use blockloom_state::{Account, MemoryStore, StoredAccount};
use revm::context::TxEnv;

use super::{
    job::{Errand, Job},
    parties::{Meeting, Passes},
    places::{Places, TOKENS, riches, token_riches},
    random::{Random, thousandths},
};

/// What everybody pays for gas, and what a block asks for, in wei.
const GAS_PRICE: u128 = 2_000_000_000;
const BASE_FEE: u64 = 1_000_000_000;
/// What a payment pays for gas.
const PAYMENT_FEE: u64 = Job::Pay.gas_limit() * GAS_PRICE as u64;
/// The second in which the block is made.
const TIMESTAMP: u64 = 2_000_000;

/// A town and the transactions in it.
pub(super) struct Town {
    places: Places,
    base: MemoryStore,
    pool_hash: B256,
    nonces: AddressMap<u64>,
    transactions: Vec<Transaction>,
}

impl Town {
    pub(super) fn new(seed: u64) -> Self {
        let mut base = MemoryStore::new();
        let token_hash = base.insert_code(token::code());
        let pool_hash = base.insert_code(pool::code());
        let worker_hash = base.insert_code(worker::code());
        let nonces = AddressMap::default();
        let places = Places { seed };
        let mut town = Self { places, base, pool_hash, nonces, transactions: Vec::new() };
        (0..TOKENS).for_each(|number| town.add_contract(places.token(number), token_hash, BTreeMap::new()));
        town.add_contract(places.worker(), worker_hash, BTreeMap::new());
        town.provide(places.coinbase());
        town
    }

    /// The state before the block, and the block.
    pub(super) fn into_parts(self) -> (MemoryStore, Block) {
        let header = Header {
            number: 20_000_000,
            timestamp: TIMESTAMP,
            beneficiary: self.places.coinbase(),
            gas_limit: self.transactions.iter().map(|transaction| transaction.env.gas_limit).sum(),
            base_fee_per_gas: Some(BASE_FEE),
            excess_blob_gas: Some(0),
            ..Header::default()
        };
        let block = Block {
            transactions: self.transactions,
            frame: Frame::TransactionsOnly,
            ..Block::without_body(Rules::mainnet(EthereumHardfork::Prague), &header)
        };
        (self.base, block)
    }

    /// Has somebody do a job.
    pub(super) fn work(&mut self, job: Job, meeting: Meeting, random: &mut Random) {
        match job {
            Job::Pay => self.pay(meeting, random),
            Job::Transfer => self.transfer(meeting, random),
            Job::Approve => {
                let token = self.places.token(random.below(TOKENS));
                self.call(meeting.from, Errand::approve(token, meeting.to, thousandths(1000)));
            }
            Job::Swap => self.swap(meeting, random),
            Job::Create => self.call(meeting.from, Errand::create()),
            Job::Work => {
                for spool in 0..worker::SPOOLS {
                    let slot = worker::spool_slot(meeting.from, spool);
                    self.base.set_slot(self.places.worker(), slot, U256::ONE);
                }
                self.call(meeting.from, Errand::work(self.places.worker(), random));
            }
        }
    }

    fn pay(&mut self, Meeting { from, to, passes }: Meeting, random: &mut Random) {
        let value = match passes {
            Passes::Nothing => {
                self.provide(from);
                self.provide(to);
                thousandths(random.below(1000))
            }
            Passes::OnTo { heirs, is_first } => {
                let value = thousandths(1000) + U256::from(heirs) * U256::from(PAYMENT_FEE);
                if is_first {
                    self.settle(from, value + U256::from(PAYMENT_FEE));
                }
                value
            }
        };
        self.send(from, Errand::pay(to, value));
    }

    fn transfer(&mut self, Meeting { from, to, passes }: Meeting, random: &mut Random) {
        let (token, amount) = match passes {
            Passes::Nothing => {
                let token = self.places.token(random.below(TOKENS));
                self.give_tokens(token, from);
                self.give_tokens(token, to);
                (token, thousandths(random.below(1000)))
            }
            Passes::OnTo { is_first, .. } => {
                let token = self.places.token(0);
                if is_first {
                    self.give_tokens(token, from);
                }
                (token, token_riches())
            }
        };
        self.call(from, Errand::transfer(token, to, amount));
    }

    fn swap(&mut self, Meeting { from, to, .. }: Meeting, random: &mut Random) {
        for token in self.open_pool(to) {
            self.give_tokens(token, from);
            self.base.set_slot(token, token::allowance_slot(from, to), U256::MAX);
        }
        self.call(from, Errand::swap(to, random));
    }

    /// The tokens of a pool, which is opened if it is not there.
    fn open_pool(&mut self, address: Address) -> [Address; 2] {
        let tokens = self.places.pool_tokens(address);
        if self.base.account(&address).is_none() {
            let pool = self.places.pool(address, TIMESTAMP);
            self.add_contract(address, self.pool_hash, pool.storage());
            for (token, balance) in tokens.into_iter().zip(pool.balances()) {
                self.base.set_slot(token, token::balance_slot(address), balance);
            }
        }
        tokens
    }

    fn call(&mut self, from: Address, errand: Errand) {
        self.provide(from);
        self.send(from, errand);
    }

    fn send(&mut self, caller: Address, errand: Errand) {
        let Errand { to: kind, value, data, gas_limit } = errand;
        let nonce = self.nonces.entry(caller).or_default();
        let env = TxEnv {
            caller,
            nonce: *nonce,
            kind,
            value,
            data,
            gas_limit,
            gas_price: GAS_PRICE,
            ..TxEnv::default()
        };
        *nonce += 1;
        let hash = keccak256((self.transactions.len() as u64).to_be_bytes());
        self.transactions.push(Transaction { hash, env });
    }

    /// Sees to it that somebody has enough for everything.
    fn provide(&mut self, address: Address) {
        if self.base.account(&address).is_none() {
            self.settle(address, riches());
        }
    }

    fn settle(&mut self, address: Address, balance: U256) {
        let account = Account { balance, ..Account::default() };
        self.base.insert_account(address, StoredAccount { account, ..StoredAccount::default() });
    }

    fn add_contract(&mut self, address: Address, code_hash: B256, storage: BTreeMap<U256, U256>) {
        let account = Account { nonce: 1, code_hash, ..Account::default() };
        let slots = storage.into_iter().filter(|(_, value)| !value.is_zero()).collect();
        self.base.insert_account(address, StoredAccount { account, slots });
    }

    fn give_tokens(&mut self, token: Address, to: Address) {
        self.base.set_slot(token, token::balance_slot(to), token_riches());
    }
}
