//! The runs of an execution that were not committed, and the locations that they were lost for.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use blockloom_engine::{
    Dependencies, GateReason, RunEnd, Trace, TraceEvent, TraceEventKind, TransactionDependencies,
};
use blockloom_state::{Conflict, Location, TxIndex, Version};

/// A speculative run that was not committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostRun {
    /// The run.
    pub version: Version,
    /// When it began.
    pub start: Duration,
    /// How long it took.
    pub time: Duration,
    /// Why it was lost.
    pub reason: LossReason,
    /// What it had read too early, if that is known.
    pub location: Option<Location>,
}

/// Why a run was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LossReason {
    /// A write made it stale: of this transaction, or of one before it if the gate published the writes of several runs.
    Aborted(TxIndex),
    /// An observation did not hold at the gate.
    Conflict(Conflict),
    /// It stopped to wait for a write of this transaction.
    Awaited(TxIndex),
    /// It stopped because its batch was stale.
    Stale,
    /// It failed, panicked or needed the committed state.
    GaveUp,
    /// Its transaction was committed without it.
    Unused,
}

impl LossReason {
    /// All reasons in words, in the order of reports.
    pub const WORDS: [&'static str; 6] = [
        "aborted by an earlier transaction's write",
        "found stale at the gate",
        "stopped to wait for a write",
        "stopped because its batch was stale",
        "failed, or needed the committed state",
        "committed by the gate meanwhile",
    ];

    /// The reason in words.
    pub fn words(self) -> &'static str {
        let position = match self {
            Self::Aborted(_) => 0,
            Self::Conflict(_) => 1,
            Self::Awaited(_) => 2,
            Self::Stale => 3,
            Self::GaveUp => 4,
            Self::Unused => 5,
        };
        Self::WORDS[position]
    }
}

/// The runs of an execution of one block that were not committed, in the order of their transactions.
pub fn lost_runs(trace: &Trace, graph: &Dependencies) -> Vec<LostRun> {
    let mut lost: BTreeMap<(TxIndex, Duration), LostRun> = BTreeMap::new();
    let mut committed = HashSet::new();
    for event in trace.threads.iter().flat_map(|thread| &thread.events) {
        match event.kind {
            TraceEventKind::Run { version, end } => {
                let reason = match end {
                    RunEnd::Awaits(on) => LossReason::Awaited(on),
                    RunEnd::Stale => LossReason::Stale,
                    RunEnd::GaveUp | RunEnd::Panicked => LossReason::GaveUp,
                    _ => LossReason::Unused,
                };
                let run = LostRun { version, start: event.start, time: event.time(), reason, location: None };
                lost.insert((version.index, event.start), run);
            }
            TraceEventKind::Commit(version) => drop(committed.insert(version)),
            _ => {}
        }
    }
    lost.retain(|_, run| !committed.contains(&run.version));
    let mut causes: Vec<_> =
        trace.threads.iter().flat_map(|thread| &thread.events).filter_map(cause_of).collect();
    causes.sort_unstable_by_key(|(at, index, _)| (*at, *index));
    for (at, index, reason) in causes {
        // The run that the event is about is the last one that had begun. The gate knows best what it found.
        let run = lost.range_mut((index, Duration::ZERO)..=(index, at)).next_back();
        let is_open = |run: &LostRun| {
            matches!(run.reason, LossReason::Unused | LossReason::Stale)
                || matches!((run.reason, reason), (LossReason::Aborted(_), LossReason::Conflict(_)))
        };
        if let Some((_, run)) = run.filter(|(_, run)| is_open(run)) {
            run.reason = reason;
        }
    }
    let mut lost: Vec<_> = lost.into_values().collect();
    for run in &mut lost {
        run.location = location_of(run, graph);
    }
    lost
}

/// When something made the latest run of a transaction useless, and what.
fn cause_of(event: &TraceEvent) -> Option<(Duration, TxIndex, LossReason)> {
    let (index, reason) = match event.kind {
        TraceEventKind::Abort { by, stale } => (stale, LossReason::Aborted(by.index)),
        TraceEventKind::RunAtGate { index, reason: GateReason::Conflict(kind) } => {
            (index, LossReason::Conflict(kind))
        }
        _ => return None,
    };
    Some((event.start, index, reason))
}

/// What a run had read too early.
fn location_of(run: &LostRun, graph: &Dependencies) -> Option<Location> {
    let of = graph.transactions.get(run.version.index.get())?;
    match run.reason {
        LossReason::Aborted(by) | LossReason::Awaited(by) => shared_with(of, by, graph),
        LossReason::Conflict(kind) => {
            let mut needed = of.depends_on.iter().rev().filter_map(|needed| needed.location);
            needed.find(|location| is_of_kind(location, kind))
        }
        LossReason::Stale | LossReason::GaveUp | LossReason::Unused => None,
    }
}

/// The location through which a transaction depends on another one, or on the last one before it; or else what it reads and
/// the other writes.
fn shared_with(of: &TransactionDependencies, by: TxIndex, graph: &Dependencies) -> Option<Location> {
    let earlier = of.depends_on.iter().rev().filter(|needed| needed.on <= by);
    let needed = earlier.filter_map(|needed| needed.location).next();
    needed.or_else(|| {
        let writes = &graph.transactions.get(by.get())?.writes;
        of.reads.iter().find(|location| writes.binary_search(location).is_ok()).copied()
    })
}

fn is_of_kind(location: &Location, kind: Conflict) -> bool {
    matches!(
        (location, kind),
        (Location::Balance(_), Conflict::Balance)
            | (Location::Nonce(_), Conflict::Nonce)
            | (Location::Code(_), Conflict::Code)
            | (Location::Existence(_), Conflict::Existence)
            | (Location::Slot(..), Conflict::Slot)
    )
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Address, U256};
    use blockloom_engine::Dependency;
    use blockloom_state::Incarnation;

    use super::*;

    fn slot(key: u64) -> Location {
        Location::Slot(Address::ZERO, U256::from(key))
    }

    /// What the third of three transactions, which depends on both others, loses a run for.
    fn loss(reason: LossReason) -> Option<Location> {
        let needed = |on: usize, key| Dependency { on: TxIndex::new(on), location: Some(slot(key)) };
        let third = TransactionDependencies {
            depends_on: vec![needed(0, 7), needed(1, 8)],
            reads: vec![slot(7), slot(8), slot(9)],
            ..TransactionDependencies::default()
        };
        let first = TransactionDependencies { writes: vec![slot(9)], ..TransactionDependencies::default() };
        let transactions = vec![first, TransactionDependencies::default(), third];
        let graph = Dependencies { transactions, ..Dependencies::default() };
        let version = Version { index: TxIndex::new(2), incarnation: Incarnation::FIRST };
        let (start, time) = (Duration::ZERO, Duration::ZERO);
        location_of(&LostRun { version, start, time, reason, location: None }, &graph)
    }

    #[test]
    fn a_lost_run_is_lost_for_what_its_transaction_depends_on() {
        assert_eq!(loss(LossReason::Aborted(TxIndex::new(0))), Some(slot(7)));
        assert_eq!(loss(LossReason::Aborted(TxIndex::new(1))), Some(slot(8)));
        assert_eq!(loss(LossReason::Awaited(TxIndex::new(0))), Some(slot(7)));
        assert_eq!(loss(LossReason::Conflict(Conflict::Slot)), Some(slot(8)));
        assert_eq!(loss(LossReason::Conflict(Conflict::Balance)), None);
        assert_eq!(loss(LossReason::Unused), None);
    }
}
