//! The gate: the one place where a transaction becomes final.
//!
//! Owns the committed state and the order of commits. Promises that each transaction is committed
//! once, in order, and only with what a run on committed state did, or with a record whose every
//! observation holds in the committed state: the EVM being deterministic, its effects are then
//! those of sequential execution. While somebody else runs the frontier it speculates itself.

use blockloom_state::{Version, Writer};

use crate::{
    machine::{Committer, Ran, Speculator},
    scheduler::{GateTask, Passed},
    worker::{Loom, Worker},
};

/// The gate of one block, and the worker that its thread is when there is nothing to judge.
pub(crate) struct Gate<'g, 'l, C, S, Y> {
    pub(crate) loom: &'l Loom<'l, Y>,
    pub(crate) committer: &'g mut C,
    pub(crate) worker: Worker<'l, S, Y>,
}

impl<'l, C, S> Gate<'_, 'l, C, S, S::Yield>
where
    S: Speculator<'l>,
    C: Committer<Yield = S::Yield>,
{
    /// Takes every transaction through, or as far as the committer wants to go on.
    pub(crate) fn run(&mut self) -> Result<(), C::Error> {
        loop {
            match self.loom.scheduler.at_gate(&mut self.worker.counts.waits) {
                GateTask::Run(version) => {
                    let taken = self.loom.records.take(version.index);
                    self.run_here(version, taken.as_ref())?;
                }
                GateTask::Judge(version) => self.judge(version)?,
                GateTask::Speculate(version) => self.worker.speculate(version),
                GateTask::Done => return Ok(()),
                GateTask::Stopped => panic!("a worker of this block is lost"),
            }
        }
    }

    fn judge(&mut self, version: Version) -> Result<(), C::Error> {
        let taken = self.loom.records.take(version.index).expect("who ran has left a record");
        if let Some(kind) = self.committer.judge(&taken.record) {
            self.worker.counts.stale.count(kind);
            let version = self.loom.scheduler.refused();
            return self.run_here(version, Some(&taken));
        }
        self.worker.counts.time_committed += taken.time;
        self.committer.commit(version.index, taken)?;
        self.worker.counts.committed += 1;
        self.pass(Passed::Recorded);
        Ok(())
    }

    /// Runs the frontier on committed state, in place of what a speculative run may have left.
    fn run_here(&mut self, version: Version, taken: Option<&Ran<S::Yield>>) -> Result<(), C::Error> {
        self.worker.counts.at_gate += 1;
        let effects = self.committer.run(version.index)?;
        let stale = &mut self.worker.stale;
        self.loom.memory.publish(Writer::Run(version), &effects, taken.map(|ran| &ran.record), stale);
        self.loom.report_stale(stale);
        self.pass(Passed::RunAtGate);
        Ok(())
    }

    fn pass(&self, how: Passed) {
        let frontier = self.loom.scheduler.committed(how);
        self.loom.memory.advance(frontier);
    }
}
