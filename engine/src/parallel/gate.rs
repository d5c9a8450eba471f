//! The gate: the one place where a transaction becomes final.
//!
//! Owns the committed state and the order of commits. Promises that each transaction is committed once, in order,
//! and only with the effects of a run on committed state, or with a record whose every observation holds in the
//! committed state: the EVM is deterministic, so its effects are then those of sequential execution. While a worker
//! runs the frontier, the gate's thread speculates as well.

use std::{collections::VecDeque, hint::black_box};

use blockloom_state::{
    Conflict, Incarnation, Portion, Publication, Published, Record, TxIndex, Version, Writer,
};

use crate::{
    block::trace::{GateReason, TraceEventKind},
    parallel::{
        context::BlockContext,
        records::{RunRecord, Taken},
        scheduler::{GateBatches, GateTask, batch::Attempt, status::CommittedBy},
        traits::{Committer, Speculator, Weigh},
        worker::Worker,
    },
    policy::publication::PublicationPolicy,
};

/// Publishes everything that the committer kept so far, as what happens before the transactions of the block's
/// batches.
pub(crate) fn publish_committed<Y: Send, C: Committer>(context: &BlockContext<'_, Y>, committer: &mut C) {
    if context.memory.is_publishing() {
        let (mut effects, mut stale) = (Record::default(), Vec::new());
        committer.take_effects(context.memory, Portion::Recent, &mut effects);
        context.memory.publish(Writer::Opening, &effects, None, &mut stale);
        context.report_stale(&mut stale);
    }
}

/// The gate of one block, and the worker that its thread is while there is nothing to validate.
pub(crate) struct Gate<'g, 'c, C, S, Y, F> {
    context: &'c BlockContext<'c, Y>,
    committer: &'g mut C,
    pub(crate) worker: Worker<'c, S, Y, F>,
    /// The effects of the last publication; kept for its capacity.
    effects: Record,
    /// The last transaction whose effects were kept and not published.
    pending: Option<Version>,
    policy: PublicationPolicy,
    /// What the scheduler expects of speculation: `Immediate`, `Deferred` or `Off`.
    speculation: Publication,
    /// What the policy makes of that.
    publication: Publication,
    /// The records of the transactions that come next.
    taken: VecDeque<(TxIndex, Taken<Y>)>,
    /// Records that were used.
    used: Vec<Box<RunRecord<Y>>>,
}

/// How a transaction was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CommitPath {
    /// With its record.
    Record,
    /// By a run here, because validation found its record stale.
    StaleRecord,
    /// By a run here, because there was no record or it was known to be stale.
    Run,
}

impl<'g, 'c, C, S, F> Gate<'g, 'c, C, S, S::Yield, F>
where
    S: Speculator<'c>,
    S::Yield: Weigh,
    C: Committer<Yield = S::Yield>,
    F: Fn() -> S,
{
    /// A gate whose committer keeps its effects for publication from now on.
    pub(crate) fn new(
        context: &'c BlockContext<'c, S::Yield>,
        committer: &'g mut C,
        worker: Worker<'c, S, S::Yield, F>,
        policy: PublicationPolicy,
    ) -> Self {
        let mut gate = Self {
            context,
            committer,
            worker,
            effects: Record::default(),
            pending: None,
            policy,
            speculation: Publication::Deferred,
            publication: Publication::Off,
            taken: VecDeque::new(),
            used: Vec::new(),
        };
        gate.update_publication();
        gate
    }

    /// Commits every transaction, until the committer returns an error.
    pub(crate) fn run(&mut self) -> Result<(), C::Error> {
        self.worker.log.start();
        let mut last = None;
        loop {
            let before = self.worker.counts.waits;
            let task = self.context.scheduler.at_gate(last, &mut self.worker.counts.waits);
            self.worker.note_wait(before);
            last = match task {
                GateTask::Commit(attempt, speculation) => Some(self.commit_batch(attempt, speculation)?),
                GateTask::Run(batches, speculation) => Some(self.run_batches(&batches, speculation)?),
                GateTask::Speculate(attempt) => {
                    self.worker.speculate(attempt);
                    None
                }
                GateTask::Done => return Ok(()),
                GateTask::Stopped => panic!("a worker of this block is lost"),
            };
        }
    }

    /// Commits the batch at the frontier. Effects of runs here are published as one, after the batch or before a
    /// record is committed.
    fn commit_batch(&mut self, attempt: Attempt, speculation: Publication) -> Result<CommittedBy, C::Error> {
        self.worker.log.start();
        self.speculation = speculation;
        self.update_publication();
        self.take_records(attempt);
        let (mut with_record, mut stale, mut all) = (0, 0, 0);
        for index in self.context.scheduler.transactions_of(attempt.batch) {
            all += 1;
            let taken = self.next_taken(index);
            match self.commit(attempt.version(index), taken)? {
                CommitPath::Record => with_record += 1,
                CommitPath::StaleRecord => stale += 1,
                CommitPath::Run => {}
            }
            self.context.memory.advance(index);
        }
        if self.publication == Publication::Immediate {
            self.publish_pending();
        }
        self.context.records.give_back(&mut self.used);
        let by = if 2 * with_record >= all { CommittedBy::Records } else { CommittedBy::RunsAtGate };
        if stale > 0 && by == CommittedBy::RunsAtGate {
            self.context.scheduler.found_stale();
        }
        Ok(by)
    }

    /// Runs batches without records, as sequential execution does.
    fn run_batches(
        &mut self,
        batches: &GateBatches,
        speculation: Publication,
    ) -> Result<CommittedBy, C::Error> {
        self.worker.log.start();
        self.speculation = speculation;
        self.update_publication();
        for index in batches.transactions.clone().map(TxIndex::new) {
            self.worker.counts.at_gate += 1;
            self.committer.run(index)?;
            self.worker.log.ran_without_record(index);
            self.note_pending(Version { index, incarnation: Incarnation::FIRST });
            self.context.memory.advance(index);
        }
        Ok(CommittedBy::RunsOfSeveral(batches.count - 1))
    }

    /// Takes the records of a batch, and loads their cache lines before the first one is validated.
    fn take_records(&mut self, attempt: Attempt) {
        if attempt.is_first() {
            return;
        }
        let BlockContext { records, scheduler, .. } = self.context;
        self.taken.extend(scheduler.transactions_of(attempt.batch).map(|index| (index, records.take(index))));
        if self.taken.len() > 1 {
            for (_, taken) in &self.taken {
                if let Taken::Fresh(ran) = taken {
                    self.committer.prefetch(&ran.record);
                    // The read loads the cache line.
                    black_box(ran.yielded.is_some());
                }
            }
        }
    }

    /// The record of the transaction that comes next.
    fn next_taken(&mut self, index: TxIndex) -> Taken<S::Yield> {
        let Some((of, taken)) = self.taken.pop_front() else { return Taken::Nothing };
        assert_eq!(of, index, "the transactions of a batch are committed in order");
        taken
    }

    /// Commits a transaction: with its record if that holds, otherwise with a run here.
    fn commit(&mut self, version: Version, taken: Taken<S::Yield>) -> Result<CommitPath, C::Error> {
        let (ran, reason) = match taken {
            Taken::Fresh(ran) => match self.validate(&ran.record) {
                None => {
                    let ran_as = Version { incarnation: ran.incarnation, ..version };
                    self.commit_record(version, ran)?;
                    self.worker.log.end(|| TraceEventKind::Commit(ran_as));
                    return Ok(CommitPath::Record);
                }
                Some(conflict) => (Some(ran), GateReason::Conflict(conflict)),
            },
            Taken::Stale(ran) => (Some(ran), GateReason::Stale),
            Taken::Nothing => (None, GateReason::NoRecord),
        };
        let is_conflict = matches!(reason, GateReason::Conflict(_));
        if let Some(ran) = &ran {
            self.policy.missed(weight_of(ran));
            self.update_publication();
        }
        self.worker.counts.at_gate += 1;
        self.committer.run(version.index)?;
        self.worker.log.end(|| TraceEventKind::RunAtGate { index: version.index, reason });
        self.note_pending(version);
        if let Some(ran) = ran {
            // A record that was not marked stale may have missed an effect that is withheld.
            let is_miss = is_conflict && self.keeps_recent();
            let portion = if is_miss { Portion::RecentAndWithheld } else { Portion::Recent };
            self.publish(version, portion, Some(&ran.record));
            self.recycle(ran);
        }
        Ok(if is_conflict { CommitPath::StaleRecord } else { CommitPath::Run })
    }

    /// The first observation of a run that does not hold in the committed state, which is counted.
    fn validate(&mut self, record: &Record) -> Option<Conflict> {
        let conflict = self.committer.validate(record);
        if let Some(conflict) = conflict {
            self.worker.counts.stale_at_gate.count(conflict);
        }
        conflict
    }

    /// Commits a record. Effects that its run did not publish are kept, as if it had run here.
    fn commit_record(&mut self, version: Version, mut ran: Box<RunRecord<S::Yield>>) -> Result<(), C::Error> {
        // Published later, the effects of earlier runs here would seem to come after the record's.
        self.publish_pending();
        let weight = weight_of(&ran);
        self.worker.counts.time_committed += ran.time;
        let yielded = ran.yielded.take().expect("only runs that completed leave a record");
        let is_unpublished = ran.published == Published::Partly;
        if is_unpublished {
            self.worker.counts.unpublished += 1;
            self.committer.keep_effects(&ran.record);
        }
        self.committer.commit(version.index, &ran.record, yielded)?;
        if is_unpublished {
            self.note_pending(version);
        }
        self.worker.counts.committed += 1;
        let memory = self.context.memory;
        // Reading from a base with a high latency is worth publishing for others.
        if self.kept() != Publication::Off && !memory.base_has_high_latency() {
            self.policy.committed(ran.record.origin, weight);
            self.update_publication();
        }
        self.recycle(ran);
        Ok(())
    }

    fn recycle(&mut self, mut ran: Box<RunRecord<S::Yield>>) {
        ran.clear();
        self.used.push(ran);
    }

    /// Which effects the committer keeps: none where runs do not see what others publish.
    fn kept(&self) -> Publication {
        if self.context.memory.has_visible_writes() { self.publication } else { Publication::Off }
    }

    /// Whether the effects of runs here are kept, and not withheld.
    fn keeps_recent(&self) -> bool {
        matches!(self.kept(), Publication::Immediate | Publication::Deferred)
    }

    /// Records that the effects of this version are kept, if they are.
    fn note_pending(&mut self, version: Version) {
        if self.keeps_recent() {
            self.pending = Some(version);
        }
    }

    /// Hands the decision of the policy down to the memory and the committer, if it has changed.
    fn update_publication(&mut self) {
        let publication = self.policy.publication(self.speculation);
        if publication == self.publication {
            return;
        }
        if publication == Publication::OnMiss {
            self.publish_pending();
        }
        self.publication = publication;
        self.context.memory.set_publication(publication);
        let kept = self.kept();
        self.committer.set_publication(kept);
        if kept == Publication::Off {
            self.pending = None;
        }
    }

    fn publish_pending(&mut self) {
        if let Some(version) = self.pending {
            self.publish(version, Portion::Recent, None);
        }
    }

    /// Publishes effects that were kept and not published yet, in place of those of the record `before`.
    fn publish(&mut self, version: Version, portion: Portion, before: Option<&Record>) {
        self.pending = None;
        self.committer.take_effects(self.context.memory, portion, &mut self.effects);
        let stale = &mut self.worker.stale;
        self.context.memory.publish(Writer::Run(version), &self.effects, before, stale);
        self.worker.report_stale(version);
    }
}

/// The weight of a run that completed.
fn weight_of<Y: Weigh>(ran: &RunRecord<Y>) -> u64 {
    ran.yielded.as_ref().map_or(0, Weigh::weight)
}

#[cfg(not(feature = "shuttle"))]
#[cfg(test)]
mod tests;
