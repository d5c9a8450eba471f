//! What threads did over time, as pictures show it: a lane for each thread, with slices and arrows.

mod keeper;
mod place;

use std::{
    collections::{BTreeMap, HashMap},
    thread::ThreadId,
    time::{Duration, Instant},
};

use blockloom_engine::{Dependencies, GateReason, ThreadTrace, Trace, TraceEventKind};
use blockloom_fixtures::{Stage, StageJob};
use blockloom_state::TxIndex;

pub use keeper::TraceKeeper;
pub use place::Place;

use crate::lost_runs::{LossReason, lost_runs};

/// What threads did, from the start of the first execution. Times are those since then.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    /// The threads, in the order of their first slices.
    pub lanes: Vec<Lane>,
    /// From writes to the runs that they aborted.
    pub arrows: Vec<Arrow>,
    /// How far the execution had come, whenever a step was committed.
    pub progress: Vec<Progress>,
    /// When everything had ended.
    pub length: Duration,
    /// Events that are missing, because there were too many.
    pub dropped: u64,
}

/// What one thread did.
#[derive(Clone, Debug, Default)]
pub struct Lane {
    /// The name of the thread.
    pub name: String,
    /// What it did, in order.
    pub slices: Vec<Slice>,
}

/// Something that a thread did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// When it began.
    pub start: Duration,
    /// When it ended.
    pub end: Duration,
    /// What it was.
    pub kind: SliceKind,
    /// The transaction or the block.
    pub place: Option<Place>,
    /// The number of the run, if it is one that ran ahead.
    pub incarnation: Option<u32>,
}

/// What a thread did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SliceKind {
    /// A speculative run that was committed.
    Committed,
    /// A speculative run that was not, and why.
    Lost(LossReason),
    /// A run at the gate, and why it ran there.
    AtGate(GateReason),
    /// The validation and the commit of a record.
    Commit,
    /// No work was found.
    Wait,
    /// The steps before the first transaction.
    Opening,
    /// The steps after the last one.
    Closing,
    /// A job of an import.
    Stage(Stage),
    /// The commits of a block among several.
    Block,
}

impl SliceKind {
    /// The name of the kind.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Committed => "run",
            Self::Lost(_) => "lost run",
            Self::AtGate(_) => "run at the gate",
            Self::Commit => "commit",
            Self::Wait => "wait",
            Self::Opening => "opening",
            Self::Closing => "closing",
            Self::Stage(stage) => stage.name(),
            Self::Block => "block",
        }
    }
}

/// A write of one run that aborted another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrow {
    /// The lane and the time of the write.
    pub from: (usize, Duration),
    /// The lane and the start of the run that it aborted.
    pub to: (usize, Duration),
}

/// How far an execution has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// When.
    pub at: Duration,
    /// The number of steps between the last committed one and the farthest one that has begun to run.
    pub ahead: usize,
    /// The number of runs that were lost so far.
    pub lost: usize,
}

impl Timeline {
    /// What the threads of executions did, and the jobs around them.
    pub fn of(traces: &[Trace], jobs: &[StageJob]) -> Self {
        let starts = traces.iter().map(|trace| trace.started).chain(jobs.iter().map(|job| job.start));
        let Some(origin) = starts.min() else { return Self::default() };
        let mut builder =
            Builder { origin, timeline: Self::default(), lanes: HashMap::new(), blocks: Vec::new() };
        traces.iter().for_each(|trace| builder.add_trace(trace));
        jobs.iter().for_each(|job| builder.add_job(job));
        builder.finish()
    }
}

/// Builds a timeline.
struct Builder {
    origin: Instant,
    timeline: Timeline,
    lanes: HashMap<ThreadId, usize>,
    /// When the commits of each block began and ended.
    blocks: Vec<Slice>,
}

impl Builder {
    fn add_trace(&mut self, trace: &Trace) {
        let offset = trace.started.saturating_duration_since(self.origin);
        let lost: BTreeMap<_, _> = lost_runs(trace, &Dependencies::default())
            .into_iter()
            .map(|run| ((run.version.index, run.start), run.reason))
            .collect();
        let mut runs: BTreeMap<(TxIndex, Duration), usize> = BTreeMap::new();
        for thread in &trace.threads {
            let lane = self.lane(thread.id, thread.name.as_deref());
            self.timeline.dropped += thread.dropped;
            for event in &thread.events {
                let (kind, index, incarnation) = match event.kind {
                    TraceEventKind::Run { version, .. } => {
                        runs.insert((version.index, event.start), lane);
                        let reason = lost.get(&(version.index, event.start));
                        let kind = reason.map_or(SliceKind::Committed, |reason| SliceKind::Lost(*reason));
                        (kind, Some(version.index), Some(version.incarnation.get()))
                    }
                    TraceEventKind::Commit(version) => {
                        (SliceKind::Commit, Some(version.index), Some(version.incarnation.get()))
                    }
                    TraceEventKind::RunAtGate { index, reason } => {
                        (SliceKind::AtGate(reason), Some(index), None)
                    }
                    TraceEventKind::Opening => (SliceKind::Opening, None, None),
                    TraceEventKind::Closing => (SliceKind::Closing, None, None),
                    TraceEventKind::Wait => (SliceKind::Wait, None, None),
                    _ => continue,
                };
                let place = match (kind, index) {
                    (_, Some(index)) => Place::of(trace, index),
                    (SliceKind::Opening, _) => trace.blocks.first().map(|block| Place::block(block.number)),
                    (SliceKind::Closing, _) => trace.blocks.last().map(|block| Place::block(block.number)),
                    _ => None,
                };
                let (start, end) = (offset + event.start, offset + event.end);
                let slice = Slice { start, end, kind, place, incarnation };
                self.timeline.lanes[lane].slices.push(slice);
            }
        }
        self.add_arrows(trace, offset, &runs);
        self.add_progress(trace, offset, &lost);
    }

    fn add_arrows(&mut self, trace: &Trace, offset: Duration, runs: &BTreeMap<(TxIndex, Duration), usize>) {
        for ThreadTrace { id, events, .. } in &trace.threads {
            for event in events {
                let TraceEventKind::Abort { stale, .. } = event.kind else { continue };
                let run = runs.range((stale, Duration::ZERO)..=(stale, event.start)).next_back();
                if let Some((&(_, start), &lane)) = run {
                    let from = (self.lanes[id], offset + event.start);
                    self.timeline.arrows.push(Arrow { from, to: (lane, offset + start) });
                }
            }
        }
    }

    /// Adds a point for each commit.
    fn add_progress(
        &mut self,
        trace: &Trace,
        offset: Duration,
        lost: &BTreeMap<(TxIndex, Duration), LossReason>,
    ) {
        let mut points = Vec::new();
        for event in trace.threads.iter().flat_map(|thread| &thread.events) {
            match event.kind {
                TraceEventKind::Run { version, .. } => {
                    points.push((event.start, version.index, false));
                }
                TraceEventKind::Commit(version) => points.push((event.end, version.index, true)),
                TraceEventKind::RunAtGate { index, .. } => points.push((event.end, index, true)),
                _ => {}
            }
        }
        points.sort_unstable();
        let mut losses: Vec<_> = lost.keys().map(|(_, start)| *start).collect();
        losses.sort_unstable();
        self.add_blocks(trace, offset, &points);
        let mut farthest = 0;
        for (at, index, is_commit) in points {
            farthest = farthest.max(index.get() + 1);
            if is_commit {
                let lost = losses.partition_point(|start| *start <= at);
                let ahead = farthest - (index.get() + 1);
                self.timeline.progress.push(Progress { at: offset + at, ahead, lost });
            }
        }
    }

    /// Adds the time between the commits of one block and the next; `points` are in the order of time.
    fn add_blocks(&mut self, trace: &Trace, offset: Duration, points: &[(Duration, TxIndex, bool)]) {
        let mut commits = points.iter().filter(|(_, _, is_commit)| *is_commit).peekable();
        let mut start = offset;
        for block in &trace.blocks {
            let last = block.first.get() + block.transactions;
            let mut end = start;
            while let Some((at, ..)) = commits.next_if(|(_, index, _)| index.get() <= last) {
                end = offset + *at;
            }
            let (kind, place) = (SliceKind::Block, Some(Place::block(block.number)));
            self.blocks.push(Slice { start, end, kind, place, incarnation: None });
            start = end;
        }
    }

    fn add_job(&mut self, job: &StageJob) {
        let name = job.thread_name.as_deref().or((job.stage == Stage::Write).then_some("writer"));
        let lane = self.lane(job.thread, name);
        let [start, end] = [job.start, job.end].map(|time| time.saturating_duration_since(self.origin));
        let (kind, place) = (SliceKind::Stage(job.stage), Some(Place::block(job.block)));
        self.timeline.lanes[lane].slices.push(Slice { start, end, kind, place, incarnation: None });
    }

    fn lane(&mut self, id: ThreadId, name: Option<&str>) -> usize {
        let lanes = &mut self.timeline.lanes;
        *self.lanes.entry(id).or_insert_with(|| {
            let name = name.map_or_else(|| format!("thread {}", lanes.len()), str::to_owned);
            lanes.push(Lane { name, slices: Vec::new() });
            lanes.len() - 1
        })
    }

    fn finish(self) -> Timeline {
        let mut timeline = self.timeline;
        if self.blocks.len() > 1 {
            timeline.lanes.push(Lane { name: "blocks".to_owned(), slices: self.blocks });
        }
        for lane in &mut timeline.lanes {
            // What lies inside something else comes after it.
            lane.slices.sort_by_key(|slice| (slice.start, std::cmp::Reverse(slice.end)));
        }
        let ends = timeline.lanes.iter().flat_map(|lane| &lane.slices).map(|slice| slice.end);
        timeline.length = ends.max().unwrap_or_default();
        timeline.progress.sort_by_key(|point| point.at);
        timeline
    }
}
