//! Running a block on an engine, with the executor's database as the base.

use std::{io, ops::ControlFlow};

use blockloom_state::{Base, Changes};
use revm::{Database, context_interface::result::ResultGas};

use crate::{
    alloy_evm::{
        db_actor::{DbActorHandle, lend},
        db_mutex::LockedDb,
        prefetch::PrefetchedReads,
    },
    block::{
        block::Block,
        error::BlockError,
        outcome::{Outcome, Receipt},
    },
    engine::Engine,
};

/// What a transaction returned and did.
pub(super) struct Done {
    pub(super) receipt: Receipt,
    pub(super) gas: ResultGas,
    pub(super) changes: Changes,
}

/// How far an engine came with a block's transactions.
pub(super) struct Run {
    /// One for each transaction that became final.
    pub(super) steps: Vec<Done>,
    pub(super) end: Result<Outcome, BlockError>,
}

/// A way to run a block on what a database holds, which it does not change. It fails where there is
/// no thread to be had.
pub(super) type Runner<DB> = fn(&mut DB, &Engine, &Block) -> io::Result<Run>;

/// The engine runs on threads of its own, and this one answers for the database.
pub(super) fn run_lent<DB: Database>(database: &mut DB, engine: &Engine, block: &Block) -> io::Result<Run> {
    let known = PrefetchedReads::read(database, block);
    lend(database, known, |base: &DbActorHandle<DB::Error>| run(engine, base, block))
}

/// The engine runs on this thread and others, and all of them take turns at the database.
pub(super) fn run_locked<DB: Database + Send>(
    database: &mut DB,
    engine: &Engine,
    block: &Block,
) -> io::Result<Run> {
    Ok(run(engine, &LockedDb::new(database), block))
}

fn run<B: Base>(engine: &Engine, base: &B, block: &Block) -> Run {
    let mut steps = Vec::with_capacity(block.transactions.len());
    let end = engine.execute_with(base, block, |step| {
        if let Some(receipt) = step.receipt {
            steps.push(Done { receipt: receipt.clone(), gas: step.gas, changes: step.changes });
        }
        ControlFlow::Continue(())
    });
    Run { steps, end }
}
