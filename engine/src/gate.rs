//! The gate: the one place where a transaction becomes final.
//!
//! Owns the committed state and the order of commits. Promises that each transaction is committed
//! once, in order, and only with what a run on committed state did, or with a record whose every
//! observation holds in the committed state: the EVM being deterministic, its effects are then
//! those of sequential execution. While somebody else runs the frontier it speculates itself.

use blockloom_state::{Audience, Record, TxIndex, Version, Writer};

use crate::{
    machine::{Committer, Keeping, Speculator},
    records::{Ran, Taken},
    scheduler::{GateTask, Passed, Turn},
    worker::{Loom, Worker},
};

/// The gate of one block, and the worker that its thread is when there is nothing to judge.
pub(crate) struct Gate<'g, 'l, C, S, Y, F> {
    loom: &'l Loom<'l, Y>,
    committer: &'g mut C,
    pub(crate) worker: Worker<'l, S, Y, F>,
    /// The effects of the run before; kept for its room.
    effects: Record,
    /// The last run here, if nobody was told of its effects.
    untold: Option<Version>,
    keeping: Keeping,
    /// Records that are done with.
    done: Vec<Box<Ran<Y>>>,
}

impl<'g, 'l, C, S, F> Gate<'g, 'l, C, S, S::Yield, F>
where
    S: Speculator<'l>,
    C: Committer<Yield = S::Yield>,
    F: Fn() -> S,
{
    pub(crate) fn new(
        loom: &'l Loom<'l, S::Yield>,
        committer: &'g mut C,
        worker: Worker<'l, S, S::Yield, F>,
    ) -> Self {
        Self {
            loom,
            committer,
            worker,
            effects: Record::default(),
            untold: None,
            keeping: Keeping::Kept,
            done: Vec::new(),
        }
    }

    /// Takes every transaction through, or as far as the committer wants to go on.
    pub(crate) fn run(&mut self) -> Result<(), C::Error> {
        let mut passed = None;
        loop {
            passed = match self.loom.scheduler.at_gate(passed, &mut self.worker.counts.waits) {
                GateTask::Take(turn, audience) => Some(self.take(turn, audience)?),
                GateTask::Speculate(turn) => {
                    self.worker.speculate(turn);
                    None
                }
                GateTask::Done => return Ok(()),
                GateTask::Stopped => panic!("a worker of this block is lost"),
            };
        }
    }

    /// Takes the frontier through. What runs here is told in one, after the last or before a record
    /// is committed; while there is no audience it is kept back, and the next who has one tells of it
    /// as well.
    fn take(&mut self, turn: Turn, audience: Audience) -> Result<Passed, C::Error> {
        self.loom.memory.set_audience(audience);
        let is_told = audience != Audience::Nobody && self.loom.memory.is_told();
        self.keep(if is_told { Keeping::Kept } else { Keeping::Forgotten });
        let (mut recorded, mut refused, mut all) = (0, 0, 0);
        for index in self.loom.scheduler.within(turn.stretch) {
            all += 1;
            let taken = if turn.is_first() { Taken::Nothing } else { self.loom.records.take(index) };
            match taken {
                Taken::Fresh(mut ran) if self.holds(&ran.record, &mut refused) => {
                    recorded += 1;
                    // Told later, what ran here before would seem to come after the record.
                    self.tell_of_untold();
                    self.commit(index, &mut ran)?;
                    self.done_with(ran);
                }
                Taken::Fresh(ran) | Taken::Stale(ran) => {
                    self.run_here(turn.version(index))?;
                    self.tell(turn.version(index), Some(&ran.record));
                    self.done_with(ran);
                }
                Taken::Nothing => self.run_here(turn.version(index))?,
            }
            self.loom.memory.advance(index);
        }
        if audience == Audience::Somebody {
            self.tell_of_untold();
        }
        self.loom.records.give_back(&mut self.done);
        let passed = if 2 * recorded >= all { Passed::Recorded } else { Passed::RunAtGate };
        if refused > 0 && passed == Passed::RunAtGate {
            self.loom.scheduler.refused();
        }
        Ok(passed)
    }

    /// Whether every observation of a run holds in the committed state; counts it if not.
    fn holds(&mut self, record: &Record, refused: &mut usize) -> bool {
        let stale = self.committer.judge(record);
        if let Some(kind) = stale {
            self.worker.counts.stale.count(kind);
            *refused += 1;
        }
        stale.is_none()
    }

    fn commit(&mut self, index: TxIndex, ran: &mut Ran<S::Yield>) -> Result<(), C::Error> {
        self.worker.counts.time_committed += ran.time;
        let yielded = ran.yielded.take().expect("only runs that came to their end are kept");
        self.committer.commit(index, &ran.record, yielded)?;
        self.worker.counts.committed += 1;
        Ok(())
    }

    fn done_with(&mut self, mut ran: Box<Ran<S::Yield>>) {
        ran.clear();
        self.done.push(ran);
    }

    fn run_here(&mut self, version: Version) -> Result<(), C::Error> {
        self.worker.counts.at_gate += 1;
        self.committer.run(version.index)?;
        self.untold = (self.keeping == Keeping::Kept).then_some(version);
        Ok(())
    }

    fn keep(&mut self, keeping: Keeping) {
        if keeping != self.keeping {
            self.keeping = keeping;
            self.committer.keep(keeping);
            self.untold = None;
        }
    }

    fn tell_of_untold(&mut self) {
        if let Some(version) = self.untold {
            self.tell(version, None);
        }
    }

    /// Publishes what ran here and was not told yet, in place of what is in `before`.
    fn tell(&mut self, version: Version, before: Option<&Record>) {
        self.untold = None;
        self.committer.take_effects(self.loom.memory, &mut self.effects);
        let stale = &mut self.worker.stale;
        self.loom.memory.publish(Writer::Run(version), &self.effects, before, stale);
        self.loom.report_stale(stale);
    }
}
