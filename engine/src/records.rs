//! What each transaction's latest speculative run observed, did and returned.
//!
//! A record is published in the multi-version memory by whoever made it, and taken by the gate, once:
//! what is published later is dropped. It stays when it is stale, so that the next run's effects can
//! replace its own.

use blockloom_state::{Incarnation, Memory, TxIndex, Version, Writer, sync::Mutex};

use crate::machine::Ran;

/// A place for each transaction's record.
#[derive(Debug)]
pub(crate) struct Records<Y> {
    places: Vec<Mutex<Place<Y>>>,
}

#[derive(Debug)]
struct Place<Y> {
    /// What the latest run recorded, and which run it was. In a box: most places of a large block
    /// are never used.
    kept: Option<Box<(Incarnation, Ran<Y>)>>,
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
    Fresh(Ran<Y>),
    /// One that does not.
    Stale(Ran<Y>),
    /// Nothing.
    Nothing,
}

impl<Y> Default for Place<Y> {
    fn default() -> Self {
        Self { kept: None, state: State::default() }
    }
}

impl<Y> Records<Y> {
    /// Places for so many transactions.
    pub(crate) fn new(transactions: usize) -> Self {
        Self { places: (0..transactions).map(|_| Mutex::default()).collect() }
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

    /// Publishes what a run did and keeps its record; tells who read what is no longer so.
    pub(crate) fn publish(&self, memory: &Memory, version: Version, ran: Ran<Y>, stale: &mut Vec<TxIndex>) {
        // The lock of a record is taken before those of the memory.
        let mut place = self.places[version.index.get()].lock();
        match place.state {
            State::Taken => return,
            // It became stale while it ran.
            State::Stale => {}
            State::Open => place.state = State::Fresh,
            State::Fresh => unreachable!("one run of a transaction begins at a time"),
        }
        let before = place.kept.as_ref().map(|kept| &kept.1.record);
        memory.publish(Writer::Run(version), &ran.record, before, stale);
        if place.state == State::Stale {
            memory.predict(version, &ran.record);
        }
        place.kept = Some(Box::new((version.incarnation, ran)));
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
            let (incarnation, ran) = &**kept;
            memory.predict(Version { index, incarnation: *incarnation }, &ran.record);
        }
    }

    /// Takes a transaction's record, for good.
    pub(crate) fn take(&self, index: TxIndex) -> Taken<Y> {
        let mut place = self.places[index.get()].lock();
        let state = std::mem::replace(&mut place.state, State::Taken);
        match (state, place.kept.take().map(|kept| kept.1)) {
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
    use std::time::Duration;

    use blockloom_state::Record;

    use super::*;

    fn first() -> TxIndex {
        TxIndex::new(0)
    }

    fn publish(records: &Records<u32>, yielded: u32) {
        let version = Version { index: first(), incarnation: Incarnation::FIRST };
        let ran = Ran { record: Record::default(), yielded, time: Duration::ZERO };
        records.publish(&Memory::default(), version, ran, &mut Vec::new());
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
        assert!(matches!(records.take(first()), Taken::Fresh(Ran { yielded: 2, .. })));
    }

    #[test]
    fn what_became_stale_while_it_ran_is_stale() {
        let records = Records::new(1);
        records.begin(first());
        records.spoil(first());
        publish(&records, 1);
        assert_eq!(records.begin(first()), Need::Run, "and one that is broken off is still needed");
        assert!(matches!(records.take(first()), Taken::Stale(Ran { yielded: 1, .. })));
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
}
