//! The gate: the one place where a transaction becomes final.
//!
//! Owns the committed state and the order of commits. Promises that each transaction is committed
//! once, in order, and only with what a run on committed state did, or with a record whose every
//! observation holds in the committed state: the EVM being deterministic, its effects are then
//! those of sequential execution. While somebody else runs the frontier it speculates itself.

use blockloom_state::{Audience, Record, Version, Writer};

use crate::{
    machine::{Committer, Ran, Speculator},
    scheduler::{GateTask, Passed},
    worker::{Loom, Worker},
};

/// The gate of one block, and the worker that its thread is when there is nothing to judge.
pub(crate) struct Gate<'g, 'l, C, S, Y, F> {
    loom: &'l Loom<'l, Y>,
    committer: &'g mut C,
    pub(crate) worker: Worker<'l, S, Y, F>,
    /// The effects of the run before; kept for its room.
    effects: Record,
    /// Whether there are effects that nobody was told of.
    holds_back: bool,
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
        Self { loom, committer, worker, effects: Record::default(), holds_back: false }
    }

    /// Takes every transaction through, or as far as the committer wants to go on.
    pub(crate) fn run(&mut self) -> Result<(), C::Error> {
        let mut passed = None;
        loop {
            passed = match self.loom.scheduler.at_gate(passed, &mut self.worker.counts.waits) {
                GateTask::Run(version, audience) => {
                    let taken = self.loom.records.take(version.index);
                    Some(self.run_here(version, audience, taken.as_ref())?)
                }
                GateTask::Judge(version, audience) => Some(self.judge(version, audience)?),
                GateTask::Speculate(version) => {
                    self.worker.speculate(version);
                    None
                }
                GateTask::Done => return Ok(()),
                GateTask::Stopped => panic!("a worker of this block is lost"),
            };
        }
    }

    fn judge(&mut self, version: Version, audience: Audience) -> Result<Passed, C::Error> {
        let taken = self.loom.records.take(version.index).expect("who ran has left a record");
        if let Some(kind) = self.committer.judge(&taken.record) {
            self.worker.counts.stale.count(kind);
            let version = self.loom.scheduler.refused();
            return self.run_here(version, Audience::Somebody, Some(&taken));
        }
        self.worker.counts.time_committed += taken.time;
        self.committer.commit(version.index, taken)?;
        self.worker.counts.committed += 1;
        if self.holds_back && audience == Audience::Somebody {
            self.tell(version, None);
        }
        self.loom.memory.advance(version.index);
        Ok(Passed::Recorded)
    }

    /// Runs the frontier on committed state, in place of what a speculative run may have left. While
    /// there is no audience its effects are kept back: the next who has one tells of them as well.
    fn run_here(
        &mut self,
        version: Version,
        audience: Audience,
        taken: Option<&Ran<S::Yield>>,
    ) -> Result<Passed, C::Error> {
        self.worker.counts.at_gate += 1;
        self.loom.memory.set_audience(audience);
        self.committer.run(version.index)?;
        self.holds_back |= audience == Audience::Nobody;
        if audience == Audience::Somebody || taken.is_some() {
            self.tell(version, taken.map(|ran| &ran.record));
        }
        self.loom.memory.advance(version.index);
        Ok(Passed::RunAtGate)
    }

    /// Publishes what ran here and was not told yet, in place of what is in `before`.
    fn tell(&mut self, version: Version, before: Option<&Record>) {
        self.holds_back = false;
        self.committer.take_effects(self.loom.memory, &mut self.effects);
        let stale = &mut self.worker.stale;
        self.loom.memory.publish(Writer::Run(version), &self.effects, before, stale);
        self.loom.report_stale(stale);
    }
}
