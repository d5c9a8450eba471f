//! Obstacles to parallel execution: each leads to sequential execution with the same result.

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

use super::case::*;

/// Counts the executed instructions.
#[derive(Debug, Default)]
struct Counter(usize);

impl<C> Inspector<C> for Counter {
    fn step(&mut self, _interpreter: &mut Interpreter, _context: &mut C) {
        self.0 += 1;
    }
}

/// Four calls of a contract that writes.
fn case() -> Case {
    let calls = (0..4).map(|nonce| pay(SENDER, nonce, CONTRACT, nonce, Bytes::new()));
    Case::new(Cancun, [(CONTRACT, contract(WRITER))]).with(calls)
}

/// Executes the case on an EVM that `modify` changed, and returns the obstacle.
fn execute_modified(
    modify: impl FnOnce(&mut EthEvm<CaseState<'_>, NoOpInspector, PrecompilesMap>),
) -> Option<Obstacle> {
    let case = case();
    let factory = case.parallel();
    let mut evm = factory.evm_factory().create_evm(case.state(), case.env());
    modify(&mut evm);
    let executor = factory.create_executor(evm, case.ctx());
    let obstacle = executor.obstacle();
    assert_eq!(executor.execute_block(&case.transactions).unwrap(), expected(&case));
    obstacle
}

fn expected(case: &Case) -> BlockExecutionResult<ReceiptEnvelope> {
    import(&case.eth(), case, Granularity::Block).result.unwrap()
}

#[test]
fn the_plain_environment_of_a_fork_is_no_obstacle() {
    assert_eq!(execute_modified(|_| ()), None);
}

#[test]
fn dynamic_precompiles_are_an_obstacle() {
    let obstacle = execute_modified(|evm| {
        evm.precompiles_mut().ensure_dynamic_precompiles();
    });
    assert_eq!(obstacle, Some(Obstacle::Precompiles));
}

#[test]
fn a_modified_configuration_is_an_obstacle() {
    let obstacle = execute_modified(|evm| evm.ctx_mut().cfg.disable_nonce_check = true);
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
    // Six instructions and the STOP in each of the four calls.
    assert_eq!(counter.0, 4 * 7);
}

#[test]
fn a_block_with_an_already_executed_transaction_is_not_executed_in_parallel() {
    let case = case();
    let factory = case.parallel();
    let evm = factory.evm_factory().create_evm(case.state(), case.env());
    let mut executor = factory.create_executor(evm, case.ctx());
    executor.apply_pre_execution_changes().unwrap();
    executor.execute_transaction(&case.transactions[0]).unwrap();
    assert_eq!(executor.obstacle(), Some(Obstacle::HalfDone));
}

#[test]
fn an_engine_with_one_thread_executes_sequentially() {
    let case = case();
    let factory = ParallelExecutorFactory::new(case.eth(), Engine::new(Config::sequential()));
    let evm = factory.evm_factory().create_evm(case.state(), case.env());
    let executor = factory.create_executor(evm, case.ctx());
    assert_eq!(executor.obstacle(), Some(Obstacle::OneThread));
    assert_eq!(executor.execute_block(&case.transactions).unwrap(), expected(&case));
}
