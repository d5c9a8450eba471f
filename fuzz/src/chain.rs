//! Hostile chains: a hostile block split into consecutive blocks, which differ in what blocks may differ in.

use alloy_hardforks::EthereumHardfork::{self, Shanghai};
use alloy_primitives::{U256, keccak256};
use blockloom_engine::{Block, Frame, GivenList, Rules, Transaction};
use blockloom_state::MemoryStore;

use crate::{
    HostileBlock,
    block::{coinbase, header, withdrawals},
    choices::Choices,
    system,
};

/// The most blocks of a chain.
const MAX_BLOCKS: u8 = 7;

/// Consecutive blocks, and the state before the first one.
#[derive(Clone, Debug)]
pub struct HostileChain {
    /// The state before the first block.
    pub base: MemoryStore,
    /// The blocks, each on the state that the one before it leaves. Most of them are valid.
    pub blocks: Vec<Block>,
}

impl HostileChain {
    /// Splits a block into consecutive ones, as these bytes choose. They may have other coinbases, other withdrawals, a
    /// little gas, or the rules of a later fork from some block on; and some have no transaction.
    pub fn of(hostile: HostileBlock, bytes: &[u8]) -> Self {
        let HostileBlock { mut base, block, signed } = hostile;
        let mut choices = Choices::new(bytes);
        let later = later_fork(block.rules.fork, &mut choices);
        for (address, allocation) in system::contracts(later) {
            if base.account(&address).is_none() {
                base.insert(address, allocation);
            }
        }
        let mut blocks = vec![block];
        let parts = 1 + choices.below(MAX_BLOCKS);
        let fork_at = 1 + choices.below(parts);
        for position in 1..parts {
            let last = blocks.last_mut().expect("there is a first block");
            let from = choices.position(last.transactions.len() + 1).unwrap_or_default();
            let transactions = last.transactions.split_off(from);
            let mut next = follow(last, &mut choices, transactions);
            if position == fork_at {
                next = under(next, later, signed.header.gas_limit);
            }
            blocks.push(next);
        }
        Self { base, blocks }
    }
}

/// The fork of the last blocks: mostly that of the first one.
fn later_fork(fork: EthereumHardfork, choices: &mut Choices<'_>) -> EthereumHardfork {
    let later: Vec<_> = crate::FORKS.into_iter().filter(|other| *other > fork).collect();
    match choices.position(later.len()) {
        Some(position) if choices.one_in(3) => later[position],
        Some(_) | None => fork,
    }
}

/// The block after `last`, with these transactions.
fn follow(last: &Block, choices: &mut Choices<'_>, transactions: Vec<Transaction>) -> Block {
    let mut next = last.clone();
    next.transactions = transactions;
    next.list = GivenList::Nothing;
    next.env.number += U256::from(1);
    next.env.timestamp += U256::from(12);
    next.parent_hash = keccak256(next.env.number.to_be_bytes::<32>());
    if choices.below(2) == 1 {
        next.env.beneficiary = coinbase(choices);
    }
    if choices.one_in(8) {
        next.env.gas_limit = 100_000;
    }
    if choices.one_in(8) {
        next.frame = Frame::TransactionsOnly;
    }
    pay_withdrawals(&mut next);
    next
}

/// The same block under the rules of `fork`.
fn under(block: Block, fork: EthereumHardfork, gas_limit: u64) -> Block {
    if block.rules.fork == fork {
        return block;
    }
    let rules = Rules { storage_only: block.rules.storage_only.clone(), ..Rules::mainnet(fork) };
    let of_fork = Block::without_body(rules, &header(fork, block.env.beneficiary, gas_limit));
    let mut env = of_fork.env.clone();
    (env.number, env.timestamp, env.gas_limit) = (block.env.number, block.env.timestamp, block.env.gas_limit);
    let mut next = Block { transactions: block.transactions, parent_hash: block.parent_hash, env, ..of_fork };
    pay_withdrawals(&mut next);
    next
}

/// Pays withdrawals where the fork has them.
fn pay_withdrawals(block: &mut Block) {
    if block.rules.is_active(Shanghai) {
        block.withdrawals = Some(withdrawals(block.env.beneficiary));
    }
}
