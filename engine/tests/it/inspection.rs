//! Inspectors: they see what they would see in alloy-evm's EVM, and change nothing.

use std::{mem, ops::ControlFlow};

use alloy_consensus::Header;
use alloy_evm::{
    Evm, EvmEnv, EvmFactory,
    eth::{EthEvmContext, EthEvmFactory},
};
use alloy_hardforks::EthereumHardfork::Amsterdam;
use alloy_primitives::{Address, Bytes, Log, U256};
use blockloom_engine::{
    Block, BlockStep, Config, Engine, Frame, Lists, Reason, TransactionEnd, TransactionResult,
};
use blockloom_fuzz::{FORKS, HostileBlock, hostile_block};
use blockloom_state::MemoryStore;
use proptest::prelude::*;
use revm::{
    Database, Inspector,
    context_interface::result::{ExecutionResult, Output},
    database::{State, WrapDatabaseRef},
    interpreter::{
        CallInputs, CallOutcome, CreateInputs, CreateOutcome, InstructionResult, Interpreter,
        interpreter_types::Jumps,
    },
};

use crate::ways_out::blocks;

/// A call of the inspector.
#[derive(Clone, Debug, PartialEq)]
enum Event {
    Step { sender: Address, pc: usize, opcode: u8, gas: u64 },
    Call { callee: Address, value: U256 },
    Create { creator: Address, init: Bytes },
    End(InstructionResult, Bytes),
    Log(Log),
    SelfDestruct(Address, Address, U256),
}

/// Writes down everything that it sees. Its context is that of alloy-evm's EVM, and no other.
#[derive(Debug, Default)]
struct Witness(Vec<Event>);

impl<DB: Database> Inspector<EthEvmContext<DB>> for Witness {
    fn step(&mut self, interpreter: &mut Interpreter, context: &mut EthEvmContext<DB>) {
        let (pc, opcode) = (interpreter.bytecode.pc(), interpreter.bytecode.opcode());
        let gas = interpreter.gas.remaining();
        self.0.push(Event::Step { sender: context.tx.caller, pc, opcode, gas });
    }

    fn call(&mut self, _: &mut EthEvmContext<DB>, inputs: &mut CallInputs) -> Option<CallOutcome> {
        self.0.push(Event::Call { callee: inputs.bytecode_address, value: inputs.call_value() });
        None
    }

    fn call_end(&mut self, _: &mut EthEvmContext<DB>, _: &CallInputs, outcome: &mut CallOutcome) {
        self.0.push(Event::End(outcome.result.result, outcome.result.output.clone()));
    }

    fn create(&mut self, _: &mut EthEvmContext<DB>, inputs: &mut CreateInputs) -> Option<CreateOutcome> {
        self.0.push(Event::Create { creator: inputs.caller(), init: inputs.init_code().clone() });
        None
    }

    fn create_end(&mut self, _: &mut EthEvmContext<DB>, _: &CreateInputs, outcome: &mut CreateOutcome) {
        self.0.push(Event::End(outcome.result.result, outcome.result.output.clone()));
    }

    fn log(&mut self, _: &mut EthEvmContext<DB>, log: Log) {
        self.0.push(Event::Log(log));
    }

    fn selfdestruct(&mut self, contract: Address, target: Address, value: U256) {
        self.0.push(Event::SelfDestruct(contract, target, value));
    }
}

fn engine() -> Engine {
    Engine::new(Config { lists: Lists::Always, ..Config::sequential() })
}

/// What an inspector of alloy-evm's EVM sees of each transaction, with its result.
fn seen_by_alloy(base: &MemoryStore, block: &Block) -> Vec<(Vec<Event>, ExecutionResult)> {
    let rules = &block.rules;
    let cfg_env = EvmEnv::for_eth_block(Header::default(), rules, rules.chain_id, rules.blobs).cfg_env;
    let env = EvmEnv { cfg_env, block_env: block.env.clone() };
    // A `CacheDB` keeps touched accounts that are empty, which changes the gas of authorizations from Amsterdam on.
    let state = State::builder().with_database(WrapDatabaseRef(base)).build();
    let mut evm = EthEvmFactory::default().create_evm_with_inspector(state, env, Witness::default());
    let transactions = block.transactions.iter();
    transactions
        .map_while(|transaction| {
            let result = evm.transact_commit(transaction.env.clone()).ok()?;
            Some((mem::take(&mut evm.inspector_mut().0), result))
        })
        .collect()
}

fn assert_same_result(result: &TransactionResult, logs: &[Log], expected: &ExecutionResult) {
    assert_eq!(logs, expected.logs());
    assert_eq!(result.output, expected.output().cloned().unwrap_or_default());
    match (&result.end, expected) {
        (TransactionEnd::Success(reason), ExecutionResult::Success { reason: expected, output, .. }) => {
            assert_eq!(reason, expected);
            let created = if let Output::Create(_, created) = output { *created } else { None };
            assert_eq!(result.created, created);
        }
        (TransactionEnd::Revert, ExecutionResult::Revert { .. }) => assert_eq!(result.created, None),
        (TransactionEnd::Halt(reason), ExecutionResult::Halt { reason: expected, .. }) => {
            assert_eq!(reason, expected);
        }
        _ => panic!("{result:?} is not {expected:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn an_inspector_sees_what_alloys_evm_shows_it(
        hostile in hostile_block(FORKS.into_iter().chain([Amsterdam]).collect())
    ) {
        let HostileBlock { base, block, .. } = hostile;
        // alloy-evm lets contracts be created at accounts that have nothing but storage (EIP-7610).
        prop_assume!(block.rules.storage_only.is_none());
        let block = Block { frame: Frame::TransactionsOnly, ..block };
        let expected = seen_by_alloy(&base, &block);
        let mut committed = 0;
        let inspected = engine().inspect(&base, &block, &mut Witness::default(), |witness, step| {
            if let (Some(receipt), Some(result)) = (step.receipt, &step.result) {
                let (events, expected) = &expected[committed];
                assert_eq!(&mem::take(&mut witness.0), events, "transaction {committed}");
                assert_same_result(result, &receipt.logs, expected);
                assert_eq!(&step.gas, expected.gas());
                committed += 1;
            }
            ControlFlow::Continue(())
        });
        // A failed assertion of the callback is an error of the block.
        let [inspected, executed] = [inspected, engine().execute(&base, &block)]
            .map(|result| result.map(drop).map_err(|error| error.to_string()));
        prop_assert_eq!(&inspected, &executed);
        if executed.is_ok() {
            prop_assert_eq!(committed, block.transactions.len());
        }
    }

    #[test]
    fn an_inspector_changes_no_outcome(
        hostile in hostile_block(FORKS.into_iter().chain([Amsterdam]).collect())
    ) {
        let HostileBlock { base, block, .. } = hostile;
        let engine = engine();
        let expected = engine.execute(&base, &block);
        let mut witness = Witness::default();
        let inspected = engine.inspect(&base, &block, &mut witness, |_, _| ControlFlow::Continue(()));
        match (inspected, expected) {
            (Ok(inspected), Ok(expected)) => prop_assert_eq!(inspected, expected),
            (Err(inspected), Err(expected)) => prop_assert_eq!(inspected.to_string(), expected.to_string()),
            (inspected, expected) => prop_assert!(false, "{inspected:?} is not {expected:?}"),
        }
    }
}

#[test]
fn every_transaction_of_a_block_is_inspected() {
    let mut steps = 0;
    for (HostileBlock { base, block, .. }, expected) in blocks(10) {
        let mut transactions = 0;
        let outcome = engine().inspect(&base, &block, &mut Witness::default(), |witness, step| {
            if step.receipt.is_some() {
                let events = mem::take(&mut witness.0);
                assert!(matches!(events.last(), Some(Event::End(..))), "{events:?}");
                transactions += 1;
                steps += events.iter().filter(|event| matches!(event, Event::Step { .. })).count();
            }
            // System calls are not inspected.
            assert_eq!(witness.0, []);
            ControlFlow::Continue(())
        });
        assert_eq!(outcome.unwrap(), expected);
        assert_eq!(transactions, block.transactions.len());
    }
    assert!(steps > 1_000, "only {steps} instructions were inspected");
}

#[test]
fn a_callback_ends_an_inspected_block_and_so_does_a_panic_of_the_inspector() {
    let (HostileBlock { base, block, .. }, _) = blocks(1).remove(0);
    let first = BlockStep::Transaction(blockloom_state::TxIndex::new(0), block.transactions[0].hash);
    let error = engine().inspect(&base, &block, &mut Witness::default(), |_, step| {
        if step.receipt.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let reason = error.unwrap_err().reason;
    assert!(matches!(reason, Reason::Cancelled { step } if step == first), "{reason}");

    struct Panicking;
    impl<CTX> Inspector<CTX> for Panicking {
        fn call(&mut self, _: &mut CTX, _: &mut CallInputs) -> Option<CallOutcome> {
            panic!("it does not like calls")
        }

        fn create(&mut self, _: &mut CTX, _: &mut CreateInputs) -> Option<CreateOutcome> {
            panic!("it does not like creations")
        }
    }
    let error = engine().inspect(&base, &block, &mut Panicking, |_, _| ControlFlow::Continue(()));
    let reason = error.unwrap_err().reason;
    assert!(matches!(reason, Reason::Panicked { step, .. } if step == first), "{reason}");
}
