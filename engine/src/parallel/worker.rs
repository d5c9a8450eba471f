//! A worker: takes a stretch ahead of the frontier, runs its transactions, reports it.
//!
//! Each run is recorded and published before the next. Whatever goes wrong in a run is nobody's
//! business but the gate's, which runs the transaction itself when its turn has come.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use blockloom_state::{
    Memory, TxIndex, Version,
    sync::{AtomicBool, Ordering},
};

use crate::{
    block::{config::Timing, statistics::Counts},
    parallel::{
        records::{Need, Ran, Records},
        scheduler::{Scheduler, batch::Turn, status::Standing},
        traits::{Run, Speculator},
    },
    policy::batching::Cut,
    threads::clock::Stopwatch,
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
    /// A loom for a block that is cut so, and so many threads.
    pub(crate) fn new(memory: &'m Memory, cuts: &[Cut], threads: usize, timing: Timing) -> Self {
        let scheduler = Scheduler::new(cuts, threads);
        Self { memory, records: Records::new(scheduler.transactions()), scheduler, timing }
    }

    /// Tells the scheduler whose observations have changed; empties the list.
    pub(crate) fn report_stale(&self, stale: &mut Vec<TxIndex>) {
        if stale.is_empty() {
            return;
        }
        stale.iter().for_each(|index| self.records.spoil(*index));
        self.scheduler.stale(stale);
        stale.drain(..).for_each(|index| self.records.predict(self.memory, index));
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
    /// Room for records.
    blank: Vec<Box<Ran<Y>>>,
    pub(crate) counts: Counts,
}

impl<'l, S: Speculator<'l>, F: Fn() -> S> Worker<'l, S, S::Yield, F> {
    /// A worker whose speculator `make` makes, again after each panic.
    pub(crate) fn new(loom: &'l Loom<'l, S::Yield>, make: F) -> Self {
        Self { loom, speculator: None, make, stale: Vec::new(), blank: Vec::new(), counts: Counts::default() }
    }

    /// Works until the block is over.
    pub(crate) fn work(&mut self) {
        let loom = self.loom;
        let _stop = StopOnDrop(&loom.scheduler);
        while let Some(turn) = loom.scheduler.next(&mut self.counts.waits) {
            self.speculate(turn);
        }
    }

    /// Runs the transactions of a stretch that need it, and reports it.
    pub(crate) fn speculate(&mut self, turn: Turn) {
        let loom = self.loom;
        let unwanted = loom.scheduler.unwanted(turn.stretch);
        for index in loom.scheduler.within(turn.stretch) {
            // ORDER: Relaxed: a turn that learns of it later only takes longer.
            if unwanted.load(Ordering::Relaxed) {
                return loom.scheduler.broke_off(turn);
            }
            if loom.records.begin(index) == Need::None {
                continue;
            }
            match self.run(turn.version(index), unwanted) {
                Ok(()) => {}
                Err(Shortfall::Awaits(on)) => {
                    self.counts.awaited += 1;
                    return loom.scheduler.blocked(turn, on);
                }
                Err(Shortfall::Unwanted) => {
                    self.counts.stale_before_gate += 1;
                    return loom.scheduler.broke_off(turn);
                }
                Err(Shortfall::GaveUp) => {
                    self.counts.gave_up += 1;
                    return loom.scheduler.gave_up(turn);
                }
                Err(Shortfall::Panicked) => {
                    self.counts.panics += 1;
                    return loom.scheduler.gave_up(turn);
                }
            }
        }
        if loom.scheduler.ran(turn) == Standing::Void {
            self.counts.stale_before_gate += 1;
        }
    }

    /// Runs one transaction, and publishes what came of it.
    fn run(&mut self, version: Version, unwanted: &'l AtomicBool) -> Result<(), Shortfall> {
        self.counts.speculative += 1;
        let loom = self.loom;
        let watch = (loom.timing == Timing::Runs).then(Stopwatch::start);
        let speculator = self.speculator.get_or_insert_with(&self.make);
        let mut ran = loom.records.blank(&mut self.blank);
        let record = &mut ran.record;
        let run = catch_unwind(AssertUnwindSafe(|| speculator.run(version, unwanted, record)));
        let time = watch.map_or(Duration::ZERO, |mut watch| watch.lap());
        self.counts.time_speculative += time;
        let shortfall = match run {
            Ok(Run::Ran(yielded)) => {
                (ran.incarnation, ran.yielded, ran.time) = (version.incarnation, Some(yielded), time);
                let done = loom.records.publish(loom.memory, version.index, ran, &mut self.stale);
                loom.report_stale(&mut self.stale);
                done.into_iter().for_each(|ran| self.keep_room(ran));
                return Ok(());
            }
            Ok(Run::Awaits(on)) => Shortfall::Awaits(on),
            Ok(Run::Unwanted) => Shortfall::Unwanted,
            Ok(Run::GaveUp) => Shortfall::GaveUp,
            Err(_) => {
                self.speculator = None;
                Shortfall::Panicked
            }
        };
        self.keep_room(ran);
        Err(shortfall)
    }

    fn keep_room(&mut self, mut ran: Box<Ran<S::Yield>>) {
        ran.clear();
        self.blank.push(ran);
    }
}

/// Why a run left no record.
enum Shortfall {
    Awaits(TxIndex),
    Unwanted,
    GaveUp,
    Panicked,
}

/// Stops the block when its thread leaves, with a panic or without: nobody must wait for what it
/// would have done.
pub(crate) struct StopOnDrop<'s>(pub(crate) &'s Scheduler);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}
