//! The state before a generated block, and its transactions.
//!
//! Adds to the state what each transaction needs to succeed: accounts, balances, pools.

use std::collections::BTreeMap;

use alloy_consensus::Header;
use alloy_hardforks::EthereumHardfork;
use alloy_primitives::{Address, B256, U256, keccak256, map::AddressMap};
use blockloom_engine::{Block, Frame, Rules, Transaction};
use blockloom_fixtures::Random;
use blockloom_fixtures::contracts::{pool, token, worker};
use blockloom_state::{Account, MemoryStore, StoredAccount};
use revm::context::TxEnv;

use super::{
    addresses::{Addresses, TOKENS, rich_balance, rich_token_balance},
    job::{Job, Payload},
    names::thousandths,
    pairing::{Funding, Pair},
};

/// The gas price of every transaction and the base fee of the block, in wei.
const GAS_PRICE: u128 = 2_000_000_000;
const BASE_FEE: u64 = 1_000_000_000;
/// The fee of a payment.
const PAYMENT_FEE: u64 = Job::Pay.gas_limit() * GAS_PRICE as u64;
/// The timestamp of the block.
const TIMESTAMP: u64 = 2_000_000;

/// The state before a block, and the transactions so far.
pub(super) struct World {
    addresses: Addresses,
    base: MemoryStore,
    pool_hash: B256,
    nonces: AddressMap<u64>,
    transactions: Vec<Transaction>,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut base = MemoryStore::new();
        let token_hash = base.insert_code(token::code());
        let pool_hash = base.insert_code(pool::code());
        let worker_hash = base.insert_code(worker::code());
        let nonces = AddressMap::default();
        let addresses = Addresses { seed };
        let mut world = Self { addresses, base, pool_hash, nonces, transactions: Vec::new() };
        (0..TOKENS)
            .for_each(|number| world.add_contract(addresses.token(number), token_hash, BTreeMap::new()));
        world.add_contract(addresses.worker(), worker_hash, BTreeMap::new());
        world.ensure_account(addresses.coinbase());
        world
    }

    /// The state before the block, and the block.
    pub(super) fn into_parts(self) -> (MemoryStore, Block) {
        let header = Header {
            number: 20_000_000,
            timestamp: TIMESTAMP,
            beneficiary: self.addresses.coinbase(),
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

    /// Adds a transaction.
    pub(super) fn add(&mut self, job: Job, pair: Pair, random: &mut Random) {
        match job {
            Job::Pay => self.pay(pair, random),
            Job::Transfer => self.transfer(pair, random),
            Job::Approve => {
                let token = self.addresses.token(random.below(TOKENS));
                self.call(pair.from, Payload::approve(token, pair.to, thousandths(1000)));
            }
            Job::Swap => self.swap(pair, random),
            Job::Create => self.call(pair.from, Payload::create()),
            Job::Work => {
                for number in 0..worker::SLOTS_PER_CALLER {
                    let slot = worker::caller_slot(pair.from, number);
                    self.base.set_slot(self.addresses.worker(), slot, U256::ONE);
                }
                self.call(pair.from, Payload::work(self.addresses.worker(), random));
            }
        }
    }

    fn pay(&mut self, Pair { from, to, funding }: Pair, random: &mut Random) {
        let value = match funding {
            Funding::Own => {
                self.ensure_account(from);
                self.ensure_account(to);
                thousandths(random.below(1000))
            }
            Funding::Chained { remaining, is_first } => {
                let value = thousandths(1000) + U256::from(remaining) * U256::from(PAYMENT_FEE);
                if is_first {
                    self.insert_account(from, value + U256::from(PAYMENT_FEE));
                }
                value
            }
        };
        self.send(from, Payload::pay(to, value));
    }

    fn transfer(&mut self, Pair { from, to, funding }: Pair, random: &mut Random) {
        let (token, amount) = match funding {
            Funding::Own => {
                let token = self.addresses.token(random.below(TOKENS));
                self.give_tokens(token, from);
                self.give_tokens(token, to);
                (token, thousandths(random.below(1000)))
            }
            Funding::Chained { is_first, .. } => {
                let token = self.addresses.token(0);
                if is_first {
                    self.give_tokens(token, from);
                }
                (token, rich_token_balance())
            }
        };
        self.call(from, Payload::transfer(token, to, amount));
    }

    fn swap(&mut self, Pair { from, to, .. }: Pair, random: &mut Random) {
        for token in self.open_pool(to) {
            self.give_tokens(token, from);
            self.base.set_slot(token, token::allowance_slot(from, to), U256::MAX);
        }
        self.call(from, Payload::swap(to, random));
    }

    /// The tokens of a pool. Creates the pool if it does not exist.
    fn open_pool(&mut self, address: Address) -> [Address; 2] {
        let tokens = self.addresses.pool_tokens(address);
        if self.base.account(&address).is_none() {
            let pool = self.addresses.pool(address, TIMESTAMP);
            self.add_contract(address, self.pool_hash, pool.storage());
            for (token, balance) in tokens.into_iter().zip(pool.balances()) {
                self.base.set_slot(token, token::balance_slot(address), balance);
            }
        }
        tokens
    }

    fn call(&mut self, from: Address, payload: Payload) {
        self.ensure_account(from);
        self.send(from, payload);
    }

    fn send(&mut self, caller: Address, payload: Payload) {
        let Payload { to: kind, value, data, gas_limit } = payload;
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

    /// Creates the account with enough ether, if it does not exist.
    fn ensure_account(&mut self, address: Address) {
        if self.base.account(&address).is_none() {
            self.insert_account(address, rich_balance());
        }
    }

    fn insert_account(&mut self, address: Address, balance: U256) {
        let account = Account { balance, ..Account::default() };
        self.base.insert_account(address, StoredAccount { account, ..StoredAccount::default() });
    }

    fn add_contract(&mut self, address: Address, code_hash: B256, storage: BTreeMap<U256, U256>) {
        let account = Account { nonce: 1, code_hash, ..Account::default() };
        let slots = storage.into_iter().filter(|(_, value)| !value.is_zero()).collect();
        self.base.insert_account(address, StoredAccount { account, slots });
    }

    fn give_tokens(&mut self, token: Address, to: Address) {
        self.base.set_slot(token, token::balance_slot(to), rich_token_balance());
    }
}
