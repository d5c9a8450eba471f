//! Blocks of transactions that call such contracts, invalid transactions among them.

use alloy_consensus::Header;
use alloy_eips::eip4895::Withdrawal;
use alloy_hardforks::EthereumHardfork;
use alloy_primitives::{Address, B256, Bytes, TxKind, keccak256};
use blockloom_engine::{Block, Frame, Rules, Transaction};
use blockloom_state::{Allocation, MemoryStore};
use proptest::prelude::*;
use revm::context::TxEnv;

use crate::program::{assemble, program, word};

/// How many accounts send transactions, and how many contracts there are.
const SENDERS: u8 = 4;
const CONTRACTS: u8 = 4;

/// A block and the state before it.
#[derive(Clone, Debug)]
pub struct HostileBlock {
    /// The state before the block.
    pub base: MemoryStore,
    /// The block.
    pub block: Block,
}

/// What a transaction is to do; its nonce follows from the transactions before it.
#[derive(Clone, Debug)]
struct Plan {
    sender: u8,
    to: Option<Address>,
    value: u8,
    gas_limit: u64,
    tip: u8,
    /// What is added to the right nonce: anything but zero makes the transaction invalid.
    nonce_error: u8,
    init_code: Bytes,
}

fn sender(number: u8) -> Address {
    Address::with_last_byte(0x10 + number)
}

fn contract(number: u8) -> Address {
    Address::with_last_byte(0x20 + number)
}

const COINBASE: Address = Address::with_last_byte(0xc0);

/// Everybody whom a program may meet: senders, contracts, the coinbase, a precompile, nobody.
fn accounts() -> Vec<Address> {
    let mut accounts: Vec<_> = (0..SENDERS).map(sender).chain((0..CONTRACTS).map(contract)).collect();
    accounts.extend([COINBASE, Address::with_last_byte(3), Address::with_last_byte(0x99)]);
    accounts
}

fn plan() -> impl Strategy<Value = Plan> {
    let to = prop_oneof![
        6 => (0..CONTRACTS).prop_map(|number| Some(contract(number))),
        3 => prop::sample::select(accounts()).prop_map(Some),
        1 => Just(None),
    ];
    let gas_limit = prop_oneof![40 => Just(400_000), 6 => Just(60_000), 1 => Just(20_000)];
    let init_code = program(accounts()).prop_map(|program| assemble(&program).into());
    let nonce_error = prop_oneof![40 => Just(0), 1 => 1..2u8];
    (0..SENDERS, to, 0..3u8, gas_limit, 0..2u8, nonce_error, init_code).prop_map(
        |(sender, to, value, gas_limit, tip, nonce_error, init_code)| Plan {
            sender,
            to,
            value,
            gas_limit,
            tip,
            nonce_error,
            init_code,
        },
    )
}

/// Hostile blocks under any of `forks`, most of them valid.
pub fn hostile_block(forks: Vec<EthereumHardfork>) -> impl Strategy<Value = HostileBlock> {
    let programs = prop::collection::vec(program(accounts()), CONTRACTS as usize);
    let poor = prop_oneof![9 => Just(1_000_000_000_000_000u64), 1 => Just(30_000_000u64)];
    let balances = prop::collection::vec(poor, SENDERS as usize);
    let coinbase = prop::sample::select(vec![COINBASE, sender(0), contract(0)]);
    let plans = prop::collection::vec(plan(), 0..14);
    (prop::sample::select(forks), programs, balances, coinbase, plans).prop_map(
        |(fork, programs, balances, coinbase, plans)| {
            let programs = programs.iter().map(|program| assemble(program));
            let contracts = programs.enumerate().map(|(number, code)| {
                let storage = [(word(0), word(1)), (word(1), word(2))].into();
                (
                    contract(number as u8),
                    Allocation { balance: word(5), nonce: 1, code: code.into(), storage },
                )
            });
            let senders = balances.into_iter().enumerate().map(|(number, balance)| {
                (sender(number as u8), Allocation { balance: word(balance), ..Allocation::default() })
            });
            let base = MemoryStore::from_genesis(contracts.chain(senders));
            HostileBlock { base, block: block(fork, coinbase, &plans) }
        },
    )
}

fn block(fork: EthereumHardfork, beneficiary: Address, plans: &[Plan]) -> Block {
    let header = Header {
        number: 1,
        beneficiary,
        gas_limit: 30_000_000,
        base_fee_per_gas: (fork >= EthereumHardfork::London).then_some(7),
        excess_blob_gas: (fork >= EthereumHardfork::Cancun).then_some(0),
        parent_beacon_block_root: (fork >= EthereumHardfork::Cancun).then_some(B256::ZERO),
        ..Header::default()
    };
    let mut nonces = [0; SENDERS as usize];
    let transactions = plans.iter().enumerate().map(|(position, plan)| {
        let nonce = &mut nonces[usize::from(plan.sender)];
        let env = TxEnv {
            caller: sender(plan.sender),
            gas_limit: plan.gas_limit,
            gas_price: 7 + u128::from(plan.tip),
            kind: plan.to.map_or(TxKind::Create, TxKind::Call),
            value: word(plan.value.into()),
            data: if plan.to.is_none() { plan.init_code.clone() } else { Bytes::new() },
            nonce: *nonce + u64::from(plan.nonce_error),
            ..TxEnv::default()
        };
        *nonce += 1;
        Transaction { hash: keccak256([position as u8]), env }
    });
    let withdrawal = Withdrawal { address: contract(1), amount: 1, ..Withdrawal::default() };
    let block = Block::without_body(Rules::mainnet(fork), &header);
    Block {
        transactions: transactions.collect(),
        withdrawals: block.withdrawals.is_some().then(|| vec![withdrawal]),
        // From Prague on the system contracts would have to be there.
        frame: if fork >= EthereumHardfork::Prague { Frame::TransactionsOnly } else { Frame::Full },
        ..block
    }
}
