//! The reference: a block's transactions, one after the other.

use std::ops::ControlFlow;

use alloy_consensus::Eip658Value;
use blockloom_state::{Base, Changes, Overlay, TxIndex};

use crate::{
    Block, BlockError, Outcome, Receipt, Transaction,
    error::{Invalid, Place, Reason, TransactionError},
    evm::{Failure, Machine},
    rules::{admission::Budgets, closing::close, opening::open},
};

/// How many accounts a transaction of a mainnet block adds to those that the block has read, with
/// some to spare, and how many there are beside: room that is made once instead of by growing.
const ACCOUNTS_PER_TRANSACTION: usize = 3;
const ACCOUNTS_AROUND: usize = 32;

/// One committed step of a block: what happens before the transactions, a transaction, or what
/// happens after them.
#[derive(Debug)]
pub struct Step<'a> {
    /// Which step.
    pub place: Place,
    /// The receipt, if the step is a transaction.
    pub receipt: Option<&'a Receipt>,
    /// What the step did to the state that the steps before it left.
    pub changes: Changes,
}

/// Who is told of each step of a block, in order, once it is committed.
pub(crate) enum Observer<'o> {
    /// Nobody; then the steps' changes are not written down one by one.
    Nobody,
    /// A callback.
    Callback(&'o mut dyn FnMut(Step<'_>) -> ControlFlow<()>),
}

/// Executes a block on `base`, one transaction after the other.
pub(crate) fn execute<B: Base>(
    base: &B,
    block: &Block,
    mut observer: Observer<'_>,
) -> Result<Outcome, BlockError> {
    run(base, block, &mut observer).map_err(|reason| reason.of(block.number()))
}

fn run<B: Base>(base: &B, block: &Block, observer: &mut Observer<'_>) -> Result<Outcome, Reason> {
    let overlay =
        Overlay::with_room_for(base, ACCOUNTS_AROUND + ACCOUNTS_PER_TRANSACTION * block.transactions.len());
    let overlay = match observer {
        Observer::Nobody => overlay,
        Observer::Callback(_) => overlay.recording(),
    };
    let mut machine = Machine::new(block, overlay);
    let mut budgets = Budgets::new(block);
    let mut receipts = Vec::with_capacity(block.transactions.len());

    open(&mut machine, block)?;
    observer.tell(&mut machine, Place::Opening, None)?;
    for (position, transaction) in block.transactions.iter().enumerate() {
        let index = TxIndex::new(position);
        let receipt = step(&mut machine, &mut budgets, transaction)
            .map_err(|failure| explain(failure, index, transaction))?;
        receipts.push(receipt);
        observer.tell(&mut machine, Place::Transaction(index, transaction.hash), receipts.last())?;
    }
    let requests = close(&mut machine, block, &receipts)?;
    observer.tell(&mut machine, Place::Closing, None)?;

    Ok(Outcome {
        receipts,
        gas_used: budgets.gas_used(),
        blob_gas_used: budgets.blob_gas_used(),
        requests,
        changes: machine.into_changes(),
    })
}

/// Admits a transaction, runs it and commits it.
fn step<'a, B: Base>(
    machine: &mut Machine<'a, &B>,
    budgets: &mut Budgets,
    transaction: &'a Transaction,
) -> Result<Receipt, StepError<B::Error>> {
    let tx_type = transaction.tx_type().map_err(StepError::Refused)?;
    budgets.admit(&transaction.env).map_err(StepError::Refused)?;
    let result = machine.run(&transaction.env).map_err(StepError::Failed)?;
    machine.commit();
    budgets.spend(&transaction.env, result.gas());
    Ok(Receipt {
        tx_type,
        status: Eip658Value::Eip658(result.is_success()),
        cumulative_gas_used: budgets.paid(),
        logs: result.into_logs(),
    })
}

enum StepError<E> {
    Refused(TransactionError),
    Failed(Failure<E>),
}

fn explain<E>(error: StepError<E>, index: TxIndex, transaction: &Transaction) -> Reason
where
    E: std::error::Error + Send + Sync + 'static,
{
    let hash = transaction.hash;
    let place = Place::Transaction(index, hash);
    let refused = |reason| Invalid::Transaction { index, hash, reason }.into();
    match error {
        StepError::Refused(reason) => refused(reason),
        StepError::Failed(Failure::Refused(reason)) => refused(reason.into()),
        StepError::Failed(Failure::Environment(lack)) => Invalid::Environment(lack).into(),
        StepError::Failed(Failure::Base(error)) => Reason::Base { place, source: std::sync::Arc::new(error) },
        StepError::Failed(Failure::Abandoned(message)) => Reason::Abandoned { place, message },
    }
}

impl Observer<'_> {
    /// Tells of a step that was committed.
    fn tell<B: Base>(
        &mut self,
        machine: &mut Machine<'_, B>,
        place: Place,
        receipt: Option<&Receipt>,
    ) -> Result<(), Reason> {
        let Self::Callback(callback) = self else { return Ok(()) };
        match callback(Step { place, receipt, changes: machine.overlay().take_recorded() }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Reason::Cancelled { place }),
        }
    }
}
