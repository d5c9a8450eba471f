//! Executes a block on an engine, with the executor's database as the base.

use std::{io, ops::ControlFlow};

use blockloom_state::{Base, Changes};
use revm::{
    Database,
    context_interface::result::{ExecutionResult, HaltReason},
};

use crate::{
    alloy_evm::{
        db_actor::{DbActorHandle, with_db_actor},
        db_mutex::LockedDb,
        obstacle::Obstacle,
        prefetch::PrefetchedReads,
    },
    block::{
        block::Block,
        error::{BlockError, BlockStep},
        outcome::Outcome,
        transaction_result::{TransactionEnd, TransactionResult},
    },
    commit::observer::CommittedStep,
    engine::Engine,
};

/// A committed transaction.
#[derive(Debug)]
pub(super) struct ExecutedTransaction {
    pub(super) result: ExecutionResult,
    pub(super) changes: Changes,
}

/// What the engine executed of a block.
#[derive(Debug)]
pub(super) struct Executed {
    /// The committed transactions, in order. An error ends them early.
    pub(super) transactions: Vec<ExecutedTransaction>,
    pub(super) end: Result<Outcome, BlockError>,
}

/// What an executor's block came to on a base: see
/// [`ParallelExecutor::read_from`](crate::ParallelExecutor::read_from).
#[derive(Debug)]
pub struct ExecutedBlock(Result<Executed, Obstacle>);

/// A block of an executor, to be executed on a base: see
/// [`ParallelExecutor::read_from`](crate::ParallelExecutor::read_from).
#[derive(Debug)]
pub struct BlockRun<'r> {
    engine: &'r Engine,
    block: &'r Block,
}

impl BlockRun<'_> {
    /// Executes the block on `base`, which must have the state of the executor's database. Each thread reads
    /// the base itself. The engine does nothing if the block is too small for helpers to pay; it may measure
    /// with a few reads whether the base is slow, as [`BaseLatency`](crate::BaseLatency) says.
    pub fn on<B: Base + ?Sized>(self, base: &B) -> ExecutedBlock {
        let Self { engine, block } = self;
        let executed = collect(block, |on_commit| engine.execute_with_helpers(base, block, on_commit));
        ExecutedBlock(executed.ok_or(Obstacle::Small))
    }
}

/// A client's function that executes a block on a base; `None` if it has none.
type RunOnBase<'a, DB> = dyn FnMut(&mut DB, BlockRun<'_>) -> Option<ExecutedBlock> + 'a;

/// How a block is executed on a database without changing it.
pub(super) enum Runner<'a, DB> {
    /// On the database itself, by one thread at a time.
    Database(DbRunner<DB>),
    /// On a base that the client makes out of the database.
    Base(Box<RunOnBase<'a, DB>>),
    /// Not at all.
    None,
}

impl<DB> Runner<'_, DB> {
    /// Executes the block.
    ///
    /// # Errors
    ///
    /// If there is an obstacle. Then nothing was executed.
    pub(super) fn run(
        &mut self,
        database: &mut DB,
        engine: &Engine,
        block: &Block,
    ) -> Result<Executed, Obstacle> {
        match self {
            Self::Database(run) => run(database, engine, block).map_err(|_| Obstacle::NoThread),
            Self::Base(run) => match run(database, BlockRun { engine, block }) {
                Some(ExecutedBlock(executed)) => executed,
                None => Err(Obstacle::Database),
            },
            Self::None => Err(Obstacle::Database),
        }
    }
}

/// A function that executes a block on a database without changing it. It fails if the system has no
/// thread for it.
pub(super) type DbRunner<DB> = fn(&mut DB, &Engine, &Block) -> io::Result<Executed>;

/// Executes on other threads, while this thread answers their database requests.
pub(super) fn run_on_db_actor<DB: Database>(
    database: &mut DB,
    engine: &Engine,
    block: &Block,
) -> io::Result<Executed> {
    let prefetched = PrefetchedReads::of_block(database, block);
    with_db_actor(database, prefetched, |base: &DbActorHandle<DB::Error>| run(engine, base, block))
}

/// Executes on this thread and others, which read the database under a lock.
pub(super) fn run_on_locked_db<DB: Database + Send>(
    database: &mut DB,
    engine: &Engine,
    block: &Block,
) -> io::Result<Executed> {
    Ok(run(engine, &LockedDb::new(database), block))
}

fn run<B: Base + ?Sized>(engine: &Engine, base: &B, block: &Block) -> Executed {
    let executed = collect(block, |on_commit| Some(engine.execute_with(base, block, on_commit)));
    executed.expect("the engine executes every block that it gets")
}

/// A callback of the engine.
type OnCommit<'c> = &'c mut dyn FnMut(CommittedStep<'_>) -> ControlFlow<()>;

/// Collects the transactions that `execute` commits; `None` if it executes nothing.
fn collect(
    block: &Block,
    execute: impl FnOnce(OnCommit<'_>) -> Option<Result<Outcome, BlockError>>,
) -> Option<Executed> {
    let mut transactions = Vec::with_capacity(block.transactions.len());
    let end = execute(&mut |CommittedStep { step, receipt, result, gas, changes }| {
        if let (BlockStep::Transaction(index, _), Some(receipt), Some(result)) = (step, receipt, result) {
            let kind = block.transactions[index.get()].env.kind;
            let result = as_of_alloy(result).join(kind, gas, receipt.logs.clone());
            transactions.push(ExecutedTransaction { result, changes });
        }
        ControlFlow::Continue(())
    })?;
    let is_complete = transactions.len() == block.transactions.len();
    assert!(end.is_err() || is_complete, "a valid block has all of its transactions executed");
    Some(Executed { transactions, end })
}

/// The result as alloy-evm's precompiles leave it: a precompile that fails does not say why.
fn as_of_alloy(mut result: TransactionResult) -> TransactionResult {
    if let TransactionEnd::Halt(HaltReason::PrecompileErrorWithContext(_)) = result.end {
        result.end = TransactionEnd::Halt(HaltReason::PrecompileError);
    }
    result
}
