//! What each transaction's latest speculative run observed, did and returned.
//!
//! A record is published in the multi-version memory by whoever made it, and taken by the gate. It
//! stays when it is stale, so that the next run's effects can replace its own.

use blockloom_state::{Incarnation, Memory, TxIndex, Version, Writer, sync::Mutex};

use crate::machine::Ran;

/// A place for each transaction's record.
#[derive(Debug)]
pub(crate) struct Records<Y> {
    places: Vec<Mutex<Option<Kept<Y>>>>,
}

/// A run's record, and which run it is.
type Kept<Y> = (Incarnation, Ran<Y>);

impl<Y> Records<Y> {
    /// Places for so many transactions.
    pub(crate) fn new(transactions: usize) -> Self {
        Self { places: (0..transactions).map(|_| Mutex::default()).collect() }
    }

    /// Publishes what a run did and keeps its record; tells who read what is no longer so.
    pub(crate) fn publish(&self, memory: &Memory, version: Version, ran: Ran<Y>, stale: &mut Vec<TxIndex>) {
        // The lock of a record is taken before those of the memory.
        let mut place = self.places[version.index.get()].lock();
        let before = place.as_ref().map(|(_, before)| &before.record);
        memory.publish(Writer::Run(version), &ran.record, before, stale);
        *place = Some((version.incarnation, ran));
    }

    /// Makes predictions of what a run did, unless a later run of the transaction has published.
    pub(crate) fn predict(&self, memory: &Memory, version: Version) {
        let place = self.places[version.index.get()].lock();
        if let Some((incarnation, ran)) = &*place
            && *incarnation == version.incarnation
        {
            memory.predict(version, &ran.record);
        }
    }

    /// Takes a transaction's record, for good.
    pub(crate) fn take(&self, index: TxIndex) -> Option<Ran<Y>> {
        self.places[index.get()].lock().take().map(|(_, ran)| ran)
    }
}
