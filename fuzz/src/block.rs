//! Hostile blocks: few accounts, and transactions that use them in ways that make execution hard.

use std::ops::Range;

use alloy_consensus::{BlockBody, Header};
use alloy_eips::eip4895::Withdrawal;
use alloy_hardforks::EthereumHardfork::{self, *};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use blockloom_engine::{Block, Rules, SignedBlock};
use blockloom_state::{Allocation, MemoryStore};
use proptest::prelude::*;

use crate::{
    act::Act,
    actors::{ABSENT, CONTRACTS, PLAIN_COINBASE, RIPEMD, UNFUNDED, children, contract, sender},
    assemble::assemble,
    choices::Choices,
    dry_run::DryRun,
    init_code::destructible_code,
    plan::Plan,
    program::{NUMBER, SLOTS, blocks_with_hashes, create_known_child, program, word},
    sign::BASE_FEE,
    system,
};

/// The forks that change execution, up to Osaka.
pub const FORKS: [EthereumHardfork; 14] = [
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

/// How many bytes describe the block, each contract and each transaction.
const CHUNK: usize = 64;
/// The most transactions that one block gets.
const MAX_TRANSACTIONS: usize = 40;

/// A block and the state before it.
#[derive(Clone, Debug)]
pub struct HostileBlock {
    /// The state before the block.
    pub base: MemoryStore,
    /// The block.
    pub block: Block,
    /// The block as it is on the wire. Its header has no roots and no gas used.
    pub signed: SignedBlock,
}

/// Hostile blocks under any of `forks`, most of them valid.
pub fn hostile_block(forks: Vec<EthereumHardfork>) -> impl Strategy<Value = HostileBlock> {
    // Proptest shrinks a failing block by removing chunks and by replacing them with the simplest one.
    let simplest = vec![0; CHUNK];
    let chunk = || prop_oneof![1 => Just(simplest.clone()), 40 => prop::collection::vec(any::<u8>(), CHUNK)];
    let first = 1 + CONTRACTS as usize;
    let chunks = prop_oneof![
        9 => prop::collection::vec(chunk(), first..first + 24),
        1 => prop::collection::vec(chunk(), first + 24..=first + MAX_TRANSACTIONS),
    ];
    chunks.prop_map(move |chunks| hostile_block_of(&forks, &chunks.concat()))
}

/// The hostile block that these bytes describe, under one of `forks`; any bytes describe one. The
/// last fork gets a third of the blocks, and its share of the rest.
///
/// # Panics
///
/// If there is no fork.
pub fn hostile_block_of(forks: &[EthereumHardfork], bytes: &[u8]) -> HostileBlock {
    let mut chunks = bytes.chunks(CHUNK).map(Choices::new);
    let mut choices = chunks.next().unwrap_or(Choices::new(&[]));
    let latest = &forks[forks.len() - 1..];
    let fork = if choices.one_in(3) { choices.of(latest) } else { choices.of(forks) };
    let mut builder = BlockBuilder::new(fork, &mut choices);
    for number in 0..CONTRACTS {
        let mut choices = chunks.next().unwrap_or(Choices::new(&[]));
        builder.insert_contract(number, &mut choices);
    }
    let plans = chunks.take(MAX_TRANSACTIONS).map(|mut choices| builder.restrict(Plan::new(&mut choices)));
    let plans: Vec<_> = plans.collect();
    builder.build(&plans)
}

/// The state and the header of a block that is being generated.
struct BlockBuilder {
    base: MemoryStore,
    header: Header,
    rules: Rules,
    /// How many of the senders send transactions.
    senders: u8,
    /// Which of the contracts transactions call directly.
    contracts: Range<u8>,
}

impl BlockBuilder {
    fn new(fork: EthereumHardfork, choices: &mut Choices<'_>) -> Self {
        let header = header(fork, coinbase(choices), choices.of(&[30_000_000, 30_000_000, 3_000_000]));
        let mut base = MemoryStore::from_genesis(system::contracts(fork));
        for number in blocks_with_hashes() {
            base.set_block_hash(number, Some(keccak256(B256::with_last_byte(number as u8))));
        }
        base.set_block_hash(header.number - 1, Some(header.parent_hash));
        let mut builder = Self {
            base,
            header,
            rules: Rules::mainnet(fork),
            senders: choices.of(&[UNFUNDED + 1, UNFUNDED + 1, 2, 1]),
            contracts: choices.of(&[0..CONTRACTS, 0..CONTRACTS, 1..3, 0..1, 0..1, 2..3]),
        };
        builder.insert_accounts(choices);
        builder
    }

    fn insert_accounts(&mut self, choices: &mut Choices<'_>) {
        let balances = [1_000_000_000_000_000, 1_000_000_000_000_000, 1_000_000_000_000_000, 30_000_000];
        for number in 0..UNFUNDED {
            let balance = word(choices.of(&balances));
            self.base.insert(sender(number), Allocation { balance, ..Allocation::default() });
        }
        // There are no empty accounts from the Merge on (EIP-7523).
        for address in [RIPEMD, ABSENT, PLAIN_COINBASE] {
            if choices.below(2) == 1 && self.rules.fork < Paris {
                self.base.insert(address, Allocation::default());
            }
        }
        for address in [children()[0], children()[3]] {
            if choices.below(2) == 1 {
                self.insert_code(address, destructible_code());
            }
        }
        if choices.below(2) == 1 && self.rules.fork >= Prague {
            let delegation = [&[0xef, 0x01, 0x00], contract(1).as_slice()].concat();
            let balance = word(1_000_000_000_000_000);
            let code = Bytes::from(delegation);
            self.base.insert(sender(1), Allocation { balance, nonce: 1, code, ..Allocation::default() });
        }
    }

    /// Inserts a contract. The first two are the parents of the known children and usually create
    /// them; the others usually count.
    fn insert_contract(&mut self, number: u8, choices: &mut Choices<'_>) {
        let mut acts: Vec<Act> = Vec::new();
        if choices.below(4) > 0 {
            let is_parent = number < 2;
            acts.push(if is_parent {
                create_known_child(choices)
            } else {
                Act::Increment { slot: number % SLOTS, by: 1 }
            });
        }
        acts.extend(program(choices));
        self.insert_code(contract(number), assemble(&acts, self.rules.fork));
    }

    fn insert_code(&mut self, address: Address, code: Vec<u8>) {
        let storage = [(word(0), word(1)), (word(1), word(2))].into();
        let allocation = Allocation { balance: word(5), nonce: 1, code: code.into(), storage };
        self.base.insert(address, allocation);
    }

    /// The plan with only the senders and contracts of this block.
    fn restrict(&self, plan: Plan) -> Plan {
        plan.restricted_to(self.senders, &self.contracts)
    }

    fn build(self, plans: &[Plan]) -> HostileBlock {
        let mut block = Block::without_body(self.rules, &self.header);
        if block.withdrawals.is_some() {
            block.withdrawals = Some(withdrawals(self.header.beneficiary));
        }
        let withdrawals = block.withdrawals.clone().map(Into::into);
        let mut dry_run = DryRun::new(&self.base, block);
        for plan in plans {
            dry_run.add(plan);
        }
        let (block, transactions) = dry_run.finish();
        let body = BlockBody { transactions, ommers: Vec::new(), withdrawals };
        HostileBlock { base: self.base, block, signed: SignedBlock { header: self.header, body } }
    }
}

/// The coinbase: usually an account without another role, else a sender, an authority, a contract or
/// one of its children.
fn coinbase(choices: &mut Choices<'_>) -> Address {
    match choices.below(9) {
        0..3 => PLAIN_COINBASE,
        3 => ABSENT,
        4..6 => choices.of(&[sender(0), sender(1), sender(UNFUNDED)]),
        6..8 => contract(choices.below(CONTRACTS)),
        _ => choices.of(children()),
    }
}

fn header(fork: EthereumHardfork, beneficiary: Address, gas_limit: u64) -> Header {
    Header {
        parent_hash: keccak256("parent"),
        number: NUMBER.into(),
        timestamp: 1_000_000,
        beneficiary,
        gas_limit,
        difficulty: if fork < Paris { U256::from(131_072) } else { U256::ZERO },
        mix_hash: keccak256("random"),
        base_fee_per_gas: (fork >= London).then_some(BASE_FEE),
        excess_blob_gas: (fork >= Cancun).then_some(10_000_000),
        parent_beacon_block_root: (fork >= Cancun).then(|| keccak256("beacon")),
        ..Header::default()
    }
}

/// Withdrawals to a contract, to absent accounts, one of them without an amount, and to the coinbase.
fn withdrawals(coinbase: Address) -> Vec<Withdrawal> {
    let other_absent = Address::with_last_byte(0x98);
    let payments = [(contract(1), 1), (ABSENT, 2), (other_absent, 0), (coinbase, 3)];
    let withdrawals = payments.into_iter().enumerate().map(|(position, (address, amount))| {
        let position = position as u64;
        Withdrawal { index: position, validator_index: position, address, amount }
    });
    withdrawals.collect()
}
