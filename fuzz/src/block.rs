//! Hostile blocks: few accounts, and transactions that use them in ways that make execution hard.

use std::{ops::Range, sync::Arc};

use alloy_consensus::{BlockBody, Header};
use alloy_eips::eip4895::Withdrawal;
use alloy_hardforks::EthereumHardfork::{self, *};
use alloy_primitives::{Address, Bytes, U256, keccak256, map::AddressSet};
use blockloom_engine::{Block, Rules, SignedBlock};
use blockloom_state::{Allocation, MemoryStore};
use proptest::prelude::*;

use crate::{
    act::NUMBER,
    actors::{ABSENT, CONTRACTS, PLAIN_COINBASE, RIPEMD, UNFUNDED, children, contract, sender},
    assemble::assemble,
    choices::Choices,
    dry_run::DryRun,
    init_code::destructible_code,
    plan::Plan,
    program::{blocks_with_hashes, huge_balance, program, word},
    scene::Scene,
    sign::BASE_FEE,
    system,
    theme::Theme,
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
    let plans: Vec<_> = chunks.take(MAX_TRANSACTIONS).map(|mut choices| builder.plan(&mut choices)).collect();
    builder.build(&plans)
}

/// The state and the header of a block that is being generated.
struct BlockBuilder {
    base: MemoryStore,
    header: Header,
    rules: Rules,
    scene: Scene,
    /// How many of the senders send transactions.
    senders: u8,
    /// Which of the contracts transactions call directly.
    contracts: Range<u8>,
}

impl BlockBuilder {
    fn new(fork: EthereumHardfork, choices: &mut Choices<'_>) -> Self {
        let scene = Scene::new(fork, choices);
        let hashes = choices.below(8);
        let hash = |number: u64| keccak256([&[hashes], &number.to_be_bytes()[..]].concat());
        let mut header = header(fork, coinbase(choices), choices.of(&[30_000_000, 30_000_000, 3_000_000]));
        header.parent_hash = hash(header.number - 1);
        let mut base = MemoryStore::from_genesis(system::contracts(fork));
        for number in blocks_with_hashes() {
            base.set_block_hash(number, Some(hash(number)));
        }
        let mut builder = Self {
            base,
            header,
            rules: Rules::mainnet(fork),
            scene,
            senders: choices.of(&[UNFUNDED + 1, UNFUNDED + 1, 2, 1]),
            contracts: choices.of(&[0..CONTRACTS, 0..CONTRACTS, 1..3, 0..1, 0..1, 2..3]),
        };
        builder.insert_accounts(choices);
        builder
    }

    fn insert_accounts(&mut self, choices: &mut Choices<'_>) {
        let rich = word(1_000_000_000_000_000);
        for number in 0..UNFUNDED {
            let balance = match self.scene.theme {
                Theme::Huge => huge_balance(choices).saturating_add(rich),
                _ => choices.of(&[rich, rich, rich, word(30_000_000)]),
            };
            // One more transaction brings the nonce to its maximum.
            let is_last = number == 2 && self.scene.theme == Theme::Creations && choices.one_in(3);
            let nonce = if is_last { u64::MAX - 1 } else { 0 };
            self.base.insert(sender(number), Allocation { balance, nonce, ..Allocation::default() });
        }
        // There are no empty accounts from the Merge on (EIP-7523).
        for address in [RIPEMD, ABSENT, PLAIN_COINBASE] {
            if choices.below(2) == 1 && self.rules.fork < Paris {
                self.base.insert(address, Allocation::default());
            }
        }
        for address in [children()[0], children()[3]] {
            if choices.below(2) == 1 {
                self.insert_code(address, 1, word(5), destructible_code());
            }
        }
        for (address, allocation) in self.scene.occupants(choices) {
            self.base.insert(address, allocation);
        }
        if choices.below(2) == 1 && self.rules.fork >= Prague {
            let delegation = [&[0xef, 0x01, 0x00], contract(1).as_slice()].concat();
            let code = Bytes::from(delegation);
            self.base
                .insert(sender(1), Allocation { balance: rich, nonce: 1, code, ..Allocation::default() });
        }
    }

    /// Inserts a contract. The first two are the parents of the known children and usually create
    /// them; the others usually do what the block is about.
    fn insert_contract(&mut self, number: u8, choices: &mut Choices<'_>) {
        let mut acts = self.scene.first_acts(number, choices);
        let (nonce, balance) = match self.scene.theme {
            Theme::Creations => (choices.of(&[1, 1, 1, u64::MAX - 1, u64::MAX]), word(5)),
            Theme::Huge => (1, huge_balance(choices)),
            _ => (1, word(5)),
        };
        acts.extend(program(choices).into_iter().take(self.scene.most_other_acts(number)));
        self.insert_code(contract(number), nonce, balance, assemble(&acts, self.rules.fork));
    }

    fn insert_code(&mut self, address: Address, nonce: u64, balance: U256, code: Vec<u8>) {
        let storage = [(word(0), word(1)), (word(1), word(2))].into();
        self.base.insert(address, Allocation { balance, nonce, code: code.into(), storage });
    }

    /// A plan with only the senders and contracts of this block.
    fn plan(&self, choices: &mut Choices<'_>) -> Plan {
        Plan::new(&self.scene, choices).restricted_to(self.senders, &self.contracts)
    }

    fn build(mut self, plans: &[Plan]) -> HostileBlock {
        let storage_only: AddressSet = self.base.storage_only().collect();
        self.rules.storage_only = (!storage_only.is_empty()).then(|| Arc::new(storage_only));
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
pub(crate) fn coinbase(choices: &mut Choices<'_>) -> Address {
    match choices.below(9) {
        0..3 => PLAIN_COINBASE,
        3 => ABSENT,
        4..6 => choices.of(&[sender(0), sender(1), sender(UNFUNDED)]),
        6..8 => contract(choices.below(CONTRACTS)),
        _ => choices.of(children()),
    }
}

/// The header of a block.
pub(crate) fn header(fork: EthereumHardfork, beneficiary: Address, gas_limit: u64) -> Header {
    Header {
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
pub(crate) fn withdrawals(coinbase: Address) -> Vec<Withdrawal> {
    let other_absent = Address::with_last_byte(0x98);
    let payments = [(contract(1), 1), (ABSENT, 2), (other_absent, 0), (coinbase, 3)];
    let withdrawals = payments.into_iter().enumerate().map(|(position, (address, amount))| {
        let position = position as u64;
        Withdrawal { index: position, validator_index: position, address, amount }
    });
    withdrawals.collect()
}
