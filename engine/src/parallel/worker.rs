//! A worker: takes a batch ahead of the frontier, runs its transactions, and reports it.
//!
//! Each run is published and recorded before the next one. A run that fails has no consequence: the gate runs its
//! transaction again when that is the frontier.

use std::panic::{AssertUnwindSafe, catch_unwind};

use blockloom_state::{
    TxIndex, Version,
    sync::{AtomicBool, Ordering},
};

use crate::{
    block::{
        statistics::ThreadCounts,
        trace::{RunEnd, TraceEventKind},
    },
    parallel::{
        context::{BlockContext, StopOnDrop},
        records::{NextRun, RunRecord},
        scheduler::{batch::Attempt, status::AttemptStatus},
        thread_log::ThreadLog,
        traits::{Run, Speculator},
    },
};

/// A worker of one thread.
pub(crate) struct Worker<'c, S, Y, F> {
    context: &'c BlockContext<'c, Y>,
    /// Made at the first run: the thread of the gate may never need one.
    speculator: Option<S>,
    make: F,
    /// The transactions that a publication made stale. Empty between two publications.
    pub(crate) stale: Vec<TxIndex>,
    /// Empty records, kept for their capacity.
    blank: Vec<Box<RunRecord<Y>>>,
    pub(crate) counts: ThreadCounts,
    pub(crate) log: ThreadLog,
}

impl<'c, S: Speculator<'c>, F: Fn() -> S> Worker<'c, S, S::Yield, F> {
    /// A worker whose speculator is made by `make`, and made again after each panic. Its thread notes in `log`.
    pub(crate) fn new(context: &'c BlockContext<'c, S::Yield>, make: F, log: ThreadLog) -> Self {
        Self {
            context,
            speculator: None,
            make,
            stale: Vec::new(),
            blank: Vec::new(),
            counts: ThreadCounts::default(),
            log,
        }
    }

    /// Works until the block is over.
    pub(crate) fn work(&mut self) {
        let context = self.context;
        let _stop = StopOnDrop(&context.scheduler);
        self.log.start();
        loop {
            let before = self.counts.waits;
            let next = context.scheduler.next(&mut self.counts.waits);
            self.note_wait(before);
            let Some(attempt) = next else { return };
            self.speculate(attempt);
        }
    }

    /// The counts and the log, at the end.
    pub(crate) fn finish(self) -> (ThreadCounts, ThreadLog) {
        let Self { mut counts, log, .. } = self;
        (counts.time_at_gate, counts.time_waiting) = (log.at_gate, log.waiting);
        (counts, log)
    }

    /// Notes that the thread waited, if it has waited more often than `before`.
    pub(crate) fn note_wait(&mut self, before: u64) {
        if self.counts.waits > before {
            self.log.end(|| TraceEventKind::Wait);
        }
    }

    /// Runs those transactions of a batch that need a run, and reports the batch.
    pub(crate) fn speculate(&mut self, attempt: Attempt) {
        let context = self.context;
        let is_stale = context.scheduler.stale_flag(attempt.batch);
        for index in context.scheduler.transactions_of(attempt.batch) {
            // ORDER: Relaxed: an attempt that sees an older value only takes longer.
            if is_stale.load(Ordering::Relaxed) {
                return context.scheduler.aborted(attempt);
            }
            if context.records.begin(index) == NextRun::NotNeeded {
                continue;
            }
            match self.run(attempt.version(index), is_stale) {
                Ok(()) => {}
                Err(Interruption::Awaits(on)) => {
                    self.counts.awaited += 1;
                    return context.scheduler.blocked(attempt, on);
                }
                Err(Interruption::Stale) => {
                    self.counts.stale_before_gate += 1;
                    return context.scheduler.aborted(attempt);
                }
                Err(Interruption::GaveUp) => {
                    self.counts.gave_up += 1;
                    return context.scheduler.gave_up(attempt);
                }
                Err(Interruption::Panicked) => {
                    self.counts.panics += 1;
                    return context.scheduler.gave_up(attempt);
                }
            }
        }
        if context.scheduler.ran(attempt) == AttemptStatus::Stale {
            self.counts.stale_before_gate += 1;
        }
    }

    /// Runs one transaction, publishes its effects and keeps its record.
    fn run(&mut self, version: Version, is_stale: &'c AtomicBool) -> Result<(), Interruption> {
        self.counts.speculative += 1;
        let context = self.context;
        self.log.start();
        let speculator = self.speculator.get_or_insert_with(&self.make);
        let mut ran = context.records.blank(&mut self.blank);
        let record = &mut ran.record;
        let run = catch_unwind(AssertUnwindSafe(|| speculator.run(version, is_stale, record)));
        let time = self.log.end(|| TraceEventKind::Run { version, end: end_of(&run) });
        self.counts.time_speculative += time;
        let interruption = match run {
            Ok(Run::Ran(yielded)) => {
                (ran.incarnation, ran.yielded, ran.time) = (version.incarnation, Some(yielded), time);
                let replaced = context.records.publish(context.memory, version.index, ran, &mut self.stale);
                self.report_stale(version);
                replaced.into_iter().for_each(|ran| self.recycle(ran));
                return Ok(());
            }
            Ok(Run::Awaits(on)) => Interruption::Awaits(on),
            Ok(Run::Stale) => Interruption::Stale,
            Ok(Run::GaveUp) => Interruption::GaveUp,
            Err(_) => {
                self.speculator = None;
                Interruption::Panicked
            }
        };
        self.recycle(ran);
        Err(interruption)
    }

    /// Reports the transactions that a publication of the run `by` made stale.
    pub(crate) fn report_stale(&mut self, by: Version) {
        self.log.aborted(by, &mut self.stale);
        self.context.report_stale(&mut self.stale);
    }

    fn recycle(&mut self, mut ran: Box<RunRecord<S::Yield>>) {
        ran.clear();
        self.blank.push(ran);
    }
}

/// How a run ended.
fn end_of<Y>(run: &std::thread::Result<Run<Y>>) -> RunEnd {
    match run {
        Ok(Run::Ran(_)) => RunEnd::Completed,
        Ok(Run::Awaits(on)) => RunEnd::Awaits(*on),
        Ok(Run::Stale) => RunEnd::Stale,
        Ok(Run::GaveUp) => RunEnd::GaveUp,
        Err(_) => RunEnd::Panicked,
    }
}

/// Why a run left no record.
enum Interruption {
    Awaits(TxIndex),
    Stale,
    GaveUp,
    Panicked,
}

#[cfg(not(feature = "shuttle"))]
#[cfg(test)]
mod tests {
    use std::panic::resume_unwind;

    use blockloom_state::{Memory, Record};

    use super::*;
    use crate::{
        parallel::thread_log::Recorder,
        policy::batching::{Batch, Effort},
    };

    /// How the run of the second transaction ends.
    #[derive(Clone, Copy, Debug)]
    enum End {
        Completes,
        /// It completes, and became stale meanwhile.
        CompletesStale,
        /// It stops because it became stale.
        Stops,
        AwaitsTheFirst,
        GivesUp,
        Panics,
    }

    struct Scripted<'c>(&'c BlockContext<'c, u64>, End);

    impl<'c> Speculator<'c> for Scripted<'c> {
        type Yield = u64;

        fn run(&mut self, version: Version, _: &'c AtomicBool, _: &mut Record) -> Run<u64> {
            if matches!(self.1, End::CompletesStale | End::Stops) {
                self.0.report_stale(&mut vec![version.index]);
            }
            match self.1 {
                End::Completes | End::CompletesStale => Run::Ran(1),
                End::Stops => Run::Stale,
                End::AwaitsTheFirst => Run::Awaits(TxIndex::new(0)),
                End::GivesUp => Run::GaveUp,
                End::Panics => resume_unwind(Box::new("the run panics")),
            }
        }
    }

    /// What a worker counts that runs the second of two transactions several times.
    fn counts_of(end: End) -> ThreadCounts {
        let (memory, batches) = (Memory::default(), [Batch::single(Effort::Heavy); 2]);
        let mut all = ThreadCounts::default();
        for _ in 0..2 {
            let recorder = Recorder::off();
            let context = BlockContext::new(&memory, TxIndex::new(0), &batches, 2);
            let mut worker = Worker::new(&context, || Scripted(&context, end), recorder.log());
            worker.counts = all;
            let [_, second] = [(); 2].map(|()| context.scheduler.try_next().expect("it is ready"));
            worker.speculate(second);
            all = worker.counts;
        }
        all
    }

    #[test]
    fn a_worker_counts_its_runs_by_how_they_end() {
        for (end, expected) in [
            (End::Completes, [0, 0, 0, 0]),
            (End::CompletesStale, [2, 0, 0, 0]),
            (End::Stops, [2, 0, 0, 0]),
            (End::AwaitsTheFirst, [0, 2, 0, 0]),
            (End::GivesUp, [0, 0, 2, 0]),
            (End::Panics, [0, 0, 0, 2]),
        ] {
            let ThreadCounts { stale_before_gate, awaited, gave_up, panics, speculative, .. } =
                counts_of(end);
            assert_eq!([stale_before_gate, awaited, gave_up, panics], expected, "{end:?}");
            assert_eq!(speculative, 2, "{end:?}");
        }
    }
}
