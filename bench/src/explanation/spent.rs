//! What the threads of an execution did: the whole time of all threads, in parts.

use std::{collections::HashSet, time::Duration};

use blockloom_engine::{RunEnd, Trace, TraceEvent, TraceEventKind};

/// The time of all threads, from the start of an execution to its end. The parts add up to `total`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// The number of threads times the time of the execution.
    pub total: Duration,
    /// Speculative runs that were committed.
    pub committed: Duration,
    /// Runs of the gate, on committed state.
    pub at_gate: Duration,
    /// The gate validated records and committed them.
    pub committing: Duration,
    /// Speculative runs that were not committed.
    pub lost: Duration,
    /// Threads found no work.
    pub waiting: Duration,
    /// The steps before the transactions and after them, of the thread that does them.
    pub around: Duration,
    /// Helpers had not begun yet, or had ended.
    pub absent: Duration,
    /// Everything else: publishing, scheduling, and the events themselves.
    pub other: Duration,
}

impl Spent {
    /// What the threads of an execution did.
    pub fn of(trace: &Trace) -> Self {
        let events = || trace.threads.iter().flat_map(|thread| &thread.events);
        let committed: HashSet<_> = events()
            .filter_map(|event| match event.kind {
                TraceEventKind::Commit(version) => Some(version),
                _ => None,
            })
            .collect();
        let threads = u32::try_from(trace.statistics.threads).unwrap_or(u32::MAX);
        let mut spent = Self { total: trace.time * threads, ..Self::default() };
        for event in events() {
            *match event.kind {
                TraceEventKind::Run { version, end: RunEnd::Completed } if committed.contains(&version) => {
                    &mut spent.committed
                }
                TraceEventKind::Run { .. } => &mut spent.lost,
                TraceEventKind::RunAtGate { .. } => &mut spent.at_gate,
                TraceEventKind::Commit(_) => &mut spent.committing,
                TraceEventKind::Wait => &mut spent.waiting,
                TraceEventKind::Opening | TraceEventKind::Closing => &mut spent.around,
                _ => continue,
            } += event.time();
        }
        let present: Duration = trace.threads.iter().skip(1).map(|thread| presence(&thread.events)).sum();
        spent.absent = (trace.time * threads.saturating_sub(1)).saturating_sub(present);
        spent.other = spent.total.saturating_sub(spent.known());
        spent
    }

    fn known(&self) -> Duration {
        let Self { total: _, committed, at_gate, committing, lost, waiting, around, absent, other: _ } =
            *self;
        committed + at_gate + committing + lost + waiting + around + absent
    }

    /// The parts, with their names.
    pub fn parts(&self) -> [(&'static str, Duration); 8] {
        let Self { total: _, committed, at_gate, committing, lost, waiting, around, absent, other } = *self;
        [
            ("committed runs", committed),
            ("runs at the gate", at_gate),
            ("validating and committing", committing),
            ("lost runs", lost),
            ("waiting for work", waiting),
            ("opening and closing", around),
            ("helpers not there", absent),
            ("scheduling and publishing", other),
        ]
    }
}

/// The time from a thread's first event to its last.
fn presence(events: &[TraceEvent]) -> Duration {
    match (events.first(), events.last()) {
        (Some(first), Some(last)) => last.end.saturating_sub(first.start),
        _ => Duration::ZERO,
    }
}
