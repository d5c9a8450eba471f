//! Executes hostile blocks on our engine and on the Ethereum specification, which is written in Python.
//!
//! The README of this crate explains how to install the specification. Without it the test compares
//! nothing and says so.

#![expect(clippy::explicit_write, reason = "it reaches the reader although the harness captures prints")]

mod export;
mod tool;

use std::{
    cell::RefCell,
    env,
    io::{self, Write as _},
    ops::ControlFlow,
};

use alloy_consensus::{ReceiptEnvelope, proofs::calculate_receipt_root};
use alloy_hardforks::EthereumHardfork::{self, *};
use alloy_primitives::{Address, U256};
use blockloom_engine::{BlockError, BlockStep, Invalid, Outcome, Reason};
use blockloom_fuzz::{HostileBlock, disagreement, engine_on, hostile_block};
use blockloom_state::{Allocation, MemoryStore};
use proptest::{
    prop_assert,
    strategy::Strategy,
    test_runner::{RngAlgorithm, TestError, TestRng, TestRunner},
};

use tool::{Answer, Tool};

/// The variable with the number of blocks of each fork.
const BLOCKS: &str = "BLOCKLOOM_SPEC_BLOCKS";
/// The variable with the seed of the blocks.
const SEED: &str = "BLOCKLOOM_SPEC_SEED";

/// The forks, by our name and by the specification's.
const FORKS: [(EthereumHardfork, &str); 18] = [
    (Frontier, "Frontier"),
    (Homestead, "Homestead"),
    (Tangerine, "EIP150"),
    (SpuriousDragon, "EIP158"),
    (Byzantium, "Byzantium"),
    (Petersburg, "ConstantinopleFix"),
    (Istanbul, "Istanbul"),
    (MuirGlacier, "MuirGlacier"),
    (Berlin, "Berlin"),
    (London, "London"),
    (ArrowGlacier, "ArrowGlacier"),
    (GrayGlacier, "GrayGlacier"),
    (Paris, "Paris"),
    (Shanghai, "Shanghai"),
    (Cancun, "Cancun"),
    (Prague, "Prague"),
    (Osaka, "Osaka"),
    (Bpo2, "BPO2"),
];

/// The precompile about which revm and the specification disagree.
const RIPEMD: Address = Address::with_last_byte(3);

/// The amount of work in a comparison, to notice blocks without transactions.
#[derive(Debug, Default)]
struct Totals {
    transactions: usize,
    refused_blocks: usize,
    gas: u64,
}

impl Totals {
    fn add(&mut self, outcome: &Outcome, rejected: Option<usize>) {
        self.transactions += outcome.receipts.len();
        self.refused_blocks += usize::from(rejected.is_some());
        self.gas += outcome.gas_used;
    }
}

#[test]
fn the_engine_leaves_what_the_specification_leaves() {
    let Some(mut tool) = Tool::start() else {
        print_line(&format!("not compared with the specification: {}", tool::MISSING));
        return;
    };
    let blocks = number(BLOCKS).unwrap_or(3);
    for (fork, name) in FORKS {
        let totals = compare(&mut tool, fork, name, blocks);
        print_line(&format!("{name}: {blocks} blocks agree, {totals:?}"));
    }
}

fn compare(tool: &mut Tool, fork: EthereumHardfork, name: &str, blocks: usize) -> Totals {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&number(SEED).unwrap_or(0).to_le_bytes());
    seed[8..8 + name.len()].copy_from_slice(name.as_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let mut runner = TestRunner::new_with_rng(proptest::test_runner::Config::default(), rng);
    let strategy = hostile_block(vec![fork]);
    let tool = RefCell::new(tool);
    let totals = RefCell::new(Totals::default());
    for position in 0..blocks {
        let tree = strategy.new_tree(&mut runner).unwrap();
        let result = runner.run_one(tree, |mut hostile| {
            avoid_known_differences(&mut hostile);
            let (hostile, outcome, rejected) = execute(hostile);
            let answer = tool.borrow_mut().ask(&export::block(&hostile, name));
            let difference = difference(&hostile, &outcome, rejected, &answer);
            prop_assert!(difference.is_none(), "{}", difference.unwrap());
            totals.borrow_mut().add(&outcome, rejected);
            Ok(())
        });
        if let Err(TestError::Fail(difference, mut hostile)) = result {
            avoid_known_differences(&mut hostile);
            let question = export::block(&execute(hostile).0, name);
            panic!("{name}, block {position}, made smaller: {difference}\nThe tool was asked: {question}");
        }
    }
    totals.into_inner()
}

/// Executes a block, on one thread and on several. An invalid block is truncated after the transaction
/// at fault and executed up to it; returns that transaction's position.
fn execute(mut hostile: HostileBlock) -> (HostileBlock, Outcome, Option<usize>) {
    assert_eq!(disagreement(&engine_on(1), &engine_on(4), &hostile), None);
    let error = match execute_whole(&hostile) {
        Ok(outcome) => return (hostile, outcome, None),
        Err(error) => error,
    };
    let Reason::Invalid(Invalid::Transaction { index, .. }) = error.reason else { panic!("{error}") };
    hostile.signed.body.transactions.truncate(index.get() + 1);
    hostile.block.transactions.truncate(index.get());
    let outcome = execute_whole(&hostile).unwrap();
    (hostile, outcome, Some(index.get()))
}

/// Executes a block sequentially, and adds state roots to its receipts if its fork requires them.
fn execute_whole(HostileBlock { base, block, .. }: &HostileBlock) -> Result<Outcome, BlockError> {
    let engine = engine_on(1);
    if block.rules.is_active(Byzantium) {
        return engine.execute(base, block);
    }
    let mut state = base.clone();
    let mut roots = Vec::new();
    let outcome = engine.execute_with(base, block, |committed| {
        state.apply(&committed.changes).unwrap();
        if let BlockStep::Transaction(..) = committed.step {
            roots.push(state.root());
        }
        ControlFlow::Continue(())
    })?;
    Ok(outcome.with_post_states(&roots))
}

/// The precompile that stays touched when its caller fails (EIP-161's exception) stays touched in revm
/// and geth even when the transaction itself fails. The specification drops that touch and keeps an
/// empty account alive. No transaction on mainnet did this, so both results are accepted.
fn accept_disputed_account(state: &mut MemoryStore, answer: &Answer) {
    if state.account(&RIPEMD).is_none() && answer.has_empty_account(RIPEMD) {
        state.insert(RIPEMD, Allocation::default());
    }
}

fn avoid_known_differences(hostile: &mut HostileBlock) {
    avoid_disputed_account(hostile);
    avoid_overflow(hostile);
}

/// The specification has no result for a transfer that overflows a balance. Balances below this limit cannot
/// add up to more than one can be; a transfer of more then makes the block invalid.
fn avoid_overflow(hostile: &mut HostileBlock) {
    let limit = U256::from(u128::MAX);
    let huge: Vec<_> = hostile
        .base
        .accounts()
        .filter(|(_, stored)| stored.account.balance > limit)
        .map(|(address, stored)| (*address, stored.clone()))
        .collect();
    for (address, mut stored) in huge {
        stored.account.balance = limit;
        hostile.base.insert_account(address, stored);
    }
}

/// With state roots in receipts the account cannot be added afterwards. An account that is not empty
/// avoids the disagreement.
fn avoid_disputed_account(hostile: &mut HostileBlock) {
    let HostileBlock { base, block, .. } = hostile;
    if block.rules.fork == SpuriousDragon && base.account(&RIPEMD).is_some() {
        base.insert(RIPEMD, Allocation { balance: U256::from(1), ..Allocation::default() });
    }
}

/// The first difference to the specification.
fn difference(
    hostile: &HostileBlock,
    outcome: &Outcome,
    rejected: Option<usize>,
    answer: &Answer,
) -> Option<String> {
    let expected: Vec<_> = rejected.into_iter().collect();
    if answer.rejected() != expected {
        return Some(format!("rejected {expected:?}, the specification {}", answer.result["rejected"]));
    }
    let mut state = hostile.base.clone();
    state.apply(&outcome.changes).unwrap();
    accept_disputed_account(&mut state, answer);
    let receipts: Vec<_> = outcome.receipts.iter().cloned().map(ReceiptEnvelope::from).collect();
    let requests = outcome.requests.as_ref();
    let ours = [
        ("gasUsed", Some(format!("{:#x}", outcome.gas_used))),
        ("receiptsRoot", Some(calculate_receipt_root(&receipts).to_string())),
        ("stateRoot", Some(state.root().to_string())),
        ("requestsHash", requests.map(|requests| requests.requests_hash().to_string())),
        ("blockException", None),
    ];
    ours.into_iter().find_map(|(field, ours)| {
        let theirs = answer.result[field].as_str();
        (ours.as_deref() != theirs).then(|| {
            format!("{field} {ours:?}, the specification {theirs:?}\n{}", answer.account_differences(&state))
        })
    })
}

/// Prints a line past the capture of the test harness.
fn print_line(sentence: &str) {
    writeln!(io::stderr(), "{sentence}").unwrap();
}

fn number(variable: &str) -> Option<usize> {
    env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}
