//! What keeps a block from being executed in parallel, and that it changes nothing.

use alloy_consensus::ReceiptEnvelope;
use alloy_evm::{
    EthEvm, Evm, EvmFactory,
    block::{BlockExecutionResult, BlockExecutor, BlockExecutorFactory},
    precompiles::PrecompilesMap,
};
use alloy_hardforks::EthereumHardfork::*;
use alloy_primitives::Bytes;
use blockloom_engine::{Config, Engine, Obstacle, ParallelExecutorFactory};
use revm::{Inspector, inspector::NoOpInspector, interpreter::Interpreter};

use crate::case::*;

/// Counts the instructions that it sees.
#[derive(Debug, Default)]
struct Counter(usize);

impl<C> Inspector<C> for Counter {
    fn step(&mut self, _interpreter: &mut Interpreter, _context: &mut C) {
        self.0 += 1;
    }
}

/// Calls of a contract that writes.
fn case() -> Case {
    let calls = (0..4).map(|nonce| pay(SENDER, nonce, CONTRACT, nonce, Bytes::new()));
    Case::new(Cancun, [(CONTRACT, contract(WRITER))]).with(calls)
}

/// Executes the case on the EVM that `spoil` spoiled, and returns what stood in the way.
fn execute_spoiled(
    spoil: impl FnOnce(&mut EthEvm<CaseState<'_>, NoOpInspector, PrecompilesMap>),
) -> Option<Obstacle> {
    let case = case();
    let factory = case.parallel();
    let mut evm = factory.evm_factory().create_evm(case.state(), case.env());
    spoil(&mut evm);
    let executor = factory.create_executor(evm, case.ctx());
    let obstacle = executor.obstacle();
    assert_eq!(executor.execute_block(&case.transactions).unwrap(), expected(&case));
    obstacle
}

fn expected(case: &Case) -> BlockExecutionResult<ReceiptEnvelope> {
    import(&case.eth(), case, Way::Whole).result.unwrap()
}

#[test]
fn the_environment_of_a_fork_is_no_obstacle() {
    assert_eq!(execute_spoiled(|_| ()), None);
}

#[test]
fn other_precompiles_are_an_obstacle() {
    let obstacle = execute_spoiled(|evm| {
        evm.precompiles_mut().ensure_dynamic_precompiles();
    });
    assert_eq!(obstacle, Some(Obstacle::Precompiles));
}

#[test]
fn another_configuration_is_an_obstacle() {
    let obstacle = execute_spoiled(|evm| evm.ctx_mut().cfg.disable_nonce_check = true);
    assert_eq!(obstacle, Some(Obstacle::Configuration));
}

#[test]
fn an_inspector_is_an_obstacle_and_sees_every_instruction() {
    let case = case();
    let factory = case.parallel();
    let mut counter = Counter::default();
    let evm = factory.evm_factory().create_evm_with_inspector(case.state(), case.env(), &mut counter);
    let executor = factory.create_executor(evm, case.ctx());
    assert_eq!(executor.obstacle(), Some(Obstacle::Inspector));
    assert_eq!(executor.execute_block(&case.transactions).unwrap(), expected(&case));
    // Six instructions in each of the four calls, and the STOP.
    assert_eq!(counter.0, 4 * 7);
}

#[test]
fn a_block_that_was_begun_one_by_one_is_not_executed_in_parallel() {
    let case = case();
    let factory = case.parallel();
    let evm = factory.evm_factory().create_evm(case.state(), case.env());
    let mut executor = factory.create_executor(evm, case.ctx());
    executor.apply_pre_execution_changes().unwrap();
    executor.execute_transaction(&case.transactions[0]).unwrap();
    assert_eq!(executor.obstacle(), Some(Obstacle::HalfDone));
}

#[test]
fn an_engine_with_one_thread_executes_one_by_one() {
    let case = case();
    let factory = ParallelExecutorFactory::new(case.eth(), Engine::new(Config::sequential()));
    let evm = factory.evm_factory().create_evm(case.state(), case.env());
    let executor = factory.create_executor(evm, case.ctx());
    assert_eq!(executor.obstacle(), Some(Obstacle::OneThread));
    assert_eq!(executor.execute_block(&case.transactions).unwrap(), expected(&case));
}
