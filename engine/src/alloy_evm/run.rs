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
        prefetch::PrefetchedReads,
    },
    block::{
        block::Block,
        error::{BlockError, BlockStep},
        outcome::Outcome,
        transaction_result::{TransactionEnd, TransactionResult},
    },
    commit::committer::CommittedStep,
    engine::Engine,
};

/// A committed transaction.
#[derive(Debug)]
pub(super) struct ExecutedTransaction {
    pub(super) result: ExecutionResult,
    pub(super) changes: Changes,
}

/// What an executor's block came to on a base: see [`ParallelExecutor::read_from`](crate::ParallelExecutor::read_from).
#[derive(Debug)]
pub struct ExecutedBlock {
    /// The committed transactions, in order. An error ends them early.
    pub(super) transactions: Vec<ExecutedTransaction>,
    pub(super) end: Result<Outcome, BlockError>,
}

/// A block of an executor, to be executed on a base: see
/// [`ParallelExecutor::read_from`](crate::ParallelExecutor::read_from).
#[derive(Debug)]
pub struct BlockRun<'r> {
    pub(super) engine: &'r Engine,
    pub(super) block: &'r Block,
}

impl BlockRun<'_> {
    /// Executes the block on `base`, which must have the state of the executor's database. Each thread reads the base
    /// itself.
    pub fn on<B: Base + ?Sized>(self, base: &B) -> ExecutedBlock {
        run(self.engine, base, self.block)
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
}

impl<DB> Runner<'_, DB> {
    /// Executes the block; `None` if the client has no base for it.
    ///
    /// # Errors
    ///
    /// If the system has no thread for it.
    pub(super) fn run(
        &mut self,
        database: &mut DB,
        engine: &Engine,
        block: &Block,
    ) -> io::Result<Option<ExecutedBlock>> {
        match self {
            Self::Database(run) => run(database, engine, block).map(Some),
            Self::Base(run) => Ok(run(database, BlockRun { engine, block })),
        }
    }
}

/// A function that executes a block on a database without changing it. It fails if the system has no
/// thread for it.
pub(super) type DbRunner<DB> = fn(&mut DB, &Engine, &Block) -> io::Result<ExecutedBlock>;

/// Executes on other threads, while this thread answers their database requests.
pub(super) fn run_on_db_actor<DB: Database>(
    database: &mut DB,
    engine: &Engine,
    block: &Block,
) -> io::Result<ExecutedBlock> {
    let prefetched = PrefetchedReads::of_block(database, block);
    with_db_actor(database, prefetched, |base: &DbActorHandle<DB::Error>| run(engine, base, block))
}

/// Executes on this thread and others, which read the database under a lock.
pub(super) fn run_on_locked_db<DB: Database + Send>(
    database: &mut DB,
    engine: &Engine,
    block: &Block,
) -> io::Result<ExecutedBlock> {
    Ok(run(engine, &LockedDb::new(database), block))
}

fn run<B: Base + ?Sized>(engine: &Engine, base: &B, block: &Block) -> ExecutedBlock {
    let mut transactions = Vec::with_capacity(block.transactions.len());
    let end = engine.execute_with(base, block, |CommittedStep { step, receipt, result, gas, changes }| {
        if let (BlockStep::Transaction(index, _), Some(receipt), Some(result)) = (step, receipt, result) {
            let kind = block.transactions[index.get()].env.kind;
            let result = as_of_alloy(result).join(kind, gas, receipt.logs.clone());
            transactions.push(ExecutedTransaction { result, changes });
        }
        ControlFlow::Continue(())
    });
    ExecutedBlock { transactions, end }
}

/// The result as alloy-evm's precompiles leave it: a precompile that fails does not say why.
fn as_of_alloy(mut result: TransactionResult) -> TransactionResult {
    if let TransactionEnd::Halt(HaltReason::PrecompileErrorWithContext(_)) = result.end {
        result.end = TransactionEnd::Halt(HaltReason::PrecompileError);
    }
    result
}
