//! The gate and one worker, step by step on one thread: the start and the end of withheld publication cost a few runs,
//! and nothing else.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::convert::Infallible;

use alloy_primitives::{Address, U256};
use blockloom_state::{
    Allocation, CachedBase, Conflict, Memory, MemoryStore, MissingCode, Overlay, Sender, SlotRead, TxIndex,
    View, sync::AtomicBool,
};
use revm::{
    Database,
    state::{Account, EvmState, EvmStorageSlot, TransactionId},
};

use super::*;
use crate::{
    block::config::Timing,
    parallel::traits::Run,
    policy::batching::{Batch, Effort},
};

const TRANSACTIONS: usize = 800;
const CONTRACT: Address = Address::repeat_byte(7);
/// A slot that many transactions may read.
const SHARED: u64 = 5;

/// Reads a slot, and writes one of two others: the first if it is zero.
#[derive(Clone, Copy)]
struct TestTransaction {
    reads: u64,
    writes: [u64; 2],
    /// Whether it can only run at the gate.
    gate_only: bool,
}

impl TestTransaction {
    fn new(reads: u64, writes: [u64; 2]) -> Self {
        Self { reads, writes, gate_only: false }
    }

    /// A transaction that reads and writes slots of its own.
    fn independent(index: usize) -> Self {
        Self::reading(1000 + index as u64, index)
    }

    /// A transaction that reads a slot and writes one of its own.
    fn reading(slot: u64, index: usize) -> Self {
        Self::new(slot, [1000 + index as u64; 2])
    }

    fn only_at_gate(self) -> Self {
        Self { gate_only: true, ..self }
    }

    fn run_on<D: Database>(self, state: &mut D) -> Result<EvmState, D::Error> {
        let mut account = Account::from(state.basic(CONTRACT)?.unwrap());
        account.mark_touch();
        let id = account.info.account_id.unwrap();
        let mut read = |slot| state.storage_by_account_id(CONTRACT, id, U256::from(slot));
        let target = self.writes[usize::from(!read(self.reads)?.is_zero())];
        let written = EvmStorageSlot::new_changed(read(target)?, U256::from(9), TransactionId::ZERO);
        account.storage.insert(U256::from(target), written);
        Ok([(CONTRACT, account)].into_iter().collect())
    }
}

struct TestSpeculator<'m> {
    transactions: &'m [TestTransaction],
    view: View<'m, MemoryStore>,
}

impl<'m> Speculator<'m> for TestSpeculator<'m> {
    type Yield = u64;

    fn run(&mut self, version: Version, is_stale: &'m AtomicBool, record: &mut Record) -> Run<u64> {
        let transaction = self.transactions[version.index.get()];
        if transaction.gate_only {
            return Run::GaveUp;
        }
        self.view.begin(version.index, Sender::default(), is_stale);
        let result = transaction.run_on(&mut self.view);
        match result.and_then(|mut accounts| self.view.finish(&mut accounts, record)) {
            Ok(()) => Run::Ran(1),
            Err(_) => Run::GaveUp,
        }
    }
}

struct TestCommitter<'m> {
    transactions: &'m [TestTransaction],
    overlay: Overlay<CachedBase<'m, MemoryStore>>,
}

impl Committer for TestCommitter<'_> {
    type Yield = u64;
    type Error = MissingCode;

    fn run(&mut self, index: TxIndex) -> Result<(), MissingCode> {
        let mut accounts = self.transactions[index.get()].run_on(&mut self.overlay)?;
        self.overlay.commit_touched(&mut accounts);
        Ok(())
    }

    fn set_publication(&mut self, publication: Publication) {
        self.overlay.set_publication(publication);
    }

    fn keep_effects(&mut self, record: &Record) {
        self.overlay.keep_effects(record);
    }

    fn take_effects(&mut self, memory: &Memory, portion: Portion, effects: &mut Record) {
        self.overlay
            .take_effects(effects, portion, |address, info| memory.insert_account(address, info, None));
    }

    fn prefetch(&mut self, record: &Record) {
        self.overlay.prefetch(record);
    }

    fn validate(&mut self, record: &Record) -> Option<Conflict> {
        self.overlay.validate(record).unwrap()
    }

    fn commit(&mut self, _: TxIndex, record: &Record, _: u64) -> Result<(), MissingCode> {
        self.overlay.commit_record(record);
        Ok(())
    }
}

/// The outcome of a block.
#[derive(Debug)]
struct GateOutcome {
    /// The transaction after which publication was withheld for the first time.
    withheld_after: usize,
    at_gate: u64,
    stale: u64,
    /// The shared slot as a reader after the block sees it.
    shared: SlotRead,
}

/// Executes a block: before each batch of the gate a worker runs up to three batches ahead. `held` delays the batch that
/// begins at an index until the gate has committed a number of batches.
fn drive(transactions: &[TestTransaction], batches: &[Batch], held: Option<(usize, usize)>) -> GateOutcome {
    let contract = Allocation { nonce: 1, code: vec![0u8].into(), ..Allocation::default() };
    let (memory, base) = (Memory::default(), MemoryStore::from_genesis([(CONTRACT, contract)]));
    let context = BlockContext::new(&memory, TxIndex::new(0), batches, 2, Timing::Phases);
    let worker =
        || Worker::new(&context, || TestSpeculator { transactions, view: View::new(&memory, &base) });
    let mut committed =
        TestCommitter { transactions, overlay: Overlay::new(CachedBase::new(&memory, &base)) };
    let (mut worker_ahead, mut gate) =
        (worker(), Gate::new(&context, &mut committed, worker(), PublicationPolicy::default()));
    let first = |attempt: Attempt| context.scheduler.transactions_of(attempt.batch).next().unwrap().get();
    let (mut last, mut taken, mut waiting, mut withheld_after) = (None, 0, None, None);
    loop {
        for attempt in std::iter::from_fn(|| context.scheduler.try_next()).take(3) {
            match held {
                Some((index, until)) if index == first(attempt) && taken < until => waiting = Some(attempt),
                _ => worker_ahead.speculate(attempt),
            }
        }
        if held.is_some_and(|(_, until)| taken == until) {
            waiting.take().into_iter().for_each(|attempt| worker_ahead.speculate(attempt));
        }
        let task = context.scheduler.at_gate(last.take(), &mut 0);
        let GateTask::Commit(attempt, speculation) = task else { break assert_eq!(task, GateTask::Done) };
        last = Some(gate.commit_batch(attempt, speculation).unwrap());
        taken += 1;
        withheld_after = withheld_after.or_else(|| (!memory.is_publishing()).then(|| first(attempt)));
    }
    let (id, read_base) = (memory.insert_account(CONTRACT, None, None), || Ok::<_, Infallible>(U256::ZERO));
    let Ok(shared) = memory.slot(id, U256::from(SHARED), TxIndex::new(transactions.len()), read_base);
    let counts = &gate.worker.counts;
    GateOutcome {
        withheld_after: withheld_after.unwrap(),
        at_gate: counts.at_gate,
        stale: counts.stale_at_gate.total(),
        shared,
    }
}

fn single_batches(count: usize) -> Vec<Batch> {
    vec![Batch::single(Effort::Heavy); count]
}

/// Independent transactions, and the one after which publication is withheld.
fn independent_block() -> (Vec<TestTransaction>, usize) {
    let transactions: Vec<_> = (0..TRANSACTIONS).map(TestTransaction::independent).collect();
    let GateOutcome { withheld_after, stale, .. } = drive(&transactions, &single_batches(TRANSACTIONS), None);
    assert_eq!(stale, 0);
    (transactions, withheld_after)
}

#[test]
fn an_effect_of_the_gate_that_was_withheld_is_published_after_a_miss() {
    let (mut transactions, withheld_after) = independent_block();
    transactions[withheld_after + 1] = TestTransaction::new(SHARED, [SHARED; 2]).only_at_gate();
    for (index, transaction) in transactions.iter_mut().enumerate().skip(withheld_after + 20) {
        *transaction = TestTransaction::reading(SHARED, index);
    }
    // Both are in one batch.
    let mut batches = single_batches(TRANSACTIONS - 1);
    batches[withheld_after].transactions = 2;
    let found = drive(&transactions, &batches, None);
    assert!(found.at_gate < 60 && found.stale < 50, "{found:?}");
    assert_eq!(found.shared, SlotRead::Value(U256::from(9), blockloom_state::Origin::Block));
}

#[test]
fn a_stale_record_is_withdrawn_while_publication_is_withheld() {
    let (mut transactions, withheld_after) = independent_block();
    // The second ran before publication was withheld, and without the write of the first: it published the shared slot.
    let late = withheld_after + 2;
    transactions[late] = TestTransaction::new(7, [7, 7]);
    transactions[late + 1] = TestTransaction::new(7, [SHARED, 6]);
    let found = drive(&transactions, &single_batches(TRANSACTIONS), Some((late, withheld_after + 1)));
    assert_eq!((found.withheld_after, found.stale), (withheld_after, 1), "{found:?}");
    assert_eq!(found.shared, SlotRead::Value(U256::ZERO, blockloom_state::Origin::Base));
}

#[test]
fn a_record_that_read_a_withdrawn_value_is_stale() {
    let (mut transactions, withheld_after) = independent_block();
    // As above, and a reader of the withdrawn value is in the same batch.
    let late = withheld_after + 2;
    transactions[late] = TestTransaction::new(7, [7, 7]);
    transactions[late + 1] = TestTransaction::new(7, [SHARED, 6]);
    transactions[late + 2] = TestTransaction::reading(SHARED, late + 2);
    let mut batches = single_batches(TRANSACTIONS - 1);
    batches[late + 1].transactions = 2;
    let found = drive(&transactions, &batches, Some((late, withheld_after + 1)));
    assert_eq!(
        (found.withheld_after, found.stale),
        (withheld_after, 2),
        "the writer and its reader: {found:?}"
    );
    assert_eq!(found.shared, SlotRead::Value(U256::ZERO, blockloom_state::Origin::Base));
}
