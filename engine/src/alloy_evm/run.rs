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

/// The result of an execution, which may have ended early.
pub(super) struct ExecutedBlock {
    /// The committed transactions, in order.
    pub(super) transactions: Vec<ExecutedTransaction>,
    pub(super) end: Result<Outcome, BlockError>,
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

fn run<B: Base>(engine: &Engine, base: &B, block: &Block) -> ExecutedBlock {
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
