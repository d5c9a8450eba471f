//! The data of a page, as its script reads it. Times are nanoseconds.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use alloy_primitives::{Address, B256};
use blockloom_bench::{
    explanation::Explanation,
    timeline::{Place, Slice, SliceKind, Timeline},
};
use serde::Serialize;

use super::{
    chrome::reason_of,
    facts::{Facts, TransactionFacts},
};
use crate::names;

/// What a page draws.
#[derive(Debug, Default, Serialize)]
pub(super) struct PageData {
    length: u64,
    /// The name and the colour of each kind of slice.
    kinds: Vec<(&'static str, &'static str)>,
    /// Texts that slices and edges name by their positions.
    notes: Vec<String>,
    steps: Vec<StepData>,
    lanes: Vec<LaneData>,
    /// Lane and time of the write, lane and start of the run.
    arrows: Vec<(usize, u64, usize, u64)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    graph: Option<GraphData>,
}

/// The number of a block, the position of a transaction in it or -1, and what is known of it.
#[derive(Debug, Serialize)]
struct StepData(u64, i64, Option<FactData>);

/// Hash, recipient, selector, gas, and time on one thread.
#[derive(Debug, Serialize)]
struct FactData(B256, Option<Address>, Option<String>, Option<u64>, u64);

#[derive(Debug, Serialize)]
struct LaneData {
    name: String,
    slices: Vec<SliceData>,
}

/// Start, length, and the positions of the kind, the step or -1, and the note or -1.
#[derive(Debug, Serialize)]
struct SliceData(u64, u64, usize, i64, i64);

/// The transactions of a block that depend on others or that others depend on, as early as their dependencies allow.
#[derive(Debug, Default, Serialize)]
struct GraphData {
    starts: Vec<u64>,
    times: Vec<u64>,
    steps: Vec<i64>,
    /// The earlier transaction, the later one, and the note of the location or -1.
    edges: Vec<(usize, usize, i64)>,
    critical: Vec<usize>,
}

/// Collects the data of a page.
pub(super) struct Collector<'f> {
    facts: &'f Facts,
    data: PageData,
    notes: HashMap<String, i64>,
    steps: HashMap<Place, i64>,
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// The colour of a kind of slice, by its name in the style sheet.
pub(super) const fn colour(kind: SliceKind) -> &'static str {
    match kind {
        SliceKind::Committed => "run",
        SliceKind::Lost(_) => "lost",
        SliceKind::AtGate(_) => "gate",
        SliceKind::Commit => "commit",
        SliceKind::Wait => "wait",
        SliceKind::Opening | SliceKind::Closing => "around",
        SliceKind::Stage(stage) => stage.name(),
        SliceKind::Block => "block",
    }
}

impl<'f> Collector<'f> {
    pub(super) fn new(facts: &'f Facts) -> Self {
        Self { facts, data: PageData::default(), notes: HashMap::new(), steps: HashMap::new() }
    }

    pub(super) fn finish(self) -> PageData {
        self.data
    }

    pub(super) fn add_timeline(&mut self, timeline: &Timeline) {
        self.data.length = nanos(timeline.length);
        for lane in &timeline.lanes {
            let slices = lane.slices.iter().map(|slice| self.slice(slice)).collect();
            self.data.lanes.push(LaneData { name: lane.name.clone(), slices });
        }
        let arrows = timeline.arrows.iter();
        self.data.arrows =
            arrows.map(|arrow| (arrow.from.0, nanos(arrow.from.1), arrow.to.0, nanos(arrow.to.1))).collect();
    }

    pub(super) fn add_graph(&mut self, block: u64, explanation: &Explanation) {
        let Explanation { graph, critical_path, .. } = explanation;
        let mut used: BTreeSet<usize> = critical_path.iter().map(|step| step.position).collect();
        for (position, transaction) in graph.transactions.iter().enumerate() {
            if !transaction.depends_on.is_empty() {
                used.insert(position);
                used.extend(transaction.depends_on.iter().map(|needed| needed.on.get()));
            }
        }
        let numbers: HashMap<usize, usize> =
            used.iter().enumerate().map(|(number, position)| (*position, number)).collect();
        let critical = critical_path.iter().map(|step| numbers[&step.position]).collect();
        let mut of_graph = GraphData { critical, ..GraphData::default() };
        let mut ends: Vec<Duration> = Vec::with_capacity(graph.transactions.len());
        for (position, transaction) in graph.transactions.iter().enumerate() {
            let earlier = transaction.depends_on.iter().map(|needed| ends[needed.on.get()]);
            let start = earlier.max().unwrap_or_default();
            ends.push(start + transaction.time);
            if !used.contains(&position) {
                continue;
            }
            of_graph.starts.push(nanos(start));
            of_graph.times.push(nanos(transaction.time));
            of_graph.steps.push(self.step(Place { block, position: Some(position) }));
            // A transaction that needs the committed state depends on all before it: the last one says that.
            let last = transaction.depends_on.last().filter(|needed| needed.location.is_none());
            let located = transaction.depends_on.iter().filter(|needed| needed.location.is_some());
            for needed in located.chain(last) {
                let location = needed.location.map(|location| names::of_location(&location));
                let note = location.map_or(-1, |name| self.note(name));
                of_graph.edges.push((numbers[&needed.on.get()], numbers[&position], note));
            }
        }
        self.data.graph = Some(of_graph);
    }

    fn slice(&mut self, slice: &Slice) -> SliceData {
        let kind = (slice.kind.name(), colour(slice.kind));
        let known = self.data.kinds.iter().position(|known| *known == kind);
        let kind = known.unwrap_or_else(|| {
            self.data.kinds.push(kind);
            self.data.kinds.len() - 1
        });
        let step = slice.place.map_or(-1, |place| self.step(place));
        let note = reason_of(slice.kind).map_or(-1, |reason| self.note(reason));
        SliceData(nanos(slice.start), nanos(slice.end.saturating_sub(slice.start)), kind, step, note)
    }

    fn step(&mut self, place: Place) -> i64 {
        let next = self.steps.len() as i64;
        let number = *self.steps.entry(place).or_insert(next);
        if number == next {
            let position = place.position.map_or(-1, |position| position as i64);
            let facts = self.facts.get(&place).map(FactData::new);
            self.data.steps.push(StepData(place.block, position, facts));
        }
        number
    }

    fn note(&mut self, text: String) -> i64 {
        let next = self.data.notes.len() as i64;
        let number = *self.notes.entry(text.clone()).or_insert(next);
        if number == next {
            self.data.notes.push(text);
        }
        number
    }
}

impl FactData {
    fn new(facts: &TransactionFacts) -> Self {
        let TransactionFacts { hash, to, selector, measured } = facts;
        let (gas, time) = measured.map_or((None, 0), |(gas, time)| (Some(gas), nanos(time)));
        Self(*hash, *to, selector.clone(), gas, time)
    }
}
