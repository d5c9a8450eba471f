//! What each transaction's latest speculative run observed, did and returned.
//!
//! A record is published in the multi-version memory by whoever made it, and taken by the gate, once:
//! what is published later is dropped. It stays when it is stale, so that the next run's effects can
//! replace its own. The room of those that are done with goes back to those who run ahead: what one
//! thread allocates and another frees costs both.

use std::time::Duration;

use blockloom_state::{Incarnation, Memory, Record, Telling, TxIndex, Version, Writer, sync::Mutex};

/// A speculative run, and what it left.
#[derive(Debug)]
pub(crate) struct Ran<Y> {
    pub(crate) incarnation: Incarnation,
    /// What it observed and does.
    pub(crate) record: Record,
    /// Whether others were told of it.
    pub(crate) telling: Telling,
    /// What it returned; nothing before it has come to its end.
    pub(crate) yielded: Option<Y>,
    /// How long it took, if runs are timed.
    pub(crate) time: Duration,
}

impl<Y> Default for Ran<Y> {
    fn default() -> Self {
        Self {
            incarnation: Incarnation::FIRST,
            record: Record::default(),
            telling: Telling::default(),
            yielded: None,
            time: Duration::ZERO,
        }
    }
}

impl<Y> Ran<Y> {
    /// Forgets everything but the room.
    pub(crate) fn clear(&mut self) {
        self.record.clear();
        (self.telling, self.yielded) = (Telling::default(), None);
    }
}

/// A place for each transaction's record.
#[derive(Debug)]
pub(crate) struct Records<Y> {
    places: Vec<Mutex<Place<Y>>>,
    /// Those that are done with.
    spare: Mutex<Vec<Box<Ran<Y>>>>,
}

#[derive(Debug)]
struct Place<Y> {
    /// The latest run. In a box: most places of a large block are never used.
    kept: Option<Box<Ran<Y>>>,
    state: State,
}

/// What is known of a transaction's latest run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// There was none, or it has not come to its end.
    #[default]
    Open,
    /// Nobody knows that it is stale.
    Fresh,
    /// It is.
    Stale,
    /// The gate has the transaction.
    Taken,
}

/// What the gate takes of a transaction.
#[derive(Debug)]
pub(crate) enum Taken<Y> {
    /// A record that may hold.
    Fresh(Box<Ran<Y>>),
    /// One that does not.
    Stale(Box<Ran<Y>>),
    /// Nothing.
    Nothing,
}

impl<Y> Taken<Y> {
    /// What it observed has changed since it was taken.
    pub(crate) fn spoil(&mut self) {
        *self = match std::mem::replace(self, Self::Nothing) {
            Self::Fresh(ran) => Self::Stale(ran),
            other => other,
        };
    }
}

impl<Y> Default for Place<Y> {
    fn default() -> Self {
        Self { kept: None, state: State::default() }
    }
}

impl<Y> Records<Y> {
    /// Places for so many transactions.
    pub(crate) fn new(transactions: usize) -> Self {
        Self { places: (0..transactions).map(|_| Mutex::default()).collect(), spare: Mutex::default() }
    }

    /// Room for the next run: of one that is done with, if there is any. `own` is what the thread has
    /// put aside.
    pub(crate) fn blank(&self, own: &mut Vec<Box<Ran<Y>>>) -> Box<Ran<Y>> {
        if own.is_empty() {
            std::mem::swap(&mut *self.spare.lock(), own);
        }
        own.pop().unwrap_or_default()
    }

    /// Puts those that are done with where others find them.
    pub(crate) fn give_back(&self, done: &mut Vec<Box<Ran<Y>>>) {
        if !done.is_empty() {
            self.spare.lock().append(done);
        }
    }

    /// Begins a run, unless there is a record that may hold, or the gate has the transaction.
    pub(crate) fn begin(&self, index: TxIndex) -> Need {
        let mut place = self.places[index.get()].lock();
        match place.state {
            State::Fresh | State::Taken => Need::None,
            State::Open | State::Stale => {
                place.state = State::Open;
                Need::Run
            }
        }
    }

    /// Publishes what a run did and keeps its record; tells who read what is no longer so. Answers what
    /// is done with: the record of the run before, or this one if it comes too late.
    pub(crate) fn publish(
        &self,
        memory: &Memory,
        index: TxIndex,
        mut ran: Box<Ran<Y>>,
        stale: &mut Vec<TxIndex>,
    ) -> Option<Box<Ran<Y>>> {
        let version = Version { index, incarnation: ran.incarnation };
        // The lock of a record is taken before those of the memory.
        let mut place = self.places[index.get()].lock();
        match place.state {
            State::Taken => return Some(ran),
            // It became stale while it ran.
            State::Stale => {}
            State::Open => place.state = State::Fresh,
            State::Fresh => unreachable!("one run of a transaction begins at a time"),
        }
        let before = place.kept.as_ref().map(|kept| &kept.record);
        ran.telling = memory.publish(Writer::Run(version), &ran.record, before, stale);
        if place.state == State::Stale {
            memory.predict(version, &ran.record);
        }
        place.kept.replace(ran)
    }

    /// What a transaction observed has changed.
    pub(crate) fn spoil(&self, index: TxIndex) {
        let mut place = self.places[index.get()].lock();
        if place.state != State::Taken {
            place.state = State::Stale;
        }
    }

    /// Makes predictions of what a transaction's latest run did, if that is stale.
    pub(crate) fn predict(&self, memory: &Memory, index: TxIndex) {
        let place = self.places[index.get()].lock();
        if let (State::Stale, Some(kept)) = (place.state, &place.kept) {
            memory.predict(Version { index, incarnation: kept.incarnation }, &kept.record);
        }
    }

    /// Takes a transaction's record, for good.
    pub(crate) fn take(&self, index: TxIndex) -> Taken<Y> {
        let mut place = self.places[index.get()].lock();
        let state = std::mem::replace(&mut place.state, State::Taken);
        match (state, place.kept.take()) {
            (State::Taken, _) => unreachable!("the gate takes each transaction once"),
            (_, None) => Taken::Nothing,
            (State::Fresh, Some(ran)) => Taken::Fresh(ran),
            (State::Open | State::Stale, Some(ran)) => Taken::Stale(ran),
        }
    }
}

/// Whether a transaction needs a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// It does.
    Run,
    /// It does not.
    None,
}

#[cfg(all(test, not(feature = "shuttle")))]
mod tests {
    use super::*;

    fn first() -> TxIndex {
        TxIndex::new(0)
    }

    fn publish(records: &Records<u32>, yielded: u32) {
        let ran = Box::new(Ran { yielded: Some(yielded), ..Ran::default() });
        records.publish(&Memory::default(), first(), ran, &mut Vec::new());
    }

    fn yielded(taken: Taken<u32>) -> Option<u32> {
        match taken {
            Taken::Fresh(ran) => ran.yielded,
            Taken::Stale(_) | Taken::Nothing => None,
        }
    }

    #[test]
    fn a_record_is_run_again_when_it_is_stale_and_not_before() {
        let records = Records::new(1);
        assert_eq!(records.begin(first()), Need::Run);
        publish(&records, 1);
        assert_eq!(records.begin(first()), Need::None);
        records.spoil(first());
        assert_eq!(records.begin(first()), Need::Run);
        publish(&records, 2);
        assert_eq!(yielded(records.take(first())), Some(2));
    }

    #[test]
    fn what_became_stale_while_it_ran_is_stale() {
        let records = Records::new(1);
        records.begin(first());
        records.spoil(first());
        publish(&records, 1);
        assert_eq!(records.begin(first()), Need::Run, "and one that is broken off is still needed");
        assert!(matches!(records.take(first()), Taken::Stale(_)));
    }

    #[test]
    fn what_was_taken_may_become_stale_as_well() {
        let records = Records::new(1);
        records.begin(first());
        publish(&records, 1);
        let mut taken = records.take(first());
        taken.spoil();
        assert!(matches!(taken, Taken::Stale(ran) if ran.yielded == Some(1)));
        let mut nothing = Taken::<u32>::Nothing;
        nothing.spoil();
        assert!(matches!(nothing, Taken::Nothing));
    }

    #[test]
    fn what_comes_after_the_gate_took_the_transaction_is_dropped() {
        let records = Records::new(1);
        records.begin(first());
        assert!(matches!(records.take(first()), Taken::Nothing));
        publish(&records, 1);
        records.spoil(first());
        assert_eq!(records.begin(first()), Need::None);
        assert!(records.places[0].lock().kept.is_none());
    }

    #[test]
    fn who_runs_ahead_finds_the_room_of_what_is_done_with() {
        let records = Records::new(1);
        records.begin(first());
        publish(&records, 1);
        let Taken::Fresh(mut ran) = records.take(first()) else { panic!("it may hold") };
        ran.record.accounts.reserve(100);
        ran.clear();
        records.give_back(&mut vec![ran]);
        let mut own = Vec::new();
        let again = records.blank(&mut own);
        assert!(again.record.accounts.capacity() >= 100 && again.yielded.is_none());
        assert_eq!(records.blank(&mut own).record.accounts.capacity(), 0, "there was one");
    }
}
