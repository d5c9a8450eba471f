//! What each thread notes of an execution: the times of runs, if they are wanted, and its events, if it is observed.
//!
//! A thread writes into a buffer of its own, which has a bound. Unless runs are timed, nothing is allocated, and no clock is
//! looked at for a run.

use std::{thread, time::Duration};

use blockloom_state::{TxIndex, Version, sync::Mutex};

use crate::{
    block::{
        config::Timing,
        statistics::Statistics,
        steps::Steps,
        telemetry::ExecutionSpan,
        trace::{GateReason, ThreadTrace, Trace, TraceEvent, TraceEventKind, TracedBlock},
    },
    threads::clock::Stopwatch,
};

/// Collects what the threads of one execution note.
#[derive(Debug)]
pub(crate) struct Recorder {
    is_observed: bool,
    timing: Timing,
    /// About how many events a thread has.
    usual_events: usize,
    span: ExecutionSpan,
    /// Started at the start of the execution.
    watch: Stopwatch,
    threads: Mutex<Vec<ThreadTrace>>,
}

impl Recorder {
    /// The recorder of an execution that begins now.
    pub(crate) fn new(timing: Timing, is_observed: bool, steps: usize, span: ExecutionSpan) -> Self {
        // A helper has fewer, and a thread with many aborts has more.
        let usual_events = (steps + 2).min(ThreadTrace::MOST_EVENTS);
        Self { is_observed, timing, usual_events, span, watch: Stopwatch::start(), threads: Mutex::default() }
    }

    /// A recorder of nothing.
    pub(crate) fn off() -> Self {
        Self::new(Timing::Phases, false, 0, ExecutionSpan::default())
    }

    /// An empty log for the calling thread.
    pub(crate) fn log(&self) -> ThreadLog {
        let is_timed = self.is_observed || self.timing == Timing::Runs;
        ThreadLog {
            watch: is_timed.then_some(self.watch),
            last: Duration::ZERO,
            at_gate: Duration::ZERO,
            waiting: Duration::ZERO,
            span: self.span.clone(),
            trace: self.is_observed.then(|| {
                let thread = thread::current();
                let name = thread.name().map(str::to_owned);
                Box::new(ThreadTrace {
                    id: thread.id(),
                    name,
                    events: Vec::with_capacity(self.usual_events),
                    dropped: 0,
                })
            }),
        }
    }

    /// Takes the log of a thread that is done; that of the thread which commits comes last.
    pub(crate) fn collect(&self, log: ThreadLog) {
        if let Some(trace) = log.trace {
            self.threads.lock().push(*trace);
        }
    }

    /// The time since the start of the execution.
    pub(crate) fn elapsed(&self) -> Duration {
        self.watch.elapsed()
    }

    /// The trace of the execution, which has ended.
    pub(crate) fn trace(&self, steps: &Steps<'_>, statistics: Statistics) -> Trace {
        let time = self.elapsed();
        let mut threads = std::mem::take(&mut *self.threads.lock());
        let committing = threads.pop();
        threads.splice(0..0, committing);
        Trace { started: self.watch.started(), blocks: TracedBlock::all(steps), threads, time, statistics }
    }
}

/// What one thread notes.
#[derive(Debug)]
pub(crate) struct ThreadLog {
    /// Started at the start of the execution; `None` if nothing is timed.
    watch: Option<Stopwatch>,
    /// When the last interval ended.
    last: Duration,
    /// The time of the gate, and of waiting.
    pub(crate) at_gate: Duration,
    pub(crate) waiting: Duration,
    span: ExecutionSpan,
    /// Boxed, because there is seldom one.
    trace: Option<Box<ThreadTrace>>,
}

impl ThreadLog {
    /// Begins an interval now. Without this call it begins at the end of the last one.
    pub(crate) fn start(&mut self) {
        if let Some(watch) = &self.watch {
            self.last = watch.elapsed();
        }
    }

    /// Ends an interval, and returns its length if it is timed, otherwise zero.
    pub(crate) fn end(&mut self, kind: impl FnOnce() -> TraceEventKind) -> Duration {
        let Some(watch) = &self.watch else { return Duration::ZERO };
        let event = TraceEvent { start: self.last, end: watch.elapsed(), kind: kind() };
        self.last = event.end;
        match event.kind {
            TraceEventKind::Commit(_) | TraceEventKind::RunAtGate { .. } => self.at_gate += event.time(),
            TraceEventKind::Wait => self.waiting += event.time(),
            _ => {}
        }
        self.note(|| event);
        event.time()
    }

    /// Ends the run of a step on committed state that has no record.
    pub(crate) fn ran_without_record(&mut self, index: TxIndex) {
        self.end(|| TraceEventKind::RunAtGate { index, reason: GateReason::NoRecord });
    }

    /// Notes that a publication of `by` aborted the latest runs of transactions now.
    pub(crate) fn aborted(&mut self, by: Version, stale: &mut Vec<TxIndex>) {
        if stale.is_empty() || !(self.trace.is_some() || self.span.shows_aborts()) {
            return;
        }
        // A run that had read several of the locations is there several times.
        stale.sort_unstable();
        stale.dedup();
        let at = self.watch.map_or(self.last, |watch| watch.elapsed());
        for &stale in stale.iter() {
            self.span.aborted(by, stale);
            self.note(|| TraceEvent { start: at, end: at, kind: TraceEventKind::Abort { by, stale } });
        }
    }

    fn note(&mut self, event: impl FnOnce() -> TraceEvent) {
        let Some(trace) = &mut self.trace else { return };
        if trace.events.len() < ThreadTrace::MOST_EVENTS {
            trace.events.push(event());
        } else {
            trace.dropped += 1;
        }
    }
}

impl TracedBlock {
    fn all(steps: &Steps<'_>) -> Vec<Self> {
        let blocks = steps.blocks().iter().enumerate();
        let traced = blocks.map(|(position, block)| {
            let indices = steps.range(position);
            let first = TxIndex::new(indices.start);
            Self { number: block.number(), first, transactions: indices.len() }
        });
        traced.collect()
    }
}
