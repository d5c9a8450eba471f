//! The gate and one worker, step by step on one thread: what the gate counts, and when it publishes the effects of its
//! runs. The start and the end of withheld publication cost a few runs, and nothing else.

use std::convert::Infallible;

use alloy_primitives::{Address, U256, uint};
use blockloom_state::{
    Allocation, CachedBase, Conflict, Memory, MemoryStore, MissingCode, Origin, Overlay, Sender, SlotRead,
    TxIndex, View, Visibility, sync::AtomicBool,
};
use revm::{
    Database,
    state::{Account, EvmState, EvmStorageSlot, TransactionId},
};

use super::*;
use crate::{
    parallel::{thread_log::Recorder, traits::Run},
    policy::{
        batching::{Batch, Effort},
        tuning::START_REACH,
    },
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
    weight: u64,
}

impl TestTransaction {
    fn new(reads: u64, writes: [u64; 2]) -> Self {
        Self { reads, writes, gate_only: false, weight: 1 }
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
            Ok(()) => Run::Ran(transaction.weight),
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

type TestWorker<'c> = Worker<'c, TestSpeculator<'c>, u64, Box<dyn Fn() -> TestSpeculator<'c> + 'c>>;
type TestGate<'g, 'c> =
    Gate<'g, 'c, TestCommitter<'c>, TestSpeculator<'c>, u64, Box<dyn Fn() -> TestSpeculator<'c> + 'c>>;

/// The gate of a block, and a worker that runs ahead.
struct OneThread<'g, 'c> {
    gate: TestGate<'g, 'c>,
    worker: TestWorker<'c>,
    /// What the last batch was committed with, until the scheduler receives it.
    last: Option<CommittedBy>,
}

/// Opens a block of these batches.
fn with_block<R>(
    memory: &Memory,
    policy: PublicationPolicy,
    transactions: &[TestTransaction],
    batches: &[Batch],
    test: impl FnOnce(OneThread<'_, '_>) -> R,
) -> R {
    let contract = Allocation { nonce: 1, code: vec![0u8].into(), ..Allocation::default() };
    let base = MemoryStore::from_genesis([(CONTRACT, contract)]);
    let recorder = Recorder::off();
    let context = BlockContext::new(memory, TxIndex::new(0), batches, 2);
    let worker = || -> TestWorker<'_> {
        let speculator = || TestSpeculator { transactions, view: View::new(memory, &base) };
        Worker::new(&context, Box::new(speculator), recorder.log())
    };
    let mut committer = TestCommitter { transactions, overlay: Overlay::new(CachedBase::new(memory, &base)) };
    let gate = Gate::new(&context, &mut committer, worker(), policy);
    test(OneThread { gate, worker: worker(), last: None })
}

impl OneThread<'_, '_> {
    fn run_ahead(&mut self, batches: usize) {
        for _ in 0..batches {
            let attempt = self.gate.context.scheduler.try_next().expect("it is ready");
            self.worker.speculate(attempt);
        }
    }

    /// The next task of the gate.
    fn task(&mut self) -> GateTask {
        self.gate.context.scheduler.at_gate(self.last.take(), &mut 0)
    }

    /// Commits the frontier, whatever the scheduler expects of speculation.
    fn commit(&mut self, speculation: Publication) -> CommittedBy {
        let GateTask::Commit(attempt, _) = self.task() else { panic!("there is one batch") };
        let by = self.gate.commit_batch(attempt, speculation).unwrap();
        self.last = Some(by);
        by
    }

    fn mark_stale(&self, index: usize) {
        self.gate.context.report_stale(&mut vec![TxIndex::new(index)]);
    }
}

/// The shared slot as a reader sees it.
fn shared_slot(memory: &Memory, reader: usize) -> SlotRead {
    let id = memory.insert_account(CONTRACT, None, None);
    let read_base = || Ok::<_, Infallible>(U256::ZERO);
    let Ok(shared) = memory.slot(id, U256::from(SHARED), TxIndex::new(reader), read_base);
    shared
}

const UNWRITTEN: SlotRead = SlotRead::Value(U256::ZERO, Origin::Base);
const WRITTEN: SlotRead = SlotRead::Value(uint!(9_U256), Origin::Block);

/// The outcome of a block.
#[derive(Debug)]
struct GateOutcome {
    /// The transaction after which publication was withheld for the first time.
    withheld_after: usize,
    at_gate: u64,
    stale: u64,
    shared: SlotRead,
}

/// Executes a block: before each batch of the gate a worker runs up to three batches ahead. `held` delays the batch that
/// begins at an index until the gate has committed a number of batches.
fn drive(transactions: &[TestTransaction], batches: &[Batch], held: Option<(usize, usize)>) -> GateOutcome {
    let memory = Memory::default();
    with_block(&memory, PublicationPolicy::default(), transactions, batches, |mut threads| {
        let scheduler = &threads.gate.context.scheduler;
        let first = |attempt: Attempt| scheduler.transactions_of(attempt.batch).next().unwrap().get();
        let (mut taken, mut waiting, mut withheld_after) = (0, None, None);
        loop {
            for attempt in std::iter::from_fn(|| scheduler.try_next()).take(3) {
                match held {
                    Some((index, until)) if index == first(attempt) && taken < until => {
                        waiting = Some(attempt);
                    }
                    _ => threads.worker.speculate(attempt),
                }
            }
            if held.is_some_and(|(_, until)| taken == until) {
                waiting.take().into_iter().for_each(|attempt| threads.worker.speculate(attempt));
            }
            let task = threads.task();
            let GateTask::Commit(attempt, speculation) = task else { break assert_eq!(task, GateTask::Done) };
            threads.last = Some(threads.gate.commit_batch(attempt, speculation).unwrap());
            taken += 1;
            withheld_after = withheld_after.or_else(|| (!memory.is_publishing()).then(|| first(attempt)));
        }
        let counts = &threads.gate.worker.counts;
        GateOutcome {
            withheld_after: withheld_after.unwrap(),
            at_gate: counts.at_gate,
            stale: counts.stale_at_gate.total(),
            shared: shared_slot(&memory, transactions.len()),
        }
    })
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
    assert_eq!(found.shared, WRITTEN);
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
    assert_eq!(found.shared, UNWRITTEN);
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
    assert_eq!(found.shared, UNWRITTEN);
}

#[test]
fn a_batch_is_committed_with_records_if_at_least_half_of_its_transactions_are() {
    for (with_record, all, expected) in [
        (0, 1, CommittedBy::RunsAtGate),
        (1, 1, CommittedBy::Records),
        (1, 3, CommittedBy::RunsAtGate),
        (2, 4, CommittedBy::Records),
    ] {
        let transactions: Vec<_> = (0..all)
            .map(TestTransaction::independent)
            .enumerate()
            .map(
                |(index, transaction)| {
                    if index < with_record { transaction } else { transaction.only_at_gate() }
                },
            )
            .collect();
        let batches = [Batch { transactions: all, effort: Effort::Heavy }];
        with_block(
            &Memory::default(),
            PublicationPolicy::default(),
            &transactions,
            &batches,
            |mut threads| {
                threads.run_ahead(1);
                assert_eq!(threads.commit(Publication::Immediate), expected, "{with_record} of {all}");
                let counts = &threads.gate.worker.counts;
                assert_eq!(
                    (counts.committed, counts.at_gate),
                    (with_record as u64, (all - with_record) as u64)
                );
            },
        );
    }
}

#[test]
fn the_window_shrinks_if_most_records_of_a_batch_are_found_stale() {
    // The first transaction writes what some transactions of the second batch read. Runs do not see it.
    let reach = |stale: usize| {
        let mut memory = Memory::default();
        memory.open([Address::ZERO], Visibility::Nothing);
        let mut transactions: Vec<_> = (0..103).map(TestTransaction::independent).collect();
        transactions[0] = TestTransaction::new(1000, [SHARED; 2]);
        for (index, transaction) in transactions.iter_mut().enumerate().skip(1).take(stale) {
            *transaction = TestTransaction::reading(SHARED, index);
        }
        let mut batches = single_batches(101);
        batches[1].transactions = 3;
        with_block(&memory, PublicationPolicy::default(), &transactions, &batches, |mut threads| {
            threads.run_ahead(2);
            (0..2).for_each(|_| _ = threads.commit(Publication::Immediate));
            assert_eq!(threads.gate.worker.counts.stale_at_gate.slot, stale as u64);
            threads.task();
            std::iter::from_fn(|| threads.gate.context.scheduler.try_next()).count()
        })
    };
    assert_eq!(reach(1), reach(0), "most of them hold");
    assert!(reach(2) < START_REACH && reach(0) > START_REACH);
}

#[test]
fn the_effects_of_a_run_at_the_gate_are_published_after_its_batch_or_before_the_next_record() {
    let writer = TestTransaction::new(1000, [SHARED; 2]).only_at_gate();
    let transactions = [writer, TestTransaction::independent(1), TestTransaction::independent(2)];
    for (speculation, after_the_batch) in
        [(Publication::Immediate, WRITTEN), (Publication::Deferred, UNWRITTEN)]
    {
        let memory = Memory::default();
        with_block(
            &memory,
            PublicationPolicy::default(),
            &transactions,
            &single_batches(3),
            |mut threads| {
                threads.run_ahead(2);
                threads.commit(speculation);
                assert_eq!(shared_slot(&memory, 2), after_the_batch, "{speculation:?}");
                assert_eq!(threads.commit(Publication::Immediate), CommittedBy::Records);
                assert_eq!(shared_slot(&memory, 2), WRITTEN, "{speculation:?}");
            },
        );
    }
}

#[test]
fn what_was_committed_before_the_batches_is_published_before_they_run() {
    let memory = Memory::default();
    let transactions = [TestTransaction::new(1000, [SHARED; 2]), TestTransaction::independent(1)];
    with_block(&memory, PublicationPolicy::default(), &transactions, &single_batches(2), |threads| {
        threads.gate.committer.run(TxIndex::new(0)).unwrap();
        assert_eq!(shared_slot(&memory, 1), UNWRITTEN);
        publish_committed(threads.gate.context, threads.gate.committer);
        assert_eq!(shared_slot(&memory, 1), WRITTEN);
    });
}

#[test]
fn records_of_runs_that_did_not_publish_are_counted() {
    let transactions: Vec<_> = (0..3).map(TestTransaction::independent).collect();
    let memory = Memory::default();
    with_block(&memory, PublicationPolicy::early(), &transactions, &single_batches(3), |mut threads| {
        for _ in 0..3 {
            threads.run_ahead(1);
            threads.commit(Publication::Immediate);
            assert!(!memory.is_publishing(), "the policy withholds after the first record");
        }
        let counts = &threads.gate.worker.counts;
        assert_eq!((counts.committed, counts.unpublished), (3, 2));
    });
}

#[test]
fn publication_is_not_withheld_on_a_base_with_a_high_latency() {
    let memory = Memory::default();
    memory.note_high_latency();
    let transactions = [TestTransaction::independent(0)];
    with_block(&memory, PublicationPolicy::early(), &transactions, &single_batches(1), |mut threads| {
        threads.run_ahead(1);
        assert_eq!(threads.commit(Publication::Immediate), CommittedBy::Records);
        assert!(memory.is_publishing());
    });
}

#[test]
fn a_heavy_stale_run_ends_withheld_publication_sooner_than_a_light_one() {
    for (weight, is_publishing) in [(1, false), (5, true)] {
        let mut transactions: Vec<_> = (0..3).map(TestTransaction::independent).collect();
        transactions[2].weight = weight;
        let memory = Memory::default();
        with_block(&memory, PublicationPolicy::early(), &transactions, &single_batches(3), |mut threads| {
            threads.run_ahead(3);
            threads.mark_stale(2);
            (0..2).for_each(|_| _ = threads.commit(Publication::Immediate));
            assert!(!memory.is_publishing());
            assert_eq!(threads.commit(Publication::Immediate), CommittedBy::RunsAtGate);
            assert_eq!(memory.is_publishing(), is_publishing, "weight {weight}");
        });
    }
}

#[test]
fn withheld_effects_are_published_only_after_a_record_that_may_have_missed_one() {
    let transactions = [
        TestTransaction::independent(0),
        TestTransaction::new(1001, [SHARED; 2]).only_at_gate(),
        TestTransaction::independent(2),
        TestTransaction::reading(SHARED, 3),
        TestTransaction::independent(4),
    ];
    let memory = Memory::default();
    with_block(&memory, PublicationPolicy::early(), &transactions, &single_batches(5), |mut threads| {
        threads.run_ahead(4);
        threads.mark_stale(2);
        (0..2).for_each(|_| _ = threads.commit(Publication::Immediate));
        assert!(!memory.is_publishing());
        threads.commit(Publication::Immediate);
        assert!(memory.is_publishing(), "a stale run ends withheld publication");
        assert_eq!(shared_slot(&memory, 4), UNWRITTEN, "the run was known to be stale");
        threads.commit(Publication::Immediate);
        assert_eq!(shared_slot(&memory, 4), WRITTEN, "validation found the record stale");
    });
}

#[test]
fn effects_that_were_kept_are_published_before_publication_is_withheld() {
    let transactions = [
        TestTransaction::independent(0),
        TestTransaction::independent(1),
        TestTransaction::new(1002, [SHARED; 2]),
        TestTransaction::independent(3),
    ];
    let memory = Memory::default();
    with_block(&memory, PublicationPolicy::early(), &transactions, &single_batches(4), |mut threads| {
        threads.run_ahead(1);
        threads.commit(Publication::Immediate);
        assert!(!memory.is_publishing());
        threads.run_ahead(2);
        threads.mark_stale(1);
        threads.commit(Publication::Immediate);
        assert!(memory.is_publishing(), "a stale run ends withheld publication");
        assert_eq!(threads.commit(Publication::Immediate), CommittedBy::Records);
        assert!(!memory.is_publishing(), "a record begins it again");
        assert_eq!(shared_slot(&memory, 3), WRITTEN);
    });
}

#[test]
fn a_miss_that_does_not_end_withheld_publication_publishes_nothing() {
    let transactions = [
        TestTransaction::independent(0),
        TestTransaction::independent(1),
        TestTransaction::new(1002, [SHARED; 2]).only_at_gate(),
        TestTransaction::reading(SHARED, 3),
        TestTransaction::independent(4),
    ];
    let memory = Memory::default();
    with_block(&memory, PublicationPolicy::early(), &transactions, &single_batches(5), |mut threads| {
        threads.run_ahead(4);
        (0..4).for_each(|_| _ = threads.commit(Publication::Immediate));
        assert_eq!(threads.gate.worker.counts.stale_at_gate.slot, 1);
        assert!(!memory.is_publishing());
        assert_eq!(shared_slot(&memory, 4), UNWRITTEN);
    });
}

#[test]
fn runs_of_several_batches_while_the_window_is_closed_are_counted() {
    let transactions: Vec<_> =
        (0..60).map(|index| TestTransaction::independent(index).only_at_gate()).collect();
    let memory = Memory::default();
    with_block(&memory, PublicationPolicy::default(), &transactions, &single_batches(60), |mut threads| {
        let mut at_once = 0;
        loop {
            std::iter::from_fn(|| threads.gate.context.scheduler.try_next())
                .for_each(|attempt| threads.worker.speculate(attempt));
            threads.last = Some(match threads.task() {
                GateTask::Commit(attempt, speculation) => {
                    threads.gate.commit_batch(attempt, speculation).unwrap()
                }
                GateTask::Run(batches, speculation) => {
                    at_once += batches.count;
                    threads.gate.run_batches(&batches, speculation).unwrap()
                }
                task => break assert_eq!(task, GateTask::Done),
            });
        }
        assert!(at_once > 0, "no run ahead completes");
        assert_eq!(threads.gate.worker.counts.at_gate, 60);
    });
}
