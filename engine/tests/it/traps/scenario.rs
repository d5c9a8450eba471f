//! A scenario: the state before a block, and the block. It is built transaction by transaction, with
//! unrelated transfers around and between them.

use std::{collections::BTreeMap, sync::Arc};

use alloy_consensus::Header;
use alloy_eips::eip4895::Withdrawal;
use alloy_hardforks::EthereumHardfork::{self, *};
use alloy_primitives::{Address, B256, Bytes, Log, TxKind, U256, keccak256, map::AddressSet};
use blockloom_engine::{
    Block, Frame, Invalid, Outcome, Reason, Rules, Statistics, Transaction, TransactionError,
};
use blockloom_state::{Allocation, MemoryStore};
use revm::context::TxEnv;

use super::{
    code::Code,
    differential::{ObservedStep, execute_in_every_way, execute_isolated_until},
};

pub(crate) const THE_COINBASE: Address = Address::repeat_byte(0xc0);
pub(crate) const CONTRACT: Address = Address::repeat_byte(0xcc);
pub(crate) const OTHER: Address = Address::repeat_byte(0xdd);
pub(crate) const HEIR: Address = Address::repeat_byte(0x4e);
pub(crate) const THIS_BLOCK: u64 = 1000;
/// The gas price of a transaction, unless a test sets another.
pub(crate) const PRICE: u64 = 10;
/// The part of the price that is burned from London on.
pub(crate) const BASE_FEE: u64 = 7;
/// The balance of each sender, unless a test sets another.
pub(crate) const RICH: u64 = 1_000_000_000_000_000;
pub(crate) const TRANSFER_GAS: u64 = 21_000;

/// Every fork that changed what transactions do. Constantinople is missing: it never had a mainnet
/// block without Petersburg, and revm does not know it.
pub(crate) const FORKS: [EthereumHardfork; 14] = [
    Frontier,
    Homestead,
    Tangerine,
    SpuriousDragon,
    Byzantium,
    Petersburg,
    Istanbul,
    Berlin,
    London,
    Paris,
    Shanghai,
    Cancun,
    Prague,
    Osaka,
];
/// The numbers of unrelated transfers between two transactions of a scenario.
const GAPS: [usize; 3] = [0, 1, 9];
/// The number of unrelated transfers before the first and after the last transaction.
const MARGIN: usize = 10;
const UNRELATED_SENDERS: usize = 16;

/// Runs a scenario under each fork, with its transactions next to each other and apart.
pub(crate) fn for_each_fork(forks: &[EthereumHardfork], run: impl Fn(Scenario)) {
    for fork in forks {
        for gap in GAPS {
            run(Scenario::new(*fork, gap));
        }
    }
}

/// The forks from one to another, both included.
pub(crate) fn forks(from: EthereumHardfork, to: EthereumHardfork) -> Vec<EthereumHardfork> {
    FORKS.into_iter().filter(|fork| (from..=to).contains(fork)).collect()
}

pub(crate) fn word(value: u64) -> U256 {
    U256::from(value)
}

/// The address of a funded sender.
pub(crate) fn sender(number: usize) -> Address {
    numbered(0x51, number)
}

fn numbered(kind: u8, number: usize) -> Address {
    let mut address = Address::repeat_byte(kind);
    address[18..].copy_from_slice(&(number as u16).to_be_bytes());
    address
}

pub(crate) struct Scenario {
    pub(crate) fork: EthereumHardfork,
    pub(crate) base: MemoryStore,
    pub(crate) header: Header,
    pub(crate) frame: Frame,
    pub(crate) withdrawals: Vec<Withdrawal>,
    /// The gas price of the transactions.
    pub(crate) price: u64,
    gap: usize,
    transactions: Vec<TxEnv>,
    nonces: BTreeMap<Address, u64>,
    unrelated_transfers: usize,
}

impl Scenario {
    pub(crate) fn new(fork: EthereumHardfork, gap: usize) -> Self {
        let rich = |address| (address, Allocation { balance: word(RICH), ..Allocation::default() });
        let senders = (0..UNRELATED_SENDERS).flat_map(|number| [sender(number), numbered(0x57, number)]);
        let header = Header {
            number: THIS_BLOCK,
            timestamp: 1000,
            beneficiary: THE_COINBASE,
            gas_limit: 100_000_000,
            base_fee_per_gas: (fork >= London).then_some(BASE_FEE),
            excess_blob_gas: (fork >= Cancun).then_some(0),
            parent_beacon_block_root: (fork >= Cancun).then_some(B256::repeat_byte(0xbe)),
            ..Header::default()
        };
        Self {
            fork,
            base: MemoryStore::from_genesis(senders.map(rich)),
            header,
            frame: Frame::TransactionsOnly,
            withdrawals: Vec::new(),
            price: PRICE,
            gap,
            transactions: Vec::new(),
            nonces: BTreeMap::new(),
            unrelated_transfers: 0,
        }
    }

    pub(crate) fn contract(&mut self, address: Address, code: &Code, storage: &[(u64, u64)]) {
        self.rich_contract(address, 0, code, storage);
    }

    pub(crate) fn rich_contract(&mut self, address: Address, wei: u64, code: &Code, storage: &[(u64, u64)]) {
        let storage = storage.iter().map(|(key, value)| (word(*key), word(*value))).collect();
        let allocation = Allocation { balance: word(wei), nonce: 1, code: code.bytes(), storage };
        self.base.insert(address, allocation);
    }

    /// Gives an account this balance and nothing else.
    pub(crate) fn fund(&mut self, address: Address, wei: u64) {
        self.endow(address, word(wei));
    }

    /// The same with any balance.
    pub(crate) fn endow(&mut self, address: Address, balance: U256) {
        self.base.insert(address, Allocation { balance, ..Allocation::default() });
    }

    /// The part of the gas price that the coinbase receives.
    pub(crate) fn tip(&self) -> u64 {
        self.price - self.header.base_fee_per_gas.unwrap_or_default()
    }

    /// A transaction without a nonce; [`send`](Self::send) sets it.
    pub(crate) fn to(&self, from: Address, to: Address, value: u64) -> TxEnv {
        TxEnv {
            caller: from,
            kind: TxKind::Call(to),
            value: word(value),
            gas_limit: 400_000,
            gas_price: self.price.into(),
            ..TxEnv::default()
        }
    }

    /// Sends value with the gas limit of a plain transfer.
    pub(crate) fn transfer(&mut self, from: Address, to: Address, value: u64) -> usize {
        let transaction = TxEnv { gas_limit: TRANSFER_GAS, ..self.to(from, to, value) };
        self.send(transaction)
    }

    pub(crate) fn call(&mut self, from: Address, to: Address, value: u64) -> usize {
        let transaction = self.to(from, to, value);
        self.send(transaction)
    }

    /// Calls with these words as data.
    pub(crate) fn call_with_words(&mut self, from: Address, to: Address, words: &[U256]) -> usize {
        let data = words.iter().flat_map(|word| word.to_be_bytes::<32>()).collect::<Vec<_>>();
        let transaction = TxEnv { data: data.into(), ..self.to(from, to, 0) };
        self.send(transaction)
    }

    pub(crate) fn create(&mut self, from: Address, init: &Code, value: u64) -> usize {
        let kind = TxKind::Create;
        let transaction = TxEnv { kind, data: init.bytes(), ..self.to(from, Address::ZERO, value) };
        self.send(transaction)
    }

    /// The nonce of the sender's next transaction.
    pub(crate) fn nonce(&mut self, sender: Address) -> &mut u64 {
        let stored = self.base.account(&sender);
        self.nonces.entry(sender).or_insert_with(|| stored.map_or(0, |stored| stored.account.nonce))
    }

    /// Adds a transaction with the right nonce to the block, and returns its position.
    pub(crate) fn send(&mut self, transaction: TxEnv) -> usize {
        let nonce = self.nonce(transaction.caller);
        let transaction = TxEnv { nonce: *nonce, ..transaction };
        *nonce += 1;
        self.send_unchanged(transaction)
    }

    /// Adds a transaction to the block as it is, and returns its position.
    pub(crate) fn send_unchanged(&mut self, transaction: TxEnv) -> usize {
        self.add_unrelated_transfers(if self.transactions.is_empty() { MARGIN } else { self.gap });
        self.transactions.push(transaction);
        self.transactions.len() - 1
    }

    /// Adds a transaction with the right nonce directly after the last one.
    pub(crate) fn send_next(&mut self, transaction: TxEnv) -> usize {
        let gap = std::mem::take(&mut self.gap);
        let position = self.send(transaction);
        self.gap = gap;
        position
    }

    /// Adds transfers between accounts that no other transaction touches.
    pub(crate) fn add_unrelated_transfers(&mut self, transfers: usize) {
        for _ in 0..transfers {
            self.unrelated_transfers += 1;
            let from = numbered(0x57, self.unrelated_transfers * 7 % UNRELATED_SENDERS);
            let to = numbered(0x57, self.unrelated_transfers * 5 % UNRELATED_SENDERS);
            let nonce = self.nonce(from);
            *nonce += 1;
            let nonce = *nonce - 1;
            self.transactions.push(TxEnv { nonce, gas_limit: 50_000, ..self.to(from, to, 1) });
        }
    }

    /// The number of transactions so far.
    pub(crate) fn length(&self) -> usize {
        self.transactions.len()
    }

    pub(crate) fn block(&self) -> Block {
        let numbered = self.transactions.iter().cloned().enumerate();
        let transactions =
            numbered.map(|(position, env)| Transaction { hash: keccak256(position.to_be_bytes()), env });
        let storage_only: AddressSet = self.base.storage_only().collect();
        let storage_only = (!storage_only.is_empty()).then(|| Arc::new(storage_only));
        Block {
            transactions: transactions.collect(),
            withdrawals: (self.fork >= Shanghai).then(|| self.withdrawals.clone()),
            frame: self.frame,
            ..Block::without_body(Rules { storage_only, ..Rules::mainnet(self.fork) }, &self.header)
        }
    }

    /// Adds the last unrelated transfers and executes the block, which must be valid.
    pub(crate) fn execute(mut self) -> After {
        self.add_unrelated_transfers(MARGIN);
        self.execute_as_is()
    }

    /// The same. Speculative runs that see only the state before the block are repeated until something happened.
    pub(crate) fn execute_until(mut self, has_happened: fn(&Statistics) -> bool) -> After {
        self.add_unrelated_transfers(MARGIN);
        let (base, block) = (self.base.clone(), self.block());
        let after = self.execute_as_is();
        execute_isolated_until(&base, &block, &after.outcome, has_happened);
        after
    }

    /// Executes the block without further transfers. It must be valid.
    pub(crate) fn execute_as_is(self) -> After {
        let reference = execute_in_every_way(&self.base, &self.block());
        let outcome = reference.result.unwrap_or_else(|error| panic!("{}: {error}", self.fork));
        let mut state = self.base;
        state.apply(&outcome.changes).unwrap();
        After { fork: self.fork, state, outcome, steps: reference.steps }
    }

    /// Executes the block, which must be invalid because of one of its transactions.
    pub(crate) fn rejection(mut self) -> (usize, TransactionError) {
        self.add_unrelated_transfers(MARGIN);
        let error = execute_in_every_way(&self.base, &self.block()).result.unwrap_err();
        match error.reason {
            Reason::Invalid(Invalid::Transaction { index, hash, reason }) => {
                assert_eq!(hash, keccak256(index.get().to_be_bytes()));
                (index.get(), reason)
            }
            other => panic!("{}: {other}", self.fork),
        }
    }
}

/// The result of a valid block.
pub(crate) struct After {
    pub(crate) fork: EthereumHardfork,
    pub(crate) state: MemoryStore,
    pub(crate) outcome: Outcome,
    pub(crate) steps: Vec<ObservedStep>,
}

impl After {
    pub(crate) fn exists(&self, address: Address) -> bool {
        self.state.account(&address).is_some()
    }

    pub(crate) fn balance(&self, address: Address) -> u64 {
        self.wei(address).to()
    }

    /// The balance, however large it is.
    pub(crate) fn wei(&self, address: Address) -> U256 {
        self.state.account(&address).map_or(U256::ZERO, |stored| stored.account.balance)
    }

    pub(crate) fn nonce(&self, address: Address) -> u64 {
        self.state.account(&address).map_or(0, |stored| stored.account.nonce)
    }

    pub(crate) fn code(&self, address: Address) -> Bytes {
        let hash = self.state.account(&address).map(|stored| stored.account.code_hash);
        hash.and_then(|hash| self.state.code(&hash)).map(|code| code.original_bytes()).unwrap_or_default()
    }

    pub(crate) fn slot(&self, address: Address, key: impl Into<super::code::Word>) -> U256 {
        let stored = self.state.account(&address);
        stored.and_then(|stored| stored.slots.get(&key.into().0)).copied().unwrap_or_default()
    }

    /// The slots of an account with a value other than zero.
    pub(crate) fn slots(&self, address: Address) -> Vec<(u64, u64)> {
        let slots = self.state.account(&address).into_iter().flat_map(|stored| &stored.slots);
        let mut slots: Vec<_> = slots.map(|(key, value)| (key.to(), value.to())).collect();
        slots.sort_unstable();
        slots
    }

    pub(crate) fn succeeded(&self, position: usize) -> bool {
        self.outcome.receipts[position].status.coerce_status()
    }

    pub(crate) fn logs(&self, position: usize) -> &[Log] {
        &self.outcome.receipts[position].logs
    }

    /// The gas that a transaction used.
    pub(crate) fn gas(&self, position: usize) -> u64 {
        self.gas_before(position + 1) - self.gas_before(position)
    }

    /// The gas that all earlier transactions used.
    pub(crate) fn gas_before(&self, position: usize) -> u64 {
        position.checked_sub(1).map_or(0, |last| self.outcome.receipts[last].cumulative_gas_used)
    }

    pub(crate) fn all_gas(&self) -> u64 {
        self.gas_before(self.outcome.receipts.len())
    }

    /// Whether a transaction changed an account.
    pub(crate) fn changed(&self, position: usize, address: Address) -> bool {
        let mut transactions = self.steps.iter().filter(|step| step.receipt.is_some());
        transactions.nth(position).unwrap().changes.accounts.contains_key(&address)
    }
}
