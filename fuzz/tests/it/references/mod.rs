//! Executes hostile blocks on our engine and on implementations of Ethereum that share no code with it: the
//! specification, which is written in Python, and ethrex.
//!
//! The README of this crate explains how to install them. Without one its test compares nothing and says so.

#![expect(clippy::explicit_write, reason = "it reaches the reader although the harness captures prints")]

mod export;
mod reference;
mod tool;

use std::{
    cell::RefCell,
    env,
    io::{self, Write as _},
    ops::ControlFlow,
};

use alloy_consensus::{ReceiptEnvelope, proofs::calculate_receipt_root};
use alloy_hardforks::EthereumHardfork::{self, Amsterdam, Byzantium};

use blockloom_engine::{BlockError, BlockStep, Invalid, Outcome, Reason};
use blockloom_fuzz::{HostileBlock, disagreement, engine_on, hostile_block};
use proptest::{
    prop_assert,
    strategy::Strategy,
    test_runner::{RngAlgorithm, TestError, TestRng, TestRunner},
};

use reference::{ETHREX, Reference, SPECIFICATION};
use tool::{Answer, Tool};

/// The variable with the number of blocks of each fork.
const BLOCKS: &str = "BLOCKLOOM_SPEC_BLOCKS";
/// The variable with the seed of the blocks.
const SEED: &str = "BLOCKLOOM_SPEC_SEED";

/// The amount of work in a comparison, to notice blocks without transactions.
#[derive(Debug, Default)]
struct Totals {
    transactions: usize,
    refused_blocks: usize,
    gas: u64,
    /// Blocks for which the other has no result.
    unanswered: usize,
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
    compare_all(&SPECIFICATION);
}

#[test]
fn the_engine_leaves_what_ethrex_leaves() {
    compare_all(&ETHREX);
}

fn compare_all(reference: &Reference) {
    let Some(mut tool) = reference.start() else {
        print_line(&format!("not compared with {}: {}", reference.name, reference.missing));
        return;
    };
    let blocks = number(BLOCKS).unwrap_or(3);
    for (fork, name) in reference.forks {
        let totals = compare(reference, &mut tool, *fork, name, blocks);
        print_line(&format!("{}, {name}: {blocks} blocks agree, {totals:?}", reference.name));
    }
}

fn compare(
    reference: &Reference,
    tool: &mut Tool,
    fork: EthereumHardfork,
    name: &str,
    blocks: usize,
) -> Totals {
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
            (reference.avoid)(&mut hostile);
            let (hostile, outcome, rejected) = execute(hostile);
            let answer = tool.borrow_mut().ask(&export::block(&hostile, name));
            if answer.failure().is_some_and(|failure| reference.is_known(failure)) {
                totals.borrow_mut().unanswered += 1;
                return Ok(());
            }
            let difference = difference(reference, &hostile, &outcome, rejected, &answer);
            prop_assert!(difference.is_none(), "{}", difference.unwrap());
            totals.borrow_mut().add(&outcome, rejected);
            Ok(())
        });
        if let Err(TestError::Fail(difference, mut hostile)) = result {
            (reference.avoid)(&mut hostile);
            let question = export::block(&execute(hostile).0, name);
            panic!(
                "{name}, block {position}, made smaller: {difference}\n\
                 The other is {}. It was asked: {question}",
                reference.name
            );
        }
    }
    let totals = totals.into_inner();
    let unanswered = totals.unanswered;
    assert!(4 * unanswered <= blocks + 3, "{name}: {unanswered} of {blocks} blocks have no answer");
    totals
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

/// The first difference to the other implementation.
fn difference(
    reference: &Reference,
    hostile: &HostileBlock,
    outcome: &Outcome,
    rejected: Option<usize>,
    answer: &Answer,
) -> Option<String> {
    if let Some(failure) = answer.failure() {
        return Some(format!("the other fails: {failure}"));
    }
    let expected: Vec<_> = rejected.into_iter().collect();
    if answer.rejected() != expected {
        return Some(format!("rejected {expected:?}, the other {}", answer.result["rejected"]));
    }
    let mut state = hostile.base.clone();
    state.apply(&outcome.changes).unwrap();
    (reference.accept)(&mut state, answer);
    let receipts: Vec<_> = outcome.receipts.iter().cloned().map(ReceiptEnvelope::from).collect();
    let requests = outcome.requests.as_ref();
    // The engine is asked for lists under every fork.
    let list = outcome.access_list.as_ref().filter(|_| hostile.block.rules.is_active(Amsterdam));
    let ours = [
        ("gasUsed", Some(format!("{:#x}", outcome.gas_used))),
        ("receiptsRoot", Some(calculate_receipt_root(&receipts).to_string())),
        ("stateRoot", Some(state.root().to_string())),
        ("requestsHash", requests.map(|requests| requests.requests_hash().to_string())),
        ("blockException", None),
    ];
    let difference = ours.into_iter().find_map(|(field, ours)| {
        let theirs = answer.result[field].as_str();
        (ours.as_deref() != theirs).then(|| {
            format!("{field} {ours:?}, the other {theirs:?}\n{}", answer.account_differences(&state))
        })
    });
    difference.or_else(|| answer.access_list_difference(list))
}

/// Prints a line past the capture of the test harness.
fn print_line(sentence: &str) {
    writeln!(io::stderr(), "{sentence}").unwrap();
}

fn number(variable: &str) -> Option<usize> {
    env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}
