//! The record of each transaction's latest speculative run.
//!
//! A worker publishes a run in the multi-version memory and keeps its record here. The gate takes the record of each
//! transaction once; a run that ends later is dropped. A stale record stays until the next run replaces its effects.
//! This is the one place that knows whether a record is stale. The gate returns used records, because memory that
//! one thread allocates and another one frees costs both.

use std::time::Duration;

use blockloom_state::{Incarnation, Memory, Published, Record, TxIndex, Version, Writer, sync::Mutex};

/// A speculative run that completed.
#[derive(Debug)]
pub(crate) struct RunRecord<Y> {
    pub(crate) incarnation: Incarnation,
    /// Its read set and its write set.
    pub(crate) record: Record,
    /// Whether all of its effects were published.
    pub(crate) published: Published,
    /// What it returned; `None` before it completed.
    pub(crate) yielded: Option<Y>,
    /// How long it took, if runs are timed.
    pub(crate) time: Duration,
}

impl<Y> Default for RunRecord<Y> {
    fn default() -> Self {
        Self {
            incarnation: Incarnation::FIRST,
            record: Record::default(),
            published: Published::default(),
            yielded: None,
            time: Duration::ZERO,
        }
    }
}

impl<Y> RunRecord<Y> {
    /// Empties it, and keeps its capacity.
    pub(crate) fn clear(&mut self) {
        self.record.clear();
        (self.published, self.yielded) = (Published::default(), None);
    }
}

/// The records of a block: one entry for each transaction.
#[derive(Debug)]
pub(crate) struct Records<Y> {
    entries: Vec<Mutex<RecordEntry<Y>>>,
    /// Empty records for the workers.
    spare: Mutex<Vec<Box<RunRecord<Y>>>>,
}

#[derive(Debug)]
struct RecordEntry<Y> {
    /// The latest run that completed. Boxed, because most entries of a large block stay empty.
    latest: Option<Box<RunRecord<Y>>>,
    state: RecordState,
}

/// What is known of a transaction's latest run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum RecordState {
    /// No run was begun, or the latest one has not completed.
    #[default]
    Open,
    /// It completed, and is not known to be stale.
    Fresh,
    /// It is stale.
    Stale,
    /// The gate has taken the transaction.
    Taken,
}

/// What the gate takes of a transaction.
#[derive(Debug)]
pub(crate) enum Taken<Y> {
    /// A record that may hold.
    Fresh(Box<RunRecord<Y>>),
    /// A record that is stale.
    Stale(Box<RunRecord<Y>>),
    /// No record.
    Nothing,
}

/// Whether a transaction needs a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NextRun {
    /// It does.
    Needed,
    /// It has a record that may hold, or the gate has taken it.
    NotNeeded,
}

impl<Y> Default for RecordEntry<Y> {
    fn default() -> Self {
        Self { latest: None, state: RecordState::default() }
    }
}

impl<Y> Records<Y> {
    /// Entries for a number of transactions.
    pub(crate) fn new(transactions: usize) -> Self {
        Self { entries: (0..transactions).map(|_| Mutex::default()).collect(), spare: Mutex::default() }
    }

    /// An empty record for the next run: a used one if there is any. `own` are those of the calling thread.
    pub(crate) fn blank(&self, own: &mut Vec<Box<RunRecord<Y>>>) -> Box<RunRecord<Y>> {
        if own.is_empty() {
            std::mem::swap(&mut *self.spare.lock(), own);
        }
        own.pop().unwrap_or_default()
    }

    /// Returns used records for the workers.
    pub(crate) fn give_back(&self, used: &mut Vec<Box<RunRecord<Y>>>) {
        if !used.is_empty() {
            self.spare.lock().append(used);
        }
    }

    /// Begins a run if the transaction needs one.
    pub(crate) fn begin(&self, index: TxIndex) -> NextRun {
        let mut entry = self.entries[index.get()].lock();
        match entry.state {
            RecordState::Fresh | RecordState::Taken => NextRun::NotNeeded,
            RecordState::Open | RecordState::Stale => {
                entry.state = RecordState::Open;
                NextRun::Needed
            }
        }
    }

    /// Publishes the effects of a run and keeps its record; adds the transactions whose reads no longer hold to
    /// `stale`. Returns the record that is no longer needed: the one of the run before, or this one if the gate
    /// has taken the transaction.
    pub(crate) fn publish(
        &self,
        memory: &Memory,
        index: TxIndex,
        mut ran: Box<RunRecord<Y>>,
        stale: &mut Vec<TxIndex>,
    ) -> Option<Box<RunRecord<Y>>> {
        let version = Version { index, incarnation: ran.incarnation };
        // LOCKS: a record's lock is taken before those of the memory.
        let mut entry = self.entries[index.get()].lock();
        match entry.state {
            RecordState::Taken => return Some(ran),
            // It became stale during the run.
            RecordState::Stale => {}
            RecordState::Open => entry.state = RecordState::Fresh,
            RecordState::Fresh => unreachable!("one run of a transaction begins at a time"),
        }
        let before = entry.latest.as_ref().map(|latest| &latest.record);
        ran.published = memory.publish(Writer::Run(version), &ran.record, before, stale);
        if entry.state == RecordState::Stale {
            memory.predict(version, &ran.record);
        }
        entry.latest.replace(ran)
    }

    /// Marks a transaction's latest run stale.
    pub(crate) fn mark_stale(&self, index: TxIndex) {
        let mut entry = self.entries[index.get()].lock();
        if entry.state != RecordState::Taken {
            entry.state = RecordState::Stale;
        }
    }

    /// Turns the slot writes of a transaction's latest run into predictions, if the run is stale.
    pub(crate) fn predict(&self, memory: &Memory, index: TxIndex) {
        let entry = self.entries[index.get()].lock();
        if let (RecordState::Stale, Some(latest)) = (entry.state, &entry.latest) {
            memory.predict(Version { index, incarnation: latest.incarnation }, &latest.record);
        }
    }

    /// Takes a transaction's record for good.
    pub(crate) fn take(&self, index: TxIndex) -> Taken<Y> {
        let mut entry = self.entries[index.get()].lock();
        let state = std::mem::replace(&mut entry.state, RecordState::Taken);
        match (state, entry.latest.take()) {
            (RecordState::Taken, _) => unreachable!("the gate takes each transaction once"),
            (_, None) => Taken::Nothing,
            (RecordState::Fresh, Some(ran)) => Taken::Fresh(ran),
            (RecordState::Open | RecordState::Stale, Some(ran)) => Taken::Stale(ran),
        }
    }
}

#[cfg(not(feature = "shuttle"))]
#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use alloy_primitives::{Address, U256};
    use blockloom_state::{AccountObservation, AccountRecord, Origin, SlotRead, SlotRecord};

    use super::*;

    fn first() -> TxIndex {
        TxIndex::new(0)
    }

    fn publish(records: &Records<u32>, yielded: u32) {
        let ran = Box::new(RunRecord { yielded: Some(yielded), ..RunRecord::default() });
        records.publish(&Memory::default(), first(), ran, &mut Vec::new());
    }

    fn yielded(taken: Taken<u32>) -> Option<u32> {
        match taken {
            Taken::Fresh(ran) => ran.yielded,
            Taken::Stale(_) | Taken::Nothing => None,
        }
    }

    #[test]
    fn a_transaction_runs_again_once_its_record_is_stale() {
        let records = Records::new(1);
        assert_eq!(records.begin(first()), NextRun::Needed);
        publish(&records, 1);
        assert_eq!(records.begin(first()), NextRun::NotNeeded);
        records.mark_stale(first());
        assert_eq!(records.begin(first()), NextRun::Needed);
        publish(&records, 2);
        assert_eq!(yielded(records.take(first())), Some(2));
    }

    #[test]
    fn a_run_that_becomes_stale_while_it_runs_leaves_a_stale_record() {
        let records = Records::new(1);
        records.begin(first());
        records.mark_stale(first());
        publish(&records, 1);
        assert_eq!(records.begin(first()), NextRun::Needed, "a run after an aborted one is needed as well");
        assert!(matches!(records.take(first()), Taken::Stale(_)));
    }

    #[test]
    fn a_run_that_ends_after_the_gate_took_the_transaction_is_dropped() {
        let records = Records::new(1);
        records.begin(first());
        assert!(matches!(records.take(first()), Taken::Nothing));
        publish(&records, 1);
        records.mark_stale(first());
        assert_eq!(records.begin(first()), NextRun::NotNeeded);
        assert!(records.entries[0].lock().latest.is_none());
    }

    #[test]
    fn workers_reuse_the_records_that_the_gate_returns() {
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
        assert_eq!(records.blank(&mut own).record.accounts.capacity(), 0, "one record was returned");
    }

    #[test]
    fn the_slot_writes_of_a_stale_record_become_predictions() {
        let (records, memory, key) = (Records::new(1), Memory::default(), U256::from(5));
        let id = memory.insert_account(Address::ZERO, None, None);
        let account = AccountRecord {
            address: Address::ZERO,
            id: Some(id),
            observed: AccountObservation::NOTHING,
            effect: None,
        };
        let write = SlotRecord { account: 0, key, original: U256::ZERO, value: U256::ONE };
        let record = Record { accounts: vec![account], writes: vec![write], ..Record::default() };
        let ran = Box::new(RunRecord { record, yielded: Some(1), ..RunRecord::default() });
        records.begin(first());
        records.publish(&memory, first(), ran, &mut Vec::new());
        let read = || {
            let read_base = || Ok::<_, Infallible>(U256::ZERO);
            let Ok(read) = memory.slot(id, key, TxIndex::new(1), read_base);
            read
        };
        records.predict(&memory, first());
        assert_eq!(read(), SlotRead::Value(U256::ONE, Origin::Block), "the record is not stale");
        records.mark_stale(first());
        records.predict(&memory, first());
        assert_eq!(read(), SlotRead::Awaits(first()));
    }
}
