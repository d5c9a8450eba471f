//! The generator makes what it is for: a property over blocks that all fail would hold of anything.

use std::{collections::BTreeMap, ops::ControlFlow};

use alloy_consensus::Header;
use alloy_eips::eip6110::DEPOSIT_REQUEST_TYPE;
use alloy_evm::EvmEnv;
use alloy_hardforks::EthereumHardfork;
use alloy_primitives::{Address, B256, U256};
use blockloom_engine::{Config, Engine, Invalid, Place, Reason, Transaction};
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

/// How often each thing happened, by its name.
type Counts = BTreeMap<String, usize>;

/// What must happen, and how often at least, in the blocks that are looked at.
const EXPECTED: [(&str, usize); 44] = [
    ("block valid", 250),
    ("block refused", 40),
    ("success", 1_000),
    ("failure", 200),
    ("type 0", 500),
    ("type 1", 100),
    ("type 2", 100),
    ("type 3", 30),
    ("type 4", 80),
    ("sender again", 500),
    ("slot written again", 200),
    ("sent what was given", 50),
    ("destroyed", 30),
    ("created again", 4),
    ("empty account made", 50),
    ("empty account cleared", 10),
    ("nothing to nobody", 20),
    ("RIPEMD-160 without gas", 2),
    ("coinbase sends", 50),
    ("coinbase delegates", 2),
    ("coinbase destroyed", 4),
    ("coinbase's balance read", 20),
    ("delegation set", 80),
    ("delegation cleared", 8),
    ("delegated sender", 50),
    ("delegated code run", 40),
    ("sponsors itself", 10),
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

/// Counts opcodes, remarkable calls and whatever else it is told of.
#[derive(Debug, Default)]
struct Audience {
    counts: Counts,
    /// Who signs transactions in the present block.
    senders: Vec<Address>,
}

impl Audience {
    fn saw(&mut self, what: &str) {
        *self.counts.entry(what.to_owned()).or_default() += 1;
    }

    /// Says of a transaction what is true of it.
    fn saw_those(&mut self, facts: &[(&str, bool)]) {
        facts.iter().filter(|(_, is_true)| *is_true).for_each(|(what, _)| self.saw(what));
    }
}

impl<C: ContextTr> Inspector<C, EthInterpreter> for Audience {
    fn step(&mut self, interpreter: &mut Interpreter<EthInterpreter>, context: &mut C) {
        let opcode = interpreter.bytecode.opcode();
        self.saw(OpCode::name_by_op(opcode));
        let operand = interpreter.stack.peek(0).ok().map(|word| Address::from_word(B256::from(word)));
        if opcode == BALANCE && operand == Some(context.block().beneficiary()) {
            self.saw("coinbase's balance read");
        }
    }

    fn call(&mut self, _: &mut C, call: &mut CallInputs) -> Option<CallOutcome> {
        if call.target_address == Address::with_last_byte(3) && call.gas_limit < 600 {
            self.saw("RIPEMD-160 without gas");
        }
        if call.target_address == Address::with_last_byte(0x99) && call.call_value().is_zero() {
            self.saw("nothing to nobody");
        }
        if self.senders.contains(&call.target_address) && !call.known_bytecode.1.is_empty() {
            self.saw("delegated code run");
        }
        None
    }
}

/// Watches the transactions of a block up to the first that is refused.
fn watch(HostileBlock { base, block, .. }: &HostileBlock, audience: &mut Audience) {
    audience.senders = block.transactions.iter().map(|transaction| transaction.env.caller).collect();
    let rules = &block.rules;
    let cfg = EvmEnv::for_eth_block(Header::default(), rules, rules.chain_id, rules.blobs).cfg_env;
    let context = Context::mainnet().with_cfg(cfg).with_block(block.env.clone());
    let mut evm = context.with_db(CacheDB::new(base)).build_mainnet_with_inspector(audience);
    for transaction in &block.transactions {
        if evm.inspect_tx_commit(transaction.env.clone()).is_err() {
            break;
        }
    }
}

/// Executes a block, and returns what its transactions up to the first that is refused changed.
fn execute(HostileBlock { base, block, .. }: &HostileBlock, audience: &mut Audience) -> Vec<Changes> {
    let mut transactions = Vec::new();
    let result = Engine::new(Config::sequential()).execute_with(base, block, |step| {
        if let Place::Transaction(..) = step.place {
            transactions.push(step.changes);
        }
        ControlFlow::Continue(())
    });
    match result {
        Ok(outcome) => {
            audience.saw("block valid");
            for receipt in &outcome.receipts {
                audience.saw(if receipt.status.coerce_status() { "success" } else { "failure" });
            }
            for request in outcome.requests.iter().flat_map(|requests| requests.iter()) {
                audience.saw(if request[0] == DEPOSIT_REQUEST_TYPE { "deposit" } else { "request" });
            }
        }
        Err(error) => {
            let reason = &error.reason;
            assert!(matches!(reason, Reason::Invalid(Invalid::Transaction { .. })), "{error}");
            audience.saw("block refused");
        }
    }
    transactions
}

/// What the changes of a block's transactions, in order, tell.
fn review(hostile: &HostileBlock, transactions: &[Changes], audience: &mut Audience) {
    let mut earlier = Earlier::default();
    for (changes, Transaction { env, .. }) in transactions.iter().zip(&hostile.block.transactions) {
        review_sender(hostile, env, &mut earlier, audience);
        for (address, change) in &changes.accounts {
            review_account(*address, change, &mut earlier, audience);
            let code = change.account.after.and_then(|after| changes.codes.get(&after.code_hash));
            if code.is_some_and(Bytecode::is_eip7702) {
                audience.saw("delegation set");
                earlier.delegated.push(*address);
            }
        }
    }
    let coinbase = hostile.block.env.beneficiary;
    audience.saw_those(&[
        ("coinbase destroyed", earlier.destroyed.contains(&coinbase)),
        ("coinbase delegates", earlier.delegated.contains(&coinbase)),
    ]);
}

/// What the transactions before did.
#[derive(Debug, Default)]
struct Earlier {
    senders: Vec<Address>,
    destroyed: Vec<Address>,
    delegated: Vec<Address>,
    written: Vec<(Address, U256)>,
}

fn review_sender(hostile: &HostileBlock, env: &TxEnv, earlier: &mut Earlier, audience: &mut Audience) {
    let sender = env.caller;
    let mut authorities = env.authorization_list().filter_map(|authorization| authorization.authority());
    audience.saw(&format!("type {}", env.tx_type));
    audience.saw_those(&[
        ("delegated sender", earlier.delegated.contains(&sender)),
        ("sender again", earlier.senders.contains(&sender)),
        ("sent what was given", hostile.base.account(&sender).is_none()),
        ("coinbase sends", sender == hostile.block.env.beneficiary),
        ("sponsors itself", authorities.any(|authority| authority == sender)),
    ]);
    earlier.senders.push(sender);
}

fn review_account(address: Address, change: &AccountChange, earlier: &mut Earlier, audience: &mut Audience) {
    let Change { before, after } = change.account;
    let had_code = before.is_some_and(|before| before.has_code());
    let has_code = after.is_some_and(|after| after.has_code());
    let (is_gone, is_new) = (before.is_some() && after.is_none(), before.is_none() && after.is_some());
    audience.saw_those(&[
        ("destroyed", is_gone && had_code),
        ("empty account cleared", is_gone && !had_code),
        ("created again", is_new && has_code && earlier.destroyed.contains(&address)),
        ("empty account made", is_new && after.is_some_and(|after| after.is_empty())),
        ("delegation cleared", had_code && after.is_some() && !has_code),
    ]);
    if is_gone {
        earlier.destroyed.push(address);
    }
    for key in change.slots.keys() {
        audience.saw_those(&[("slot written again", earlier.written.contains(&(address, *key)))]);
        earlier.written.push((address, *key));
    }
}

#[test]
fn hostile_blocks_do_what_they_are_for() {
    let mut runner = TestRunner::deterministic();
    let strategy = hostile_block(FORKS.to_vec());
    let mut audience = Audience::default();
    for _ in 0..800 {
        let hostile = strategy.new_tree(&mut runner).unwrap().current();
        let transactions = execute(&hostile, &mut audience);
        review(&hostile, &transactions, &mut audience);
        watch(&hostile, &mut audience);
    }
    for (what, least) in EXPECTED {
        let count = audience.counts.get(what).copied().unwrap_or(0);
        assert!(count >= least, "{what}: {count} times, in {:#?}", audience.counts);
    }
}

#[test]
fn any_bytes_are_a_block_and_always_the_same() {
    let forks = [EthereumHardfork::Osaka];
    for bytes in [&[][..], &[255; 1], &[7; 1000], &[255; 4000]] {
        let (left, right) = (hostile_block_of(&forks, bytes), hostile_block_of(&forks, bytes));
        assert_eq!(left.base.root(), right.base.root());
        assert_eq!(left.block.transactions, right.block.transactions);
        assert_eq!(left.signed, right.signed);
    }
}
