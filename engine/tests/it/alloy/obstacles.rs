//! Obstacles to parallel execution: each leads to sequential execution with the same result.

use std::cell::RefCell;

use alloy_consensus::{ReceiptEnvelope, transaction::Recovered};
use alloy_evm::{
    EthEvm, Evm, EvmFactory,
    block::{BlockExecutionResult, BlockExecutor, BlockExecutorFactory},
    eth::receipt_builder::AlloyReceiptBuilder,
    precompiles::{DynPrecompile, Precompile, PrecompilesMap},
};
use alloy_hardforks::EthereumHardfork::*;
use alloy_primitives::{Address, Bytes, map::HashMap};
use blockloom_engine::{ClientPrecompiles, Config, Engine, Obstacle, ParallelExecutorFactory, Rules};
use revm::{Inspector, inspector::NoOpInspector, interpreter::Interpreter, precompile::PrecompileResult};

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

/// Blocks whose transactions call precompiles, on a factory for a client that wraps them.
fn execute_wrapped(
    modify: impl FnOnce(&mut EthEvm<CaseState<'_>, NoOpInspector, PrecompilesMap>),
) -> ParallelExecutorFactory<AlloyReceiptBuilder, Rules> {
    let sha256 = Address::with_last_byte(2);
    let calls = (0..4).map(|nonce| pay(SENDER, nonce, sha256, 0, Bytes::from(vec![7; nonce as usize])));
    let case = case().with(calls.map(|call| Recovered::new_unchecked(call.into_inner(), OTHER)));
    let factory = case.parallel().with_precompiles(ClientPrecompiles::Wrapped);
    let mut evm = factory.evm_factory().create_evm(case.state(), case.env());
    modify(&mut evm);
    let executor = factory.create_executor(evm, case.ctx());
    assert_eq!(executor.execute_block(&case.transactions).unwrap(), expected(&case));
    factory
}

#[test]
fn precompiles_in_a_cache_are_no_obstacle_for_a_client_that_wraps_them() {
    let factory = execute_wrapped(|evm| {
        evm.precompiles_mut().map_cacheable_precompiles(|_, precompile| {
            let id = precompile.precompile_id().clone();
            let cache = RefCell::new(HashMap::<Bytes, PrecompileResult>::default());
            DynPrecompile::new(id, move |input| {
                let data = Bytes::copy_from_slice(input.data);
                cache.borrow_mut().entry(data).or_insert_with(|| precompile.call(input)).clone()
            })
        });
    });
    assert_eq!(factory.counts().parallel(), 1);
}

#[test]
fn a_precompile_that_is_not_the_forks_is_an_obstacle_for_a_client_that_wraps_them() {
    let factory = execute_wrapped(|evm| {
        evm.precompiles_mut().map_precompile(&Address::with_last_byte(2), DynPrecompile::stateful);
    });
    assert_eq!(factory.counts().sequential(Obstacle::Precompiles), 1);
}

#[test]
fn a_lookup_of_precompiles_is_an_obstacle() {
    let factory = execute_wrapped(|evm| evm.precompiles_mut().set_precompile_lookup(|_: &Address| None));
    assert_eq!(factory.counts().sequential(Obstacle::Precompiles), 1);
    assert_eq!(factory.counts().parallel(), 0);
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

#[test]
fn a_block_for_which_helpers_do_not_pay_is_executed_on_the_calling_thread() {
    let case = case();
    let factory = ParallelExecutorFactory::new(case.eth(), Engine::new(Config::with_threads(2)));
    let evm = factory.evm_factory().create_evm(case.state(), case.env());
    let executor = factory.create_executor(evm, case.ctx());
    assert_eq!(executor.execute_block(&case.transactions).unwrap(), expected(&case));
    assert_eq!((factory.counts().sequential(Obstacle::Small), factory.counts().parallel()), (1, 0));
}
