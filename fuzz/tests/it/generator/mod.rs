//! Checks that generated blocks contain what they must: a property over blocks that all fail would
//! prove nothing.

mod changes;
mod creations;
mod inspector;

use std::{collections::BTreeMap, ops::ControlFlow};

use alloy_consensus::Header;
use alloy_eips::eip6110::DEPOSIT_REQUEST_TYPE;
use alloy_evm::EvmEnv;
use alloy_hardforks::EthereumHardfork;
use blockloom_engine::{BlockStep, Config, Engine, Invalid, Reason};
use blockloom_fuzz::{FORKS, HostileBlock, hostile_block, hostile_block_of};
use blockloom_state::Changes;
use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::TestRunner,
};
use revm::{Context, InspectCommitEvm, MainBuilder, MainContext, database::CacheDB};

use self::inspector::Observer;

/// The expected events and their minimal counts in the generated blocks.
const EXPECTED: [(&str, usize); 82] = [
    ("block valid", 400),
    ("block invalid", 80),
    ("success", 1_000),
    ("failure", 200),
    ("type 0", 500),
    ("type 1", 100),
    ("type 2", 100),
    ("type 3", 30),
    ("type 4", 80),
    ("sender again", 500),
    ("slot written again", 200),
    ("sender without balance at first", 50),
    ("destroyed", 30),
    ("created again", 12),
    ("empty account made", 50),
    ("empty account cleared", 10),
    ("no value to an absent account", 20),
    ("RIPEMD-160 without enough gas", 2),
    ("coinbase sends", 50),
    ("coinbase delegates", 2),
    ("coinbase destroyed", 4),
    ("coinbase's balance read", 20),
    ("delegation set", 80),
    ("delegation cleared", 8),
    ("delegated sender", 50),
    ("delegated code run", 40),
    ("authorizes itself", 10),
    ("deposit", 5),
    ("request", 5),
    ("slot of an earlier life read", 8),
    ("slot of an earlier life logged", 8),
    ("slot of an earlier life stored elsewhere", 2),
    ("storage-only account cleared", 8),
    ("created where storage was cleared", 2),
    ("empty account called before EIP-161", 40),
    ("empty account called again before EIP-161", 14),
    ("destroyed account called before EIP-161", 5),
    ("huge value sent", 200),
    ("huge value received", 100),
    ("huge balance inherited", 60),
    ("transfer that overflows a balance", 40),
    ("creation", 600),
    ("creation at an account with a nonce", 40),
    ("creation at an account with code", 200),
    ("creation at an account with storage", 80),
    ("creation by an account with the highest nonce", 50),
    ("creation of a code that is too long", 18),
    ("creation of a code with 0xEF", 15),
    ("creation that overflows a balance", 7),
    ("creation that reverts", 75),
    ("creation that runs out of gas", 100),
    ("creation with an invalid opcode", 40),
    ("creation without gas for the code", 40),
    ("creation without the balance for its value", 190),
    ("init code that ends differently", 7),
    ("ORIGIN stored", 36),
    ("ORIGIN decides a branch", 16),
    ("ORIGIN in init code", 75),
    ("GASPRICE stored", 50),
    ("GASPRICE decides a branch", 28),
    ("GASPRICE in init code", 22),
    ("COINBASE stored", 30),
    ("COINBASE decides a branch", 19),
    ("COINBASE in init code", 45),
    ("BLOCKHASH stored", 120),
    ("BLOCKHASH decides a branch", 27),
    ("BLOCKHASH in init code", 50),
    ("BALANCE", 50),
    ("BLOCKHASH", 50),
    ("BLOBHASH", 20),
    ("CALLCODE", 100),
    ("CREATE", 100),
    ("CREATE2", 100),
    ("DELEGATECALL", 100),
    ("EXTCODEHASH", 30),
    ("EXTCODESIZE", 30),
    ("INVALID", 50),
    ("REVERT", 30),
    ("SELFBALANCE", 20),
    ("SELFDESTRUCT", 100),
    ("STATICCALL", 50),
    ("TSTORE", 30),
];

/// How often each event happened, by its name.
#[derive(Debug, Default)]
struct Counts(BTreeMap<String, usize>);

impl Counts {
    fn count(&mut self, what: &str) {
        *self.0.entry(what.to_owned()).or_default() += 1;
    }

    /// Counts the facts that are true.
    fn count_facts(&mut self, facts: &[(&str, bool)]) {
        facts.iter().filter(|(_, is_true)| *is_true).for_each(|(what, _)| self.count(what));
    }
}

/// Executes a block, and returns the changes of its transactions up to the first invalid one.
fn execute(HostileBlock { base, block, .. }: &HostileBlock, counts: &mut Counts) -> Vec<Changes> {
    let mut transactions = Vec::new();
    let result = Engine::new(Config::sequential()).execute_with(base, block, |committed| {
        if let BlockStep::Transaction(..) = committed.step {
            transactions.push(committed.changes);
        }
        ControlFlow::Continue(())
    });
    match result {
        Ok(outcome) => {
            counts.count("block valid");
            for receipt in &outcome.receipts {
                counts.count(if receipt.status.coerce_status() { "success" } else { "failure" });
            }
            for request in outcome.requests.iter().flat_map(|requests| requests.iter()) {
                counts.count(if request[0] == DEPOSIT_REQUEST_TYPE { "deposit" } else { "request" });
            }
        }
        Err(error) => {
            let reason = &error.reason;
            assert!(matches!(reason, Reason::Invalid(Invalid::Transaction { .. })), "{error}");
            counts.count("block invalid");
        }
    }
    transactions
}

/// Executes the same transactions on an inspected revm, and counts what happens in them and what they change.
fn inspect(hostile: &HostileBlock, transactions: &[Changes], counts: Counts) -> Counts {
    let HostileBlock { base, block, .. } = hostile;
    let rules = &block.rules;
    let cfg = EvmEnv::for_eth_block(Header::default(), rules, rules.chain_id, rules.blobs).cfg_env;
    let context = Context::mainnet().with_cfg(cfg).with_block(block.env.clone());
    let observer = Observer::new(hostile, counts);
    let mut evm = context.with_db(CacheDB::new(base)).build_mainnet_with_inspector(observer);
    for (changes, transaction) in transactions.iter().zip(&block.transactions) {
        evm.inspect_tx_commit(transaction.env.clone()).unwrap();
        evm.inspector.check.after_transaction(&mut evm.ctx.journaled_state.database);
        let Observer { history, counts, .. } = &mut evm.inspector;
        history.count_sender(hostile, &transaction.env, counts);
        history.count_changes(hostile, changes, counts);
    }
    let Observer { history, mut counts, .. } = evm.inspector;
    let coinbase = block.env.beneficiary;
    counts.count_facts(&[
        ("coinbase destroyed", history.destroyed.contains(&coinbase)),
        ("coinbase delegates", history.delegated.contains(&coinbase)),
    ]);
    counts
}

#[test]
fn hostile_blocks_contain_every_expected_event() {
    let mut runner = TestRunner::deterministic();
    let strategy = hostile_block(FORKS.to_vec());
    let mut counts = Counts::default();
    for _ in 0..800 {
        let hostile = strategy.new_tree(&mut runner).unwrap().current();
        let transactions = execute(&hostile, &mut counts);
        counts = inspect(&hostile, &transactions, counts);
    }
    for (what, least) in EXPECTED {
        let count = counts.0.get(what).copied().unwrap_or(0);
        assert!(count >= least, "{what}: {count} times, in {:#?}", counts.0);
    }
}

#[test]
fn any_bytes_describe_a_block_and_equal_bytes_the_same_one() {
    let forks = [EthereumHardfork::Osaka];
    for bytes in [&[][..], &[255; 1], &[7; 1000], &[255; 4000]] {
        let (left, right) = (hostile_block_of(&forks, bytes), hostile_block_of(&forks, bytes));
        assert_eq!(left.base.root(), right.base.root());
        assert_eq!(left.block.transactions, right.block.transactions);
        assert_eq!(left.signed, right.signed);
    }
}
