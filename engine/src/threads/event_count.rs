//! A counter of events, for threads that spin until the next event.
//!
//! What an event changes lies behind a lock of the caller, and the counter is advanced under that
//! lock. Thread A waits, thread B adds work:
//!
//! 1. A holds the lock, finds no work, takes a snapshot of the count, and releases the lock.
//! 2. A spins without the lock until the count differs from its snapshot.
//! 3. B takes the lock, adds work, advances the count, and releases the lock.
//! 4. A sees the new count, takes the lock, and finds the work.
//!
//! No event is lost: if step 3 precedes step 2, the snapshot is old and A does not spin.

use blockloom_state::sync::{AtomicU32, Ordering, relax};
use crossbeam_utils::CachePadded;

use crate::policy::tuning::PAUSES_PER_SPIN;

/// The counter, on a cache line of its own: waiting threads read it all the time, and must not slow
/// down the data of working threads.
#[derive(Debug, Default)]
pub(crate) struct EventCount(CachePadded<AtomicU32>);

/// The count at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EventSnapshot(u32);

impl EventCount {
    /// Counts an event. The caller holds the lock.
    pub(crate) fn advance(&self) {
        // ORDER: Relaxed, as a load and a store: the count changes only under the caller's lock, and a
        // thread that sees a new count takes that lock before it reads anything else.
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// The current count. Taken under the lock, it belongs to the data that was read under the same lock.
    pub(crate) fn snapshot(&self) -> EventSnapshot {
        // ORDER: Relaxed: see `advance`.
        EventSnapshot(self.0.load(Ordering::Relaxed))
    }

    /// Reads the count up to `reads` times. Whether it differs from `snapshot`.
    pub(crate) fn spin_until_changed(&self, snapshot: EventSnapshot, reads: u32) -> bool {
        (0..reads).any(|_| {
            (0..PAUSES_PER_SPIN).for_each(|_| relax());
            self.snapshot() != snapshot
        })
    }
}
