//! The runs of an execution that were not committed, and the locations that they were lost for.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use blockloom_engine::{Dependencies, GateReason, RunEnd, Trace, TraceEventKind, TransactionDependencies};
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
    /// A write of this transaction made it stale.
    Aborted(TxIndex),
    /// An observation did not hold at the gate.
    Conflict(Conflict),
    /// It stopped to wait for a write of this transaction.
    Awaited(TxIndex),
    /// It failed, panicked or needed the committed state.
    GaveUp,
    /// Its transaction was committed without it.
    Unused,
}

impl LossReason {
    /// All reasons in words, in the order of reports.
    pub const WORDS: [&'static str; 5] = [
        "aborted by an earlier transaction's write",
        "found stale at the gate",
        "stopped to wait for a write",
        "failed, or needed the committed state",
        "committed by the gate meanwhile",
    ];

    /// The reason in words.
    pub fn words(self) -> &'static str {
        let position = match self {
            Self::Aborted(_) => 0,
            Self::Conflict(_) => 1,
            Self::Awaited(_) => 2,
            Self::GaveUp => 3,
            Self::Unused => 4,
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
    for event in trace.threads.iter().flat_map(|thread| &thread.events) {
        let (index, reason) = match event.kind {
            TraceEventKind::Abort { by, stale } => (stale, LossReason::Aborted(by.index)),
            TraceEventKind::RunAtGate { index, reason: GateReason::Conflict(kind) } => {
                (index, LossReason::Conflict(kind))
            }
            _ => continue,
        };
        // The run that the event is about is the last one that had begun.
        let run = lost.range_mut((index, Duration::ZERO)..=(index, event.start)).next_back();
        if let Some((_, run)) = run.filter(|(_, run)| run.reason == LossReason::Unused) {
            run.reason = reason;
        }
    }
    let mut lost: Vec<_> = lost.into_values().collect();
    for run in &mut lost {
        run.location = location_of(run, graph);
    }
    lost
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
        LossReason::GaveUp | LossReason::Unused => None,
    }
}

/// The location through which a transaction depends on another one, or else what it reads and the other writes.
fn shared_with(of: &TransactionDependencies, by: TxIndex, graph: &Dependencies) -> Option<Location> {
    let needed = of.depends_on.iter().find(|needed| needed.on == by).and_then(|needed| needed.location);
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
