//! The committer of consecutive blocks: executes and commits their steps in order on the committed state.
//!
//! Owns the committed state, the gas budgets, the receipts, and the observer of the steps. The caller
//! decides for each transaction whether it runs here, or whether the validated record of a speculative
//! run is committed.

use std::{
    cell::Cell,
    mem,
    ops::{ControlFlow, Range},
};

use alloy_consensus::Eip658Value;
use alloy_eips::eip7928::BlockAccessIndex;
use blockloom_state::{
    Base, CachedBase, Changes, Conflict, Memory, Overlay, Portion, Publication, Record, TxIndex,
};
use revm::context_interface::result::{ExecutionResult, ResultGas};

use crate::{
    block::{
        block::{Block, GivenList, Transaction},
        cancel::CancelHandle,
        config::Lists,
        error::{BlockStep, Invalid, Reason, TransactionError},
        outcome::{Outcome, Receipt},
        rules::AccessLists,
        statistics::Statistics,
        steps::Steps,
        transaction_result::TransactionResult,
    },
    commit::observer::{CommittedStep, Observer, Progress},
    evm::{CommittedMachine, handling::Handling, machine::MachineFailure, watch::Watch},
    parallel::traits::Committer,
    policy::tuning::ACCOUNTS_PER_TRANSACTION,
    rules::{
        admission::Budgets,
        closing::close,
        list::{ClaimedReads, check_claim},
        opening::open,
    },
};

/// Consecutive blocks, their committed state, and the results so far.
pub(crate) struct BlockCommitter<'a, 'o, B: Base, H, W: Watch<'a, Overlay<B>> = ()> {
    steps: &'a Steps<'a>,
    /// The block that is executed.
    block: &'a Block,
    /// The indices of its transactions.
    indices: Range<usize>,
    lists: Lists,
    machine: CommittedMachine<'a, B, H, W>,
    budgets: Budgets,
    receipts: Vec<Receipt>,
    observer: Observer<'o, W>,
    /// The check of the block's claimed access list, if it has one.
    claimed_reads: Option<ClaimedReads>,
    progress: &'o Cell<Progress>,
    cancel: Option<&'o CancelHandle>,
}

impl<'a, 'o, B: Base, H: Handling> BlockCommitter<'a, 'o, B, H> {
    /// A committer of blocks on `base`. It keeps the current step in `progress`.
    pub(crate) fn new(
        steps: &'a Steps<'a>,
        base: B,
        handling: H,
        observer: Observer<'o>,
        progress: &'o Cell<Progress>,
    ) -> Self {
        Self::watched((steps, base), handling, observer, progress, ())
    }
}

impl<'a, 'o, B: Base, H: Handling, W: Watch<'a, Overlay<B>>> BlockCommitter<'a, 'o, B, H, W> {
    /// A committer of blocks on a base, whose transactions are watched. It keeps the current step in `progress`.
    pub(crate) fn watched(
        (steps, base): (&'a Steps<'a>, B),
        handling: H,
        observer: Observer<'o, W>,
        progress: &'o Cell<Progress>,
        watch: W,
    ) -> Self {
        let block = &steps.blocks()[0];
        let overlay = Overlay::with_capacity(base, ACCOUNTS_PER_TRANSACTION * steps.len());
        let overlay = match observer {
            Observer::None => overlay,
            Observer::Steps(_) | Observer::Blocks(_) => overlay.with_step_changes(),
        };
        let mut committer = Self {
            steps,
            block,
            indices: steps.range(0),
            lists: Lists::default(),
            machine: CommittedMachine::new(block, overlay, handling, watch),
            budgets: Budgets::new(block),
            receipts: Vec::with_capacity(block.transactions.len()),
            observer,
            claimed_reads: claimed_reads(block),
            progress,
            cancel: None,
        };
        committer.begin_access_list();
        committer
    }

    /// The same committer, which begins no step after `handle` has cancelled.
    pub(crate) fn cancelled_by(self, handle: &'o CancelHandle) -> Self {
        Self { cancel: Some(handle), ..self }
    }

    /// Begins a step, unless the block is cancelled.
    fn enter(&self, step: BlockStep) -> Result<(), Reason> {
        if self.cancel.is_some_and(CancelHandle::is_cancelled) {
            return Err(Reason::Cancelled { step });
        }
        self.progress.set(Progress { step, ..self.progress.get() });
        Ok(())
    }

    /// The same committer, with the access list of each block in its outcome if `lists` says so.
    pub(crate) fn with_access_lists(mut self, lists: Lists) -> Self {
        self.lists = lists;
        self.begin_access_list();
        self
    }

    /// Begins the access list of the block, if the configuration or the rules demand it or the block has a claimed
    /// list.
    fn begin_access_list(&mut self) {
        let is_committed = self.block.rules.access_lists == AccessLists::Committed;
        if self.lists == Lists::Always || is_committed || self.claimed_reads.is_some() {
            self.machine.overlay().build_access_list();
        }
    }

    /// Passes the outcome of the block on.
    fn pass_on(&mut self, mut outcome: Outcome) -> Result<(), Reason> {
        outcome.changes = self.machine.overlay().take_step_changes();
        let Observer::Blocks(callback) = &mut self.observer else { return Ok(()) };
        match callback(outcome) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Reason::Cancelled { step: BlockStep::Closing }),
        }
    }

    /// Closes the block, passes its outcome on, and opens the next one.
    fn cross_border(&mut self) -> Result<(), Reason> {
        let outcome = self.close_block()?;
        self.pass_on(outcome)?;
        let (number, next) = (self.block.number(), self.progress.get().block + 1);
        self.progress.set(Progress { block: next, step: BlockStep::Opening });
        (self.block, self.indices) = (&self.steps.blocks()[next], self.steps.range(next));
        self.machine.enter(self.block);
        self.machine.overlay().set_block_hash(number, self.block.parent_hash);
        (self.budgets, self.claimed_reads) = (Budgets::new(self.block), claimed_reads(self.block));
        self.receipts.reserve(self.block.transactions.len());
        self.begin_access_list();
        self.open()
    }

    /// Executes the steps before the transactions.
    pub(crate) fn open(&mut self) -> Result<(), Reason> {
        self.enter(BlockStep::Opening)?;
        open(&mut self.machine, self.block)?;
        self.notify(BlockStep::Opening, ResultGas::default(), None)
    }

    /// Admits a transaction, runs it on the committed state, and commits it; or crosses the border that has this
    /// index.
    pub(crate) fn run(&mut self, index: TxIndex) -> Result<(), Reason> {
        if index.get() == self.indices.end {
            return self.cross_border();
        }
        let index = self.in_block(index);
        let transaction = self.begin(index)?;
        let result = self
            .admit(transaction)
            .and_then(|()| self.machine.run(&transaction.env).map_err(StepError::Failed));
        let result = result.map_err(|error| reason_of(error, index, transaction))?;
        self.machine.commit();
        self.finish(index, transaction, result)
    }

    /// Admits a transaction, and commits the record of a speculative run. The record was validated last.
    fn commit_run(&mut self, index: TxIndex, record: &Record, result: ExecutionResult) -> Result<(), Reason> {
        let index = self.in_block(index);
        let transaction = self.begin(index)?;
        self.admit(transaction).map_err(|error: StepError<B::Error>| reason_of(error, index, transaction))?;
        self.machine.overlay().commit_record(record);
        self.finish(index, transaction, result)
    }

    /// The position of an index in the block.
    fn in_block(&self, index: TxIndex) -> TxIndex {
        TxIndex::new(index.get() - self.indices.start)
    }

    /// Begins the step of a transaction.
    fn begin(&mut self, index: TxIndex) -> Result<&'a Transaction, Reason> {
        let transaction = &self.block.transactions[index.get()];
        self.enter(BlockStep::Transaction(index, transaction.hash))?;
        let overlay = self.machine.overlay();
        if let Some(reads) = self.claimed_reads {
            let checked = reads.check_gas(index, overlay.accessed_slots(), self.budgets.left());
            checked.map_err(Invalid::from)?;
        }
        overlay.set_access_index(BlockAccessIndex::from_tx_index(index.get() as u64));
        Ok(transaction)
    }

    fn admit(&mut self, transaction: &Transaction) -> Result<(), StepError<B::Error>> {
        transaction.tx_type().map_err(StepError::Refused)?;
        self.budgets.admit(&transaction.env).map_err(StepError::Refused)
    }

    /// Ends the step of a transaction that is committed: adds its gas and its receipt.
    fn finish(
        &mut self,
        index: TxIndex,
        transaction: &Transaction,
        result: ExecutionResult,
    ) -> Result<(), Reason> {
        let is_success = result.is_success();
        let (result, gas, logs) = TransactionResult::split(result);
        self.budgets.spend(&transaction.env, &gas);
        self.receipts.push(Receipt {
            tx_type: transaction.tx_type().expect("`admit` checked the type"),
            status: Eip658Value::Eip658(is_success),
            cumulative_gas_used: self.budgets.paid(),
            logs,
        });
        self.notify(BlockStep::Transaction(index, transaction.hash), gas, Some(result))
    }

    /// Closes the last block, and returns its outcome. If outcomes are passed on, so is this one, and what is returned
    /// has the changes of all blocks and nothing else.
    pub(crate) fn close(mut self) -> Result<Outcome, Reason> {
        let mut outcome = self.close_block()?;
        if let Observer::Blocks(_) = self.observer {
            self.pass_on(mem::take(&mut outcome))?;
        }
        outcome.changes = self.machine.into_changes();
        Ok(outcome)
    }

    /// Executes the steps after the transactions of the block. The outcome lacks its changes.
    fn close_block(&mut self) -> Result<Outcome, Reason> {
        self.enter(BlockStep::Closing)?;
        let last = BlockAccessIndex::from_tx_index(self.block.transactions.len() as u64);
        self.machine.overlay().set_access_index(last);
        let requests = close(&mut self.machine, self.block, &self.receipts)?;
        let access_list = self.machine.overlay().take_access_list();
        if let (GivenList::Claim(claim), Some(actual)) = (&self.block.list, &access_list) {
            check_claim(claim, actual).map_err(Invalid::from)?;
        }
        self.notify(BlockStep::Closing, ResultGas::default(), None)?;
        Ok(Outcome {
            receipts: mem::take(&mut self.receipts),
            gas_used: self.budgets.gas_used(),
            blob_gas_used: self.budgets.blob_gas_used(),
            requests,
            access_list,
            changes: Changes::default(),
            statistics: Statistics::default(),
        })
    }

    /// Passes a committed step to the observer.
    fn notify(
        &mut self,
        step: BlockStep,
        gas: ResultGas,
        result: Option<TransactionResult>,
    ) -> Result<(), Reason> {
        let Observer::Steps(callback) = &mut self.observer else { return Ok(()) };
        let receipt = match step {
            BlockStep::Transaction(..) => self.receipts.last(),
            BlockStep::Opening | BlockStep::Closing => None,
        };
        let changes = self.machine.overlay().take_step_changes();
        let committed = CommittedStep { step, receipt, result, gas, changes };
        match callback(self.machine.watch(), committed) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Reason::Cancelled { step }),
        }
    }
}

impl<'m, B: Base + ?Sized, H: Handling> BlockCommitter<'_, '_, CachedBase<'m, B>, H> {
    /// Reads the base through `memory` from now on, and keeps the effects of everything so far for
    /// [`take_effects`](Committer::take_effects).
    pub(crate) fn join_memory(&mut self, memory: &'m Memory) {
        self.machine.overlay().join_memory(memory);
    }
}

impl<'a, B: Base, H: Handling, W: Watch<'a, Overlay<B>>> Committer for BlockCommitter<'a, '_, B, H, W> {
    type Yield = ExecutionResult;
    type Error = Reason;

    fn run(&mut self, index: TxIndex) -> Result<(), Reason> {
        BlockCommitter::run(self, index)
    }

    fn set_publication(&mut self, publication: Publication) {
        self.machine.overlay().set_publication(publication);
    }

    fn keep_effects(&mut self, record: &Record) {
        self.machine.overlay().keep_effects(record);
    }

    fn take_effects(&mut self, memory: &Memory, portion: Portion, effects: &mut Record) {
        let insert_account = |address, info| memory.insert_account(address, info, None);
        self.machine.overlay().take_effects(effects, portion, insert_account);
    }

    fn prefetch(&mut self, record: &Record) {
        self.machine.overlay().prefetch(record);
    }

    fn validate(&mut self, record: &Record) -> Option<Conflict> {
        // A failed read here is not the block's error: a run of the transaction may not need that read.
        self.machine.overlay().validate(record).unwrap_or(Some(Conflict::Unreadable))
    }

    fn commit(&mut self, index: TxIndex, record: &Record, yielded: ExecutionResult) -> Result<(), Reason> {
        self.commit_run(index, record, yielded)
    }
}

/// The check of a block's claimed access list, if it has one.
fn claimed_reads(block: &Block) -> Option<ClaimedReads> {
    match &block.list {
        GivenList::Claim(claim) => Some(ClaimedReads::new(claim)),
        GivenList::Hint(_) | GivenList::Nothing => None,
    }
}

enum StepError<E> {
    Refused(TransactionError),
    Failed(MachineFailure<E>),
}

fn reason_of<E>(error: StepError<E>, index: TxIndex, transaction: &Transaction) -> Reason
where
    E: std::error::Error + Send + Sync + 'static,
{
    let hash = transaction.hash;
    let step = BlockStep::Transaction(index, hash);
    let refused = |reason| Invalid::Transaction { index, hash, reason }.into();
    match error {
        StepError::Refused(reason) => refused(reason),
        StepError::Failed(MachineFailure::Refused(reason)) => refused(reason.into()),
        StepError::Failed(MachineFailure::Environment(missing)) => Invalid::Environment(missing).into(),
        StepError::Failed(MachineFailure::Base(error)) => {
            Reason::Base { step, source: std::sync::Arc::new(error) }
        }
        StepError::Failed(MachineFailure::Abandoned(message)) => Reason::Abandoned { step, message },
    }
}

#[cfg(not(feature = "shuttle"))]
#[cfg(test)]
mod tests {
    use alloy_consensus::Header;
    use alloy_hardforks::EthereumHardfork;
    use alloy_primitives::{Address, TxKind, bytes};
    use blockloom_state::{Allocation, Incarnation, MemoryStore, Version, sync::AtomicBool};
    use revm::context::TxEnv;

    use super::*;
    use crate::{
        block::rules::Rules,
        evm::{handling::Mainnet, speculator::EvmSpeculator},
        parallel::traits::{Run, Speculator as _},
    };

    const COUNTER: Address = Address::repeat_byte(0xcc);

    /// The state before a block of calls, and the block. Each call adds one to slot 0 of the counter.
    fn counting(calls: u64) -> (MemoryStore, Block) {
        // PUSH1 0, SLOAD, PUSH1 1, ADD, PUSH1 0, SSTORE
        let code = bytes!("60005460010160005500");
        let counter = Allocation { nonce: 1, code, ..Allocation::default() };
        let transaction = |nonce| Transaction {
            hash: Default::default(),
            env: TxEnv { nonce, kind: TxKind::Call(COUNTER), gas_limit: 100_000, ..TxEnv::default() },
        };
        let header = Header { gas_limit: 1_000_000, ..Header::default() };
        let empty = Block::without_body(Rules::mainnet(EthereumHardfork::Byzantium), &header);
        let block = Block { transactions: (0..calls).map(transaction).collect(), ..empty };
        (MemoryStore::from_genesis([(COUNTER, counter)]), block)
    }

    type TestBlockCommitter<'b> = BlockCommitter<'b, 'b, CachedBase<'b, MemoryStore>, Mainnet>;

    /// The values of the counter that were kept for publication since the last call.
    fn kept(committer: &mut TestBlockCommitter<'_>, memory: &Memory) -> Vec<u64> {
        let mut effects = Record::default();
        committer.take_effects(memory, Portion::Recent, &mut effects);
        effects.writes.iter().map(|write| write.value.to()).collect()
    }

    #[test]
    fn what_is_committed_before_and_after_a_memory_is_joined_is_kept_for_publication() {
        let ((base, block), memory, step) = (counting(3), Memory::default(), Cell::new(Progress::START));
        let blocks = [block];
        let steps = Steps::new(&blocks);
        let mut committer =
            BlockCommitter::new(&steps, CachedBase::alone(&base), Mainnet, Observer::None, &step);
        committer.run(TxIndex::new(0)).unwrap();
        committer.join_memory(&memory);
        assert_eq!(kept(&mut committer, &memory), [1]);
        committer.run(TxIndex::new(1)).unwrap();
        assert_eq!(kept(&mut committer, &memory), [2]);
        committer.set_publication(Publication::Off);
        committer.run(TxIndex::new(2)).unwrap();
        assert!(kept(&mut committer, &memory).is_empty(), "publication is off");
    }

    #[test]
    fn the_effects_of_a_record_are_kept_for_publication_on_request() {
        for (is_requested, expected) in [(true, vec![1]), (false, vec![])] {
            let ((base, block), memory, step) = (counting(1), Memory::default(), Cell::new(Progress::START));
            let blocks = [block];
            let steps = Steps::new(&blocks);
            let mut committer =
                BlockCommitter::new(&steps, CachedBase::alone(&base), Mainnet, Observer::None, &step);
            committer.join_memory(&memory);
            let (mut record, is_stale) = (Record::default(), AtomicBool::new(false));
            let version = Version { index: TxIndex::new(0), incarnation: Incarnation::FIRST };
            let mut speculator = EvmSpeculator::new(&steps, &memory, &base, Mainnet);
            let run = speculator.run(version, &is_stale, &mut record);
            let Run::Ran(yielded) = run else { panic!("{run:?}") };
            assert_eq!(committer.validate(&record), None);
            if is_requested {
                committer.keep_effects(&record);
            }
            Committer::commit(&mut committer, version.index, &record, yielded).unwrap();
            assert_eq!(kept(&mut committer, &memory), expected);
        }
    }
}
