//! The course of a block on the committed state: what happens before the transactions, each
//! transaction in order, what happens after them.
//!
//! Owns the committed state, the gas budgets, the receipts, and whoever is told of each step.
//! Knows nothing of how its caller comes by a transaction's effects: by running it here, or out of
//! a record that was judged here.

use std::ops::ControlFlow;

use alloy_consensus::Eip658Value;
use alloy_eips::eip7928::BlockAccessIndex;
use blockloom_state::{Base, Changes, Keeping, Memory, Overlay, Record, Share, Conflict, TxIndex};
use revm::context_interface::result::{ExecutionResult, ResultGas};

use crate::{
    block::{
        block::{Block, GivenList, Transaction},
        config::Lists,
        error::{Invalid, BlockStep, Reason, TransactionError},
        outcome::{Outcome, Receipt},
        rules::AccessLists,
        statistics::Statistics,
    },
    evm::{CommittedMachine, handling::Handling, machine::MachineFailure},
    parallel::traits::Committer,
    rules::{
        admission::Budgets,
        closing::close,
        list::{Claimed, check_claim},
        opening::open,
    },
};

/// How many accounts a transaction of a mainnet block adds to those that the block has read, with
/// some to spare, and how many there are beside: room that is made once instead of by growing.
const ACCOUNTS_PER_TRANSACTION: usize = 3;
const ACCOUNTS_AROUND: usize = 32;

/// One committed step of a block: what happens before the transactions, a transaction, or what
/// happens after them.
#[derive(Debug)]
pub struct CommittedStep<'a> {
    /// Which step.
    pub place: BlockStep,
    /// The receipt, if the step is a transaction.
    pub receipt: Option<&'a Receipt>,
    /// The gas that the step used, and how it divides; nothing unless it is a transaction.
    pub gas: ResultGas,
    /// What the step did to the state that the steps before it left.
    pub changes: Changes,
}

/// Who is told of each step of a block, in order, once it is committed.
pub(crate) enum Observer<'o> {
    /// Nobody; then the steps' changes are not written down one by one.
    Nobody,
    /// A callback.
    Callback(&'o mut dyn FnMut(CommittedStep<'_>) -> ControlFlow<()>),
}

/// A block on its way.
pub(crate) struct BlockCommitter<'a, 'o, B: Base, H> {
    block: &'a Block,
    machine: CommittedMachine<'a, B, H>,
    budgets: Budgets,
    receipts: Vec<Receipt>,
    observer: Observer<'o>,
    /// What the list that came with the block has to be justified by, if the block must be as it says.
    claimed: Option<Claimed>,
    /// What is being executed, or told.
    place: &'a std::cell::Cell<BlockStep>,
}

impl<'a, 'o, B: Base, H: Handling> BlockCommitter<'a, 'o, B, H> {
    /// The course of `block` on `base`; `place` says at any time how far it is.
    pub(crate) fn new(
        block: &'a Block,
        base: B,
        handling: H,
        observer: Observer<'o>,
        place: &'a std::cell::Cell<BlockStep>,
    ) -> Self {
        let room = ACCOUNTS_AROUND + ACCOUNTS_PER_TRANSACTION * block.transactions.len();
        let overlay = Overlay::with_capacity(base, room);
        let overlay = match observer {
            Observer::Nobody => overlay,
            Observer::Callback(_) => overlay.with_step_changes(),
        };
        Self {
            block,
            machine: CommittedMachine::new(block, overlay, handling),
            budgets: Budgets::new(block),
            receipts: Vec::with_capacity(block.transactions.len()),
            observer,
            claimed: match &block.list {
                GivenList::Claim(claim) => Some(Claimed::new(claim)),
                GivenList::Hint(_) | GivenList::Nothing => None,
            },
            place,
        }
    }

    /// The same course, which also yields the block's access list where `lists` says so, or where
    /// another one is to be compared with it.
    pub(crate) fn listing(mut self, lists: Lists) -> Self {
        let is_committed = self.block.rules.access_lists == AccessLists::Committed;
        if lists == Lists::Always || is_committed || self.claimed.is_some() {
            self.machine.overlay().build_access_list();
        }
        self
    }

    /// What happens before the transactions.
    pub(crate) fn open(&mut self) -> Result<(), Reason> {
        open(&mut self.machine, self.block)?;
        self.tell(BlockStep::Opening, ResultGas::default())
    }

    /// Admits a transaction, runs it on what is committed, and commits it.
    pub(crate) fn run(&mut self, index: TxIndex) -> Result<(), Reason> {
        let transaction = self.enter(index)?;
        let result = self
            .admit(transaction)
            .and_then(|()| self.machine.run(&transaction.env).map_err(StepError::Failed));
        let result = result.map_err(|error| explain(error, index, transaction))?;
        self.machine.commit();
        self.settle(index, transaction, result)
    }

    /// Admits a transaction and commits what a run of it recorded. The record was judged last.
    fn take_over(&mut self, index: TxIndex, record: &Record, result: ExecutionResult) -> Result<(), Reason> {
        let transaction = self.enter(index)?;
        self.admit(transaction).map_err(|error: StepError<B::Error>| explain(error, index, transaction))?;
        self.machine.overlay().commit_record(record);
        self.settle(index, transaction, result)
    }

    fn enter(&mut self, index: TxIndex) -> Result<&'a Transaction, Reason> {
        let transaction = &self.block.transactions[index.get()];
        let overlay = self.machine.overlay();
        if let Some(claimed) = self.claimed {
            let checked = claimed.check_gas(index, overlay.accessed_slots(), self.budgets.left());
            checked.map_err(Invalid::from)?;
        }
        overlay.set_access_index(BlockAccessIndex::from_tx_index(index.get() as u64));
        self.place.set(BlockStep::Transaction(index, transaction.hash));
        Ok(transaction)
    }

    fn admit(&mut self, transaction: &Transaction) -> Result<(), StepError<B::Error>> {
        transaction.tx_type().map_err(StepError::Refused)?;
        self.budgets.admit(&transaction.env).map_err(StepError::Refused)
    }

    /// What only makes sense once everything before the transaction is final: its receipt.
    fn settle(
        &mut self,
        index: TxIndex,
        transaction: &Transaction,
        result: ExecutionResult,
    ) -> Result<(), Reason> {
        let gas = *result.gas();
        self.budgets.spend(&transaction.env, &gas);
        self.receipts.push(Receipt {
            tx_type: transaction.tx_type().expect("the type was looked at when it was admitted"),
            status: Eip658Value::Eip658(result.is_success()),
            cumulative_gas_used: self.budgets.paid(),
            logs: result.into_logs(),
        });
        self.tell(BlockStep::Transaction(index, transaction.hash), gas)
    }

    /// What happens after the transactions, and what came of it all.
    pub(crate) fn close(mut self) -> Result<Outcome, Reason> {
        self.place.set(BlockStep::Closing);
        let after_all = BlockAccessIndex::from_tx_index(self.block.transactions.len() as u64);
        self.machine.overlay().set_access_index(after_all);
        let requests = close(&mut self.machine, self.block, &self.receipts)?;
        let access_list = self.machine.overlay().take_access_list();
        if let (GivenList::Claim(claim), Some(actual)) = (&self.block.list, &access_list) {
            check_claim(claim, actual).map_err(Invalid::from)?;
        }
        self.tell(BlockStep::Closing, ResultGas::default())?;
        Ok(Outcome {
            receipts: self.receipts,
            gas_used: self.budgets.gas_used(),
            blob_gas_used: self.budgets.blob_gas_used(),
            requests,
            access_list,
            changes: self.machine.into_changes(),
            statistics: Statistics::default(),
        })
    }

    /// Tells of a step that was committed.
    fn tell(&mut self, place: BlockStep, gas: ResultGas) -> Result<(), Reason> {
        let Observer::Callback(callback) = &mut self.observer else { return Ok(()) };
        let receipt = match place {
            BlockStep::Transaction(..) => self.receipts.last(),
            BlockStep::Opening | BlockStep::Closing => None,
        };
        match callback(CommittedStep { place, receipt, gas, changes: self.machine.overlay().take_step_changes() }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Reason::Cancelled { place }),
        }
    }
}

impl<B: Base, H: Handling> Committer for BlockCommitter<'_, '_, B, H> {
    type Yield = ExecutionResult;
    type Error = Reason;

    fn run(&mut self, index: TxIndex) -> Result<(), Reason> {
        BlockCommitter::run(self, index)
    }

    fn keep(&mut self, keeping: Keeping) {
        self.machine.overlay().keep(keeping);
    }

    fn adopt(&mut self, record: &Record) {
        self.machine.overlay().trace_record(record);
    }

    fn take_effects(&mut self, memory: &Memory, share: Share, effects: &mut Record) {
        let introduce = |address, info| memory.introduce(address, info, None);
        self.machine.overlay().take_trace(effects, share, introduce);
    }

    fn fetch(&mut self, record: &Record) {
        self.machine.overlay().fetch(record);
    }

    fn judge(&mut self, record: &Record) -> Option<Conflict> {
        // What fails here may not be asked for at all when the transaction is run.
        self.machine.overlay().validate(record).unwrap_or(Some(Conflict::Unreadable))
    }

    fn commit(&mut self, index: TxIndex, record: &Record, yielded: ExecutionResult) -> Result<(), Reason> {
        self.take_over(index, record, yielded)
    }
}

enum StepError<E> {
    Refused(TransactionError),
    Failed(MachineFailure<E>),
}

fn explain<E>(error: StepError<E>, index: TxIndex, transaction: &Transaction) -> Reason
where
    E: std::error::Error + Send + Sync + 'static,
{
    let hash = transaction.hash;
    let place = BlockStep::Transaction(index, hash);
    let refused = |reason| Invalid::Transaction { index, hash, reason }.into();
    match error {
        StepError::Refused(reason) => refused(reason),
        StepError::Failed(MachineFailure::Refused(reason)) => refused(reason.into()),
        StepError::Failed(MachineFailure::Environment(lack)) => Invalid::Environment(lack).into(),
        StepError::Failed(MachineFailure::Base(error)) => Reason::Base { place, source: std::sync::Arc::new(error) },
        StepError::Failed(MachineFailure::Abandoned(message)) => Reason::Abandoned { place, message },
    }
}
