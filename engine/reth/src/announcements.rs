//! The transactions of payloads, announced to the executors of their blocks.
//!
//! reth's payload validator first asks for a payload's transactions, decodes them and recovers their senders on a thread
//! pool, and gives each to the block's executor as it comes. What is recovered is kept here as well, so that the executor
//! has the whole block when it gets the first transaction.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, ThreadId},
    time::Duration,
};

use alloy_primitives::B256;
use blockloom_engine::Transaction;
use revm::context::BlockEnv;

/// The most payloads that are kept: more are not under way at once, and one that is never executed goes.
const KEPT: usize = 4;

/// The longest wait without another transaction. It ends only the wait for a caller that recovers transactions when the
/// executor has taken earlier ones: reth's validator recovers all of them in any case, within milliseconds.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What tells a payload from others, for its announcement and for the executor of its block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BlockKey {
    parent_hash: B256,
    env: BlockEnv,
}

impl BlockKey {
    pub(crate) fn new(parent_hash: B256, env: &BlockEnv) -> Self {
        Self { parent_hash, env: env.clone() }
    }
}

/// A payload, and what tells it from others.
type Announced = (BlockKey, Arc<Payload>);

/// The latest payloads that were announced and not executed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Announcements(Arc<Mutex<Vec<Announced>>>);

impl Announcements {
    /// Announces a payload with this number of transactions. Two payloads may have the same key: executors notice a
    /// transaction that is not the announced one.
    pub(crate) fn announce(&self, key: BlockKey, transactions: usize) -> Sender {
        let payload = Arc::new(Payload::new(transactions));
        let mut payloads = lock(&self.0);
        payloads.retain(|(other, _)| *other != key);
        if payloads.len() == KEPT {
            payloads.remove(0);
        }
        payloads.push((key, Arc::clone(&payload)));
        Sender(payload)
    }

    /// Takes the payload of a block.
    pub(crate) fn take(&self, key: &BlockKey) -> Option<Arc<Payload>> {
        let mut payloads = lock(&self.0);
        let place = payloads.iter().position(|(other, _)| other == key)?;
        Some(payloads.remove(place).1)
    }
}

/// The transactions of a payload, as far as they are recovered.
#[derive(Debug)]
pub(crate) struct Payload {
    recovered: Mutex<Recovered>,
    /// Notified when all transactions are there, or one is not going to come.
    complete: Condvar,
}

#[derive(Debug)]
struct Recovered {
    transactions: Vec<Option<Transaction>>,
    missing: usize,
    is_withdrawn: bool,
    /// The thread that recovered the last one.
    recovered_by: Option<ThreadId>,
}

impl Payload {
    fn new(transactions: usize) -> Self {
        let recovered = Recovered {
            transactions: vec![None; transactions],
            missing: transactions,
            is_withdrawn: false,
            recovered_by: None,
        };
        Self { recovered: Mutex::new(recovered), complete: Condvar::new() }
    }

    /// Waits for the transactions. `None` if one of them is not going to come, as far as can be known: if the calling thread
    /// recovers them, they cannot come while it waits.
    pub(crate) fn wait(&self) -> Option<Vec<Transaction>> {
        let mut recovered = lock(&self.recovered);
        while recovered.missing > 0 {
            if recovered.is_withdrawn || recovered.recovered_by == Some(thread::current().id()) {
                return None;
            }
            let missing = recovered.missing;
            let waited = self.complete.wait_timeout(recovered, LONGEST_PAUSE);
            let timeout;
            (recovered, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            if timeout.timed_out() && recovered.missing == missing {
                return None;
            }
        }
        std::mem::take(&mut recovered.transactions).into_iter().collect()
    }
}

/// Sends the transactions of a payload to its executor. If it is dropped too early, the payload is withdrawn.
#[derive(Debug)]
pub(crate) struct Sender(Arc<Payload>);

impl Sender {
    /// Sends the transaction at this place of the payload.
    pub(crate) fn send(&self, place: usize, transaction: Transaction) {
        let mut recovered = lock(&self.0.recovered);
        let Some(slot @ None) = recovered.transactions.get_mut(place) else { return };
        *slot = Some(transaction);
        recovered.missing -= 1;
        recovered.recovered_by = Some(thread::current().id());
        if recovered.missing == 0 {
            self.0.complete.notify_all();
        }
    }

    /// Withdraws the payload: one of its transactions cannot be recovered.
    pub(crate) fn withdraw(&self) {
        lock(&self.0.recovered).is_withdrawn = true;
        self.0.complete.notify_all();
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.withdraw();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code that can panic runs under the locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::{thread, time::Duration};

    use super::*;

    fn transaction(nonce: u64) -> Transaction {
        let env = revm::context::TxEnv { nonce, ..Default::default() };
        Transaction { hash: B256::from(alloy_primitives::U256::from(nonce)), env }
    }

    fn key(number: u8) -> BlockKey {
        BlockKey::new(B256::repeat_byte(number), &BlockEnv::default())
    }

    #[test]
    fn an_executor_waits_for_all_transactions_in_whatever_order_they_come() {
        let announcements = Announcements::default();
        let sender = announcements.announce(key(1), 3);
        let payload = announcements.take(&key(1)).unwrap();
        let waiting = thread::spawn(move || payload.wait());
        for place in [2, 0, 1] {
            thread::sleep(Duration::from_millis(1));
            sender.send(place, transaction(place as u64));
        }
        assert_eq!(waiting.join().unwrap(), Some([0, 1, 2].map(transaction).to_vec()));
    }

    #[test]
    fn a_payload_whose_sender_is_dropped_too_early_is_withdrawn() {
        let announcements = Announcements::default();
        let sender = announcements.announce(key(1), 2);
        let payload = announcements.take(&key(1)).unwrap();
        let waiting = thread::spawn(move || payload.wait());
        sender.send(0, transaction(0));
        drop(sender);
        assert_eq!(waiting.join().unwrap(), None);
    }

    #[test]
    fn a_sender_that_is_dropped_at_the_end_withdraws_nothing() {
        let announcements = Announcements::default();
        announcements.announce(key(1), 1).send(0, transaction(7));
        assert_eq!(announcements.take(&key(1)).unwrap().wait(), Some(vec![transaction(7)]));
        assert!(announcements.take(&key(1)).is_none(), "it is taken once");
    }

    #[test]
    fn a_thread_does_not_wait_for_transactions_that_it_recovers_itself() {
        let announcements = Announcements::default();
        let sender = announcements.announce(key(1), 2);
        sender.send(0, transaction(0));
        assert_eq!(announcements.take(&key(1)).unwrap().wait(), None);
    }

    #[test]
    fn transactions_that_do_not_come_are_not_waited_for_forever() {
        let announcements = Announcements::default();
        let _sender = announcements.announce(key(1), 2);
        assert_eq!(announcements.take(&key(1)).unwrap().wait(), None);
    }

    #[test]
    fn only_the_latest_payloads_are_kept() {
        let announcements = Announcements::default();
        let _senders: Vec<_> = (0..6).map(|number| announcements.announce(key(number), 1)).collect();
        let kept = (0..6).filter(|number| announcements.take(&key(*number)).is_some());
        assert_eq!(kept.collect::<Vec<_>>(), [2, 3, 4, 5]);
    }
}
