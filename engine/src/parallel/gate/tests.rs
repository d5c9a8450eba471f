//! The gate and one who runs ahead of it, step by step on one thread: what happens where a hush begins
//! and ends costs a few runs and no more.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::convert::Infallible;

use alloy_primitives::{Address, U256};
use blockloom_state::{
    Allocation, Memory, MemoryStore, MissingCode, Overlay, CachedBase, Sender, SlotRead, Conflict, TxIndex,
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
    policy::batching::{Cut, Effort},
};

const TRANSACTIONS: usize = 800;
const CONTRACT: Address = Address::repeat_byte(7);
/// A slot that many of them may read.
const SHARED: u64 = 5;

/// Reads a slot, and writes one of two others: the first if it is zero.
#[derive(Clone, Copy)]
struct Step {
    reads: u64,
    writes: [u64; 2],
    /// Whether it can only be run at the gate.
    is_shy: bool,
}

impl Step {
    fn new(reads: u64, writes: [u64; 2]) -> Self {
        Self { reads, writes, is_shy: false }
    }

    /// A transaction that meets nobody.
    fn own(index: usize) -> Self {
        Self::reading(1000 + index as u64, index)
    }

    /// One that reads a slot and writes one of its own.
    fn reading(slot: u64, index: usize) -> Self {
        Self::new(slot, [1000 + index as u64; 2])
    }

    fn shy(self) -> Self {
        Self { is_shy: true, ..self }
    }

    fn play<D: Database>(self, state: &mut D) -> Result<EvmState, D::Error> {
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

struct Ahead<'m> {
    steps: &'m [Step],
    view: View<'m, MemoryStore>,
}

impl<'m> Speculator<'m> for Ahead<'m> {
    type Yield = u64;

    fn run(&mut self, version: Version, unwanted: &'m AtomicBool, record: &mut Record) -> Run<u64> {
        let step = self.steps[version.index.get()];
        if step.is_shy {
            return Run::GaveUp;
        }
        self.view.begin(version.index, Sender::default(), unwanted);
        let played = step.play(&mut self.view);
        match played.and_then(|mut accounts| self.view.finish(&mut accounts, record)) {
            Ok(()) => Run::Ran(1),
            Err(_) => Run::GaveUp,
        }
    }
}

struct Committed<'m> {
    steps: &'m [Step],
    overlay: Overlay<CachedBase<'m, MemoryStore>>,
}

impl Committer for Committed<'_> {
    type Yield = u64;
    type Error = MissingCode;

    fn run(&mut self, index: TxIndex) -> Result<(), MissingCode> {
        let mut accounts = self.steps[index.get()].play(&mut self.overlay)?;
        self.overlay.commit_touched(&mut accounts);
        Ok(())
    }

    fn keep(&mut self, keeping: Keeping) {
        self.overlay.keep(keeping);
    }

    fn adopt(&mut self, record: &Record) {
        self.overlay.trace_record(record);
    }

    fn take_effects(&mut self, memory: &Memory, share: Share, effects: &mut Record) {
        self.overlay.take_trace(effects, share, |address, info| memory.introduce(address, info, None));
    }

    fn fetch(&mut self, record: &Record) {
        self.overlay.fetch(record);
    }

    fn judge(&mut self, record: &Record) -> Option<Conflict> {
        self.overlay.validate(record).unwrap()
    }

    fn commit(&mut self, _: TxIndex, record: &Record, _: u64) -> Result<(), MissingCode> {
        self.overlay.commit_record(record);
        Ok(())
    }
}

/// What came of a block.
#[derive(Debug)]
struct Found {
    /// The transaction whose record began the first hush.
    hushed: usize,
    at_gate: u64,
    refused: u64,
    /// What is seen of the shared slot in the end.
    shared: SlotRead,
}

/// Takes a block through: somebody runs up to three stretches ahead before each that the gate takes.
/// A stretch may be held until the gate has taken so many.
fn drive(steps: &[Step], cuts: &[Cut], held: Option<(usize, usize)>) -> Found {
    let contract = Allocation { nonce: 1, code: vec![0u8].into(), ..Allocation::default() };
    let (memory, base) = (Memory::default(), MemoryStore::from_genesis([(CONTRACT, contract)]));
    let loom = Loom::new(&memory, cuts, 2, Timing::Phases);
    let worker = || Worker::new(&loom, || Ahead { steps, view: View::new(&memory, &base) });
    let mut committed = Committed { steps, overlay: Overlay::new(CachedBase::new(&memory, &base)) };
    committed.keep(Keeping::Kept);
    let (mut ahead, mut gate) = (worker(), Gate::new(&loom, &mut committed, worker(), Spread::Always));
    let first = |turn: Turn| loom.scheduler.within(turn.stretch).next().unwrap().get();
    let (mut passed, mut taken, mut waiting, mut hushed) = (None, 0, None, None);
    loop {
        for turn in std::iter::from_fn(|| loom.scheduler.try_next()).take(3) {
            match held {
                Some((index, until)) if index == first(turn) && taken < until => waiting = Some(turn),
                _ => ahead.speculate(turn),
            }
        }
        if held.is_some_and(|(_, until)| taken == until) {
            waiting.take().into_iter().for_each(|turn| ahead.speculate(turn));
        }
        let task = loom.scheduler.at_gate(passed.take(), &mut 0);
        let GateTask::Take(turn, audience) = task else { break assert_eq!(task, GateTask::Done) };
        passed = Some(gate.take(turn, audience).unwrap());
        taken += 1;
        hushed = hushed.or_else(|| (!memory.is_told()).then(|| first(turn)));
    }
    let (id, ask) = (memory.introduce(CONTRACT, None, None), || Ok::<_, Infallible>(U256::ZERO));
    let Ok(shared) = memory.slot(id, U256::from(SHARED), TxIndex::new(steps.len()), ask);
    let counts = &gate.worker.counts;
    Found { hushed: hushed.unwrap(), at_gate: counts.at_gate, refused: counts.stale_at_gate.total(), shared }
}

fn singly(count: usize) -> Vec<Cut> {
    vec![Cut::single(Effort::Heavy); count]
}

/// Transactions that meet nobody, and which of them begins the hush.
fn calm() -> (Vec<Step>, usize) {
    let steps: Vec<_> = (0..TRANSACTIONS).map(Step::own).collect();
    let Found { hushed, refused, .. } = drive(&steps, &singly(TRANSACTIONS), None);
    assert_eq!(refused, 0);
    (steps, hushed)
}

#[test]
fn what_runs_at_the_gate_right_after_a_hush_began_is_told_after_it() {
    let (mut steps, hushed) = calm();
    steps[hushed + 1] = Step::new(SHARED, [SHARED; 2]).shy();
    for (index, step) in steps.iter_mut().enumerate().skip(hushed + 20) {
        *step = Step::reading(SHARED, index);
    }
    // Both are in one stretch.
    let mut cuts = singly(TRANSACTIONS - 1);
    cuts[hushed].transactions = 2;
    let found = drive(&steps, &cuts, None);
    assert!(found.at_gate < 60 && found.refused < 50, "{found:?}");
    assert_eq!(found.shared, SlotRead::Value(U256::from(9), blockloom_state::Origin::Block));
}

#[test]
fn what_a_record_told_is_taken_back_when_it_is_refused_in_a_hush() {
    let (mut steps, hushed) = calm();
    // The second ran before the hush, without what the first writes in it: it told of the shared slot.
    let late = hushed + 2;
    steps[late] = Step::new(7, [7, 7]);
    steps[late + 1] = Step::new(7, [SHARED, 6]);
    let found = drive(&steps, &singly(TRANSACTIONS), Some((late, hushed + 1)));
    assert_eq!((found.hushed, found.refused), (hushed, 1), "{found:?}");
    assert_eq!(found.shared, SlotRead::Value(U256::ZERO, blockloom_state::Origin::Base));
}

#[test]
fn what_is_taken_back_spoils_what_was_taken_with_it() {
    let (mut steps, hushed) = calm();
    // As above, and whoever read what is taken back is in one stretch with it.
    let late = hushed + 2;
    steps[late] = Step::new(7, [7, 7]);
    steps[late + 1] = Step::new(7, [SHARED, 6]);
    steps[late + 2] = Step::reading(SHARED, late + 2);
    let mut cuts = singly(TRANSACTIONS - 1);
    cuts[late + 1].transactions = 2;
    let found = drive(&steps, &cuts, Some((late, hushed + 1)));
    assert_eq!((found.hushed, found.refused), (hushed, 1), "the reader is not even judged: {found:?}");
    assert_eq!(found.shared, SlotRead::Value(U256::ZERO, blockloom_state::Origin::Base));
}
