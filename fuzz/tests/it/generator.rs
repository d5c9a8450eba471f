//! Checks that generated blocks contain what they must: a property over blocks that all fail would
//! prove nothing.

use std::{collections::BTreeMap, ops::ControlFlow};

use alloy_consensus::Header;
use alloy_eips::eip6110::DEPOSIT_REQUEST_TYPE;
use alloy_evm::EvmEnv;
use alloy_hardforks::EthereumHardfork;
use alloy_primitives::{Address, B256, U256};
use blockloom_engine::{BlockStep, Config, Engine, Invalid, Reason, Transaction};
use blockloom_fuzz::{FORKS, HostileBlock, hostile_block, hostile_block_of};
use blockloom_state::{AccountChange, Change, Changes};
use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::TestRunner,
};
use revm::{
    Context, InspectCommitEvm, Inspector, MainBuilder, MainContext,
    bytecode::{
        Bytecode,
        opcode::{BALANCE, OpCode},
    },
    context::TxEnv,
    context_interface::{Block as _, ContextTr, Transaction as _, transaction::AuthorizationTr as _},
    database::CacheDB,
    interpreter::{
        CallInputs, CallOutcome, Interpreter, interpreter::EthInterpreter, interpreter_types::Jumps as _,
    },
};

/// How often each event happened, by its name.
type Counts = BTreeMap<String, usize>;

/// The expected events and their minimal counts in the generated blocks.
const EXPECTED: [(&str, usize); 44] = [
    ("block valid", 250),
    ("block invalid", 40),
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
    ("created again", 4),
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

/// Counts opcodes, notable calls and other events.
#[derive(Debug, Default)]
struct Counter {
    counts: Counts,
    /// The senders of the present block.
    senders: Vec<Address>,
}

impl Counter {
    fn count(&mut self, what: &str) {
        *self.counts.entry(what.to_owned()).or_default() += 1;
    }

    /// Counts the facts that are true.
    fn count_facts(&mut self, facts: &[(&str, bool)]) {
        facts.iter().filter(|(_, is_true)| *is_true).for_each(|(what, _)| self.count(what));
    }
}

impl<C: ContextTr> Inspector<C, EthInterpreter> for Counter {
    fn step(&mut self, interpreter: &mut Interpreter<EthInterpreter>, context: &mut C) {
        let opcode = interpreter.bytecode.opcode();
        self.count(OpCode::name_by_op(opcode));
        let operand = interpreter.stack.peek(0).ok().map(|word| Address::from_word(B256::from(word)));
        if opcode == BALANCE && operand == Some(context.block().beneficiary()) {
            self.count("coinbase's balance read");
        }
    }

    fn call(&mut self, _: &mut C, call: &mut CallInputs) -> Option<CallOutcome> {
        if call.target_address == Address::with_last_byte(3) && call.gas_limit < 600 {
            self.count("RIPEMD-160 without enough gas");
        }
        if call.target_address == Address::with_last_byte(0x99) && call.call_value().is_zero() {
            self.count("no value to an absent account");
        }
        if self.senders.contains(&call.target_address) && !call.known_bytecode.1.is_empty() {
            self.count("delegated code run");
        }
        None
    }
}

/// Inspects the execution of a block's transactions up to the first invalid one.
fn inspect(HostileBlock { base, block, .. }: &HostileBlock, counter: &mut Counter) {
    counter.senders = block.transactions.iter().map(|transaction| transaction.env.caller).collect();
    let rules = &block.rules;
    let cfg = EvmEnv::for_eth_block(Header::default(), rules, rules.chain_id, rules.blobs).cfg_env;
    let context = Context::mainnet().with_cfg(cfg).with_block(block.env.clone());
    let mut evm = context.with_db(CacheDB::new(base)).build_mainnet_with_inspector(counter);
    for transaction in &block.transactions {
        if evm.inspect_tx_commit(transaction.env.clone()).is_err() {
            break;
        }
    }
}

/// Executes a block, and returns the changes of its transactions up to the first invalid one.
fn execute(HostileBlock { base, block, .. }: &HostileBlock, counter: &mut Counter) -> Vec<Changes> {
    let mut transactions = Vec::new();
    let result = Engine::new(Config::sequential()).execute_with(base, block, |committed| {
        if let BlockStep::Transaction(..) = committed.step {
            transactions.push(committed.changes);
        }
        ControlFlow::Continue(())
    });
    match result {
        Ok(outcome) => {
            counter.count("block valid");
            for receipt in &outcome.receipts {
                counter.count(if receipt.status.coerce_status() { "success" } else { "failure" });
            }
            for request in outcome.requests.iter().flat_map(|requests| requests.iter()) {
                counter.count(if request[0] == DEPOSIT_REQUEST_TYPE { "deposit" } else { "request" });
            }
        }
        Err(error) => {
            let reason = &error.reason;
            assert!(matches!(reason, Reason::Invalid(Invalid::Transaction { .. })), "{error}");
            counter.count("block invalid");
        }
    }
    transactions
}

/// Counts the events in the changes of a block's transactions.
fn count_changes(hostile: &HostileBlock, transactions: &[Changes], counter: &mut Counter) {
    let mut history = History::default();
    for (changes, Transaction { env, .. }) in transactions.iter().zip(&hostile.block.transactions) {
        count_sender(hostile, env, &mut history, counter);
        for (address, change) in &changes.accounts {
            count_account(*address, change, &mut history, counter);
            let code = change.account.after.and_then(|after| changes.codes.get(&after.code_hash));
            if code.is_some_and(Bytecode::is_eip7702) {
                counter.count("delegation set");
                history.delegated.push(*address);
            }
        }
    }
    let coinbase = hostile.block.env.beneficiary;
    counter.count_facts(&[
        ("coinbase destroyed", history.destroyed.contains(&coinbase)),
        ("coinbase delegates", history.delegated.contains(&coinbase)),
    ]);
}

/// What earlier transactions of the block did.
#[derive(Debug, Default)]
struct History {
    senders: Vec<Address>,
    destroyed: Vec<Address>,
    delegated: Vec<Address>,
    written: Vec<(Address, U256)>,
}

fn count_sender(hostile: &HostileBlock, env: &TxEnv, history: &mut History, counter: &mut Counter) {
    let sender = env.caller;
    let mut authorities = env.authorization_list().filter_map(|authorization| authorization.authority());
    counter.count(&format!("type {}", env.tx_type));
    counter.count_facts(&[
        ("delegated sender", history.delegated.contains(&sender)),
        ("sender again", history.senders.contains(&sender)),
        ("sender without balance at first", hostile.base.account(&sender).is_none()),
        ("coinbase sends", sender == hostile.block.env.beneficiary),
        ("authorizes itself", authorities.any(|authority| authority == sender)),
    ]);
    history.senders.push(sender);
}

fn count_account(address: Address, change: &AccountChange, history: &mut History, counter: &mut Counter) {
    let Change { before, after } = change.account;
    let had_code = before.is_some_and(|before| before.has_code());
    let has_code = after.is_some_and(|after| after.has_code());
    let (is_gone, is_new) = (before.is_some() && after.is_none(), before.is_none() && after.is_some());
    counter.count_facts(&[
        ("destroyed", is_gone && had_code),
        ("empty account cleared", is_gone && !had_code),
        ("created again", is_new && has_code && history.destroyed.contains(&address)),
        ("empty account made", is_new && after.is_some_and(|after| after.is_empty())),
        ("delegation cleared", had_code && after.is_some() && !has_code),
    ]);
    if is_gone {
        history.destroyed.push(address);
    }
    for key in change.slots.keys() {
        counter.count_facts(&[("slot written again", history.written.contains(&(address, *key)))]);
        history.written.push((address, *key));
    }
}

#[test]
fn hostile_blocks_contain_every_expected_event() {
    let mut runner = TestRunner::deterministic();
    let strategy = hostile_block(FORKS.to_vec());
    let mut counter = Counter::default();
    for _ in 0..800 {
        let hostile = strategy.new_tree(&mut runner).unwrap().current();
        let transactions = execute(&hostile, &mut counter);
        count_changes(&hostile, &transactions, &mut counter);
        inspect(&hostile, &mut counter);
    }
    for (what, least) in EXPECTED {
        let count = counter.counts.get(what).copied().unwrap_or(0);
        assert!(count >= least, "{what}: {count} times, in {:#?}", counter.counts);
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
