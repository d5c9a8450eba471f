//! A worker: takes a transaction ahead of the frontier, runs it, reports it.
//!
//! A run is recorded and published before it is reported. Whatever goes wrong in a run is nobody's
//! business but the gate's, which runs the transaction itself when its turn has come.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use blockloom_state::{Memory, TxIndex, Version};

use crate::{
    engine::Timing,
    machine::{Ran, Run, Speculator},
    records::Records,
    scheduler::{Effort, Scheduler, Standing},
    stats::Counts,
    trace::Stopwatch,
};

/// What the threads of one block share.
#[derive(Debug)]
pub(crate) struct Loom<'m, Y> {
    /// The multi-version memory.
    pub(crate) memory: &'m Memory,
    /// Who does what.
    pub(crate) scheduler: Scheduler,
    /// What the speculative runs recorded.
    pub(crate) records: Records<Y>,
    timing: Timing,
}

impl<'m, Y: Send> Loom<'m, Y> {
    /// A loom for a block whose transactions take such efforts, and so many threads.
    pub(crate) fn new(memory: &'m Memory, efforts: Vec<Effort>, threads: usize, timing: Timing) -> Self {
        Self {
            memory,
            records: Records::new(efforts.len()),
            scheduler: Scheduler::new(efforts, threads),
            timing,
        }
    }

    /// Tells the scheduler whose observations have changed; empties the list.
    pub(crate) fn report_stale(&self, stale: &mut Vec<TxIndex>) {
        if !stale.is_empty() {
            self.scheduler.stale(stale, |version| self.records.predict(self.memory, version));
        }
    }
}

/// A worker of one thread.
pub(crate) struct Worker<'l, S, Y, F> {
    loom: &'l Loom<'l, Y>,
    /// Made when it is needed first: the gate's thread may never need one.
    speculator: Option<S>,
    make: F,
    /// Whom a publication made stale; empty between two.
    pub(crate) stale: Vec<TxIndex>,
    pub(crate) counts: Counts,
}

impl<'l, S: Speculator<'l>, F: Fn() -> S> Worker<'l, S, S::Yield, F> {
    /// A worker whose speculator `make` makes, again after each panic.
    pub(crate) fn new(loom: &'l Loom<'l, S::Yield>, make: F) -> Self {
        Self { loom, speculator: None, make, stale: Vec::new(), counts: Counts::default() }
    }

    /// Works until the block is over.
    pub(crate) fn work(&mut self) {
        let loom = self.loom;
        let _stop = StopOnDrop(&loom.scheduler);
        while let Some(version) = loom.scheduler.next(&mut self.counts.waits) {
            self.speculate(version);
        }
    }

    /// Runs one transaction and reports it.
    pub(crate) fn speculate(&mut self, version: Version) {
        self.counts.speculative += 1;
        let loom = self.loom;
        let unwanted = loom.scheduler.unwanted(version.index);
        let watch = (loom.timing == Timing::Runs).then(Stopwatch::start);
        let speculator = self.speculator.get_or_insert_with(&self.make);
        let run = catch_unwind(AssertUnwindSafe(|| speculator.run(version, unwanted)));
        let time = watch.map_or(Duration::ZERO, |mut watch| watch.lap());
        self.counts.time_speculative += time;
        let Ok(run) = run else {
            self.speculator = None;
            self.counts.panics += 1;
            return loom.scheduler.gave_up(version);
        };
        match run {
            Run::Ran(ran) => self.report(version, Ran { time, ..ran }),
            Run::Awaits(on) => {
                self.counts.awaited += 1;
                loom.scheduler.blocked(version, on);
            }
            Run::Unwanted => {
                self.counts.outdated += 1;
                loom.scheduler.broke_off(version);
            }
            Run::GaveUp => {
                self.counts.gave_up += 1;
                loom.scheduler.gave_up(version);
            }
        }
    }

    fn report(&mut self, version: Version, ran: Ran<S::Yield>) {
        let loom = self.loom;
        if loom.scheduler.finish(version) == Standing::Void {
            self.counts.outdated += 1;
            return;
        }
        loom.records.publish(loom.memory, version, ran, &mut self.stale);
        loom.report_stale(&mut self.stale);
        if loom.scheduler.ran(version) == Standing::Void {
            self.counts.outdated += 1;
            loom.records.predict(loom.memory, version);
        }
    }
}

/// Stops the block when its thread leaves, with a panic or without: nobody must wait for what it
/// would have done.
pub(crate) struct StopOnDrop<'s>(pub(crate) &'s Scheduler);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}
