//! The town where the transactions of a workload happen: its people, its tokens, its pools.
//!
//! Owns the state before the block and grows it with whatever a transaction needs to succeed.

use std::collections::BTreeMap;

use alloy_consensus::Header;
use alloy_hardforks::EthereumHardfork;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, keccak256, map::AddressMap};
use blockloom_engine::{Block, Frame, Rules, Transaction};
use blockloom_fixtures::contracts::{
    pool::{self, Direction, Pool},
    token, worker,
};
use blockloom_state::{Account, MemoryStore, StoredAccount};
use revm::context::TxEnv;

use super::{
    Shape,
    parties::{Meeting, Passes},
    random::{Random, address, thousandths},
};

/// How many tokens there are.
const TOKENS: u64 = 16;
/// What everybody pays for gas, and what a block asks for, in wei.
const GAS_PRICE: u128 = 2_000_000_000;
const BASE_FEE: u64 = 1_000_000_000;
/// What a payment pays for gas.
const PAYMENT_FEE: u64 = Job::Pay.gas_limit() * GAS_PRICE as u64;
/// The second in which the block is made.
const TIMESTAMP: u64 = 2_000_000;

/// What a transaction does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Job {
    /// Pays somebody.
    Pay,
    /// Pays somebody in a token.
    Transfer,
    /// Allows somebody to take of a token.
    Approve,
    /// Swaps in a pool.
    Swap,
    /// Creates a token.
    Create,
    /// Computes something long.
    Work,
}

impl Job {
    pub(super) const KINDS: usize = 6;

    /// In a hundred jobs on mainnet, about.
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

    /// The gas that it uses, about, in a block of such a shape.
    pub(super) const fn gas(self, shape: Shape) -> u64 {
        match self {
            Self::Pay => 21_000,
            // Who had none of the token takes a new slot.
            Self::Transfer if matches!(shape, Shape::Chain) => 46_500,
            Self::Transfer => 34_500,
            Self::Approve => 46_000,
            Self::Swap => 105_000,
            Self::Create => 700_000,
            Self::Work => 600_000,
        }
    }

    /// The gas that it asks for.
    const fn gas_limit(self) -> u64 {
        match self {
            Self::Pay => 21_000,
            _ => self.gas(Shape::Chain) / 2 * 3,
        }
    }
}

/// A town and the transactions in it.
pub(super) struct Town {
    seed: u64,
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
        let mut town = Self { seed, base, pool_hash, nonces, transactions: Vec::new() };
        (0..TOKENS).for_each(|number| town.add_contract(town.token(number), token_hash, BTreeMap::new()));
        town.add_contract(town.worker(), worker_hash, BTreeMap::new());
        town.provide(town.coinbase());
        town
    }

    /// The state before the block, and the block.
    pub(super) fn into_parts(self) -> (MemoryStore, Block) {
        let header = Header {
            number: 20_000_000,
            timestamp: TIMESTAMP,
            beneficiary: self.coinbase(),
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
                let token = self.token(random.below(TOKENS));
                self.call(job, meeting.from, token, token::approve(meeting.to, thousandths(1000)));
            }
            Job::Swap => self.swap(meeting, random),
            Job::Create => {
                self.provide(meeting.from);
                self.send(job, meeting.from, TxKind::Create, U256::ZERO, token::creation_code());
            }
            Job::Work => {
                for spool in 0..worker::SPOOLS {
                    let slot = worker::spool_slot(meeting.from, spool);
                    self.base.set_slot(self.worker(), slot, U256::ONE);
                }
                self.call(job, meeting.from, self.worker(), worker::work(500 + random.below(1000)));
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
        self.send(Job::Pay, from, to.into(), value, Bytes::new());
    }

    fn transfer(&mut self, Meeting { from, to, passes }: Meeting, random: &mut Random) {
        let (token, amount) = match passes {
            Passes::Nothing => {
                let token = self.token(random.below(TOKENS));
                self.give_tokens(token, from);
                self.give_tokens(token, to);
                (token, thousandths(random.below(1000)))
            }
            Passes::OnTo { is_first, .. } => {
                let token = self.token(0);
                if is_first {
                    self.give_tokens(token, from);
                }
                (token, thousandths(1_000_000))
            }
        };
        self.call(Job::Transfer, from, token, token::transfer(to, amount));
    }

    fn swap(&mut self, Meeting { from, to, .. }: Meeting, random: &mut Random) {
        let direction = if random.below(2) == 0 { Direction::ZeroForOne } else { Direction::OneForZero };
        let tokens = self.open_pool(to);
        for token in tokens {
            self.give_tokens(token, from);
            self.base.set_slot(token, token::allowance_slot(from, to), U256::MAX);
        }
        let amount = thousandths(1 + random.below(100));
        self.call(Job::Swap, from, to, pool::swap(direction, amount, U256::ONE));
    }

    /// The tokens of a pool, which is opened if it is not there.
    fn open_pool(&mut self, address: Address) -> [Address; 2] {
        // Which tokens it has goes by its address.
        let first = u64::from(address[0]) % TOKENS;
        let tokens = [self.token(first), self.token((first + 1) % TOKENS)];
        if self.base.account(&address).is_none() {
            let pool = Pool { timestamp: TIMESTAMP as u32 - 60, ..Pool::new(tokens[0], tokens[1]) };
            self.add_contract(address, self.pool_hash, pool.storage());
            for (token, balance) in tokens.into_iter().zip(pool.balances()) {
                self.base.set_slot(token, token::balance_slot(address), balance);
            }
        }
        tokens
    }

    fn call(&mut self, job: Job, from: Address, to: Address, data: Bytes) {
        self.provide(from);
        self.send(job, from, to.into(), U256::ZERO, data);
    }

    fn send(&mut self, job: Job, caller: Address, kind: TxKind, value: U256, data: Bytes) {
        let nonce = self.nonces.entry(caller).or_default();
        let env = TxEnv {
            caller,
            nonce: *nonce,
            kind,
            value,
            data,
            gas_limit: job.gas_limit(),
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
            self.settle(address, thousandths(1_000_000_000));
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
        self.base.set_slot(token, token::balance_slot(to), thousandths(1_000_000));
    }

    fn token(&self, number: u64) -> Address {
        address(self.seed, "token", number)
    }

    fn worker(&self) -> Address {
        address(self.seed, "worker", 0)
    }

    fn coinbase(&self) -> Address {
        address(self.seed, "coinbase", 0)
    }
}
