//! A count of what has changed, for threads that wait to hear of it.
//!
//! Owns nothing but the number. What changed stands behind the lock of whoever counts; the count
//! changes under that lock only, so who sees a new one finds what it tells of.

use blockloom_state::sync::{AtomicU32, Ordering, relax};

/// How long a thread rests between two looks: every look takes the line away from whoever writes it.
const RESTS: u32 = if cfg!(feature = "shuttle") { 1 } else { 16 };

/// The count, on a cache line of its own: who waits looks at it all the time, and must not disturb
/// those who work.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct EventCount(AtomicU32);

/// How much there was when somebody looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EventSnapshot(u32);

impl EventCount {
    /// Something has changed. To be called under the lock.
    pub(crate) fn add(&self) {
        // ORDER: Relaxed, and in two steps: the count only changes under the lock, which whoever sees
        // the new one takes next.
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// How much there is now. What was read under the same lock is what it tells of.
    pub(crate) fn seen(&self) -> EventSnapshot {
        // ORDER: Relaxed: see `add`.
        EventSnapshot(self.0.load(Ordering::Relaxed))
    }

    /// Looks so many times whether there is more by now.
    pub(crate) fn is_more_soon(&self, seen: EventSnapshot, looks: u32) -> bool {
        (0..looks).any(|_| {
            (0..RESTS).for_each(|_| relax());
            self.seen() != seen
        })
    }
}
