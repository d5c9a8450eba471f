//! The gate: the one place where a transaction becomes final.
//!
//! Owns the committed state and the order of commits. Promises that each transaction is committed
//! once, in order, and only with what a run on committed state did, or with a record whose every
//! observation holds in the committed state: the EVM being deterministic, its effects are then
//! those of sequential execution. While somebody else runs the frontier it speculates itself.

use std::{collections::VecDeque, hint::black_box};

use blockloom_state::{Audience, Keeping, Record, Share, Telling, TxIndex, Version, Writer};

use crate::{
    block::config::Spread,
    parallel::{
        records::{Ran, Taken},
        scheduler::{GateTask, batch::Turn, status::Passed},
        traits::{Committer, Speculator, Weigh},
        worker::{Loom, Worker},
    },
    policy::publication::{Hush, Word},
};

/// The gate of one block, and the worker that its thread is when there is nothing to judge.
pub(crate) struct Gate<'g, 'l, C, S, Y, F> {
    loom: &'l Loom<'l, Y>,
    committer: &'g mut C,
    pub(crate) worker: Worker<'l, S, Y, F>,
    /// The effects of the run before; kept for its room.
    effects: Record,
    /// The last transaction whose effects are kept here, if nobody was told of them.
    untold: Option<Version>,
    keeping: Keeping,
    hush: Hush,
    /// What was taken of the transactions that come next.
    taken: VecDeque<(TxIndex, Taken<Y>)>,
    /// Records that are done with.
    done: Vec<Box<Ran<Y>>>,
}

/// How a transaction was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// With its record.
    Recorded,
    /// By a run here: its record does not hold.
    Refused,
    /// By a run here.
    Ran,
}

impl<'g, 'l, C, S, F> Gate<'g, 'l, C, S, S::Yield, F>
where
    S: Speculator<'l>,
    S::Yield: Weigh,
    C: Committer<Yield = S::Yield>,
    F: Fn() -> S,
{
    pub(crate) fn new(
        loom: &'l Loom<'l, S::Yield>,
        committer: &'g mut C,
        worker: Worker<'l, S, S::Yield, F>,
        spread: Spread,
    ) -> Self {
        Self {
            loom,
            committer,
            worker,
            effects: Record::default(),
            untold: None,
            keeping: Keeping::Kept,
            hush: Hush::new(spread),
            taken: VecDeque::new(),
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
    /// is committed; while there is no audience it is kept, and the next who has one tells of it as
    /// well. While those who run ahead are hushed it is kept back; once they have spoken up it is told in
    /// portions as somebody misses it.
    fn take(&mut self, turn: Turn, audience: Audience) -> Result<Passed, C::Error> {
        let audience = self.hush.audience(audience);
        self.loom.memory.set_audience(audience);
        self.keep(match audience {
            Audience::Nobody => Keeping::Forgotten,
            _ if !self.loom.memory.is_clear() => Keeping::Forgotten,
            _ => self.hush.keeping(),
        });
        self.take_records(turn);
        let (mut recorded, mut refused, mut all) = (0, 0, 0);
        for index in self.loom.scheduler.within(turn.stretch) {
            all += 1;
            let taken = self.next_taken(index);
            match self.pass(turn.version(index), taken)? {
                How::Recorded => recorded += 1,
                How::Refused => refused += 1,
                How::Ran => {}
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

    /// Takes the records of a stretch, and looks at all of them before the first is judged.
    fn take_records(&mut self, turn: Turn) {
        if turn.is_first() {
            return;
        }
        let Loom { records, scheduler, .. } = self.loom;
        self.taken.extend(scheduler.within(turn.stretch).map(|index| (index, records.take(index))));
        if self.taken.len() > 1 {
            for (_, taken) in &self.taken {
                if let Taken::Fresh(ran) = taken {
                    self.committer.fetch(&ran.record);
                    // Looked at for the line that it lies in.
                    black_box(ran.yielded.is_some());
                }
            }
        }
    }

    /// What was taken of a transaction, which is next.
    fn next_taken(&mut self, index: TxIndex) -> Taken<S::Yield> {
        let Some((of, taken)) = self.taken.pop_front() else { return Taken::Nothing };
        assert_eq!(of, index, "a stretch is passed in order");
        taken
    }

    /// Commits a transaction: with its record if that holds, with a run here if not.
    fn pass(&mut self, version: Version, taken: Taken<S::Yield>) -> Result<How, C::Error> {
        let (ran, how) = match taken {
            Taken::Fresh(mut ran) => {
                if self.holds(&ran.record) {
                    // Told later, what ran here before would seem to come after the record.
                    self.tell_of_untold();
                    let weight = weight_of(&ran);
                    self.commit(version, &mut ran)?;
                    // What takes long to ask for is worth remembering for others; where nothing is kept
                    // nobody is told anyway.
                    if self.keeping != Keeping::Forgotten && !self.loom.memory.is_base_slow() {
                        let word = self.hush.committed(ran.record.origin, weight);
                        self.pass_on(word);
                    }
                    self.done_with(ran);
                    return Ok(How::Recorded);
                }
                (Some(ran), How::Refused)
            }
            Taken::Stale(ran) => (Some(ran), How::Ran),
            Taken::Nothing => (None, How::Ran),
        };
        if let Some(ran) = &ran {
            let word = self.hush.missed(weight_of(ran));
            self.pass_on(word);
        }
        self.run_here(version)?;
        if let Some(ran) = ran {
            // If nobody had said that it is stale, it may have missed what is kept back.
            let is_more_missed = how == How::Refused && self.keeping == Keeping::Kept;
            let share = if is_more_missed { Share::AndMore } else { Share::Latest };
            self.tell(version, share, Some(&ran.record));
            self.done_with(ran);
        }
        Ok(how)
    }

    /// Whether every observation of a run holds in the committed state; counts it if not.
    fn holds(&mut self, record: &Record) -> bool {
        let stale = self.committer.judge(record);
        if let Some(kind) = stale {
            self.worker.counts.stale_at_gate.count(kind);
        }
        stale.is_none()
    }

    /// Commits what a run recorded. What nobody was told of is kept as if it had run here.
    fn commit(&mut self, version: Version, ran: &mut Ran<S::Yield>) -> Result<(), C::Error> {
        self.worker.counts.time_committed += ran.time;
        let yielded = ran.yielded.take().expect("only runs that came to their end are kept");
        let is_untold = ran.telling == Telling::Untold;
        if is_untold {
            self.worker.counts.unpublished += 1;
            self.committer.adopt(&ran.record);
        }
        self.committer.commit(version.index, &ran.record, yielded)?;
        if is_untold {
            self.keeps(version);
        }
        self.worker.counts.committed += 1;
        Ok(())
    }

    /// Passes a word on to those who run ahead.
    fn pass_on(&mut self, word: Word) {
        match word {
            Word::GoOn => {}
            Word::Hush => {
                self.tell_of_untold();
                self.loom.memory.hush();
                self.keep(Keeping::KeptBack);
            }
            Word::SpeakUp => {
                self.loom.memory.speak_up();
                self.keep(Keeping::Kept);
            }
        }
    }

    fn done_with(&mut self, mut ran: Box<Ran<S::Yield>>) {
        ran.clear();
        self.done.push(ran);
    }

    fn run_here(&mut self, version: Version) -> Result<(), C::Error> {
        self.worker.counts.at_gate += 1;
        self.committer.run(version.index)?;
        self.keeps(version);
        Ok(())
    }

    /// What this version did is kept, if anything is.
    fn keeps(&mut self, version: Version) {
        if self.keeping == Keeping::Kept {
            self.untold = Some(version);
        }
    }

    fn keep(&mut self, keeping: Keeping) {
        if keeping != self.keeping {
            self.keeping = keeping;
            self.committer.keep(keeping);
            if keeping == Keeping::Forgotten {
                self.untold = None;
            }
        }
    }

    fn tell_of_untold(&mut self) {
        if let Some(version) = self.untold {
            self.tell(version, Share::Latest, None);
        }
    }

    /// Publishes what ran here and was not told yet, in place of what is in `before`.
    fn tell(&mut self, version: Version, share: Share, before: Option<&Record>) {
        self.untold = None;
        self.committer.take_effects(self.loom.memory, share, &mut self.effects);
        let stale = &mut self.worker.stale;
        self.loom.memory.publish(Writer::Run(version), &self.effects, before, stale);
        for (index, taken) in self.taken.iter_mut().filter(|(index, _)| stale.contains(index)) {
            taken.spoil();
            if let Taken::Stale(ran) = taken {
                let version = Version { index: *index, incarnation: ran.incarnation };
                self.loom.memory.predict(version, &ran.record);
            }
        }
        self.loom.report_stale(stale);
    }
}

/// What a run that came to its end weighs.
fn weight_of<Y: Weigh>(ran: &Ran<Y>) -> u64 {
    ran.yielded.as_ref().map_or(0, Weigh::weight)
}

#[cfg(all(test, not(feature = "shuttle")))]
mod tests;
