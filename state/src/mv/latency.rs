//! Detects a high-latency base: ignores the first cold read and preemption.
//!
//! Caching the answers of a base in memory does not pay: a locked insert takes as long as another read. Caching the
//! answers of a disk or a remote base does. Some reads are therefore timed, with the only clock of this crate. A
//! wrong result costs time, never an outcome.

use std::time::{Duration, Instant};

use alloy_primitives::Address;

use crate::model::base::Base;

/// The first read is not timed, because it is cold. This many reads after it are timed.
const FIRST_TIMED: u32 = 8;
/// After these, one of this many reads is timed.
const TIMED_EVERY: u32 = 32;
/// The least duration of a slow read, which does not come from memory. In a memory many times as large as the
/// processor's caches, a read takes 1 to 2 us, and one in a hundred takes longer.
const SLOW_READ: Duration = Duration::from_micros(4);
/// The least number of slow reads. Fewer may come from preemption.
const MIN_SLOW_READS: u32 = 3;
/// One of this many timed reads must be slow. The others may come from a cache of the base.
const SLOW_EVERY: u32 = 4;

/// Detects a high-latency base with a few reads of these accounts. The first one does not count.
pub fn has_high_latency<B: Base + ?Sized>(base: &B, accounts: impl Iterator<Item = Address>) -> bool {
    let mut latency = LatencyMeter::default();
    accounts.take(1 + FIRST_TIMED as usize).any(|account| {
        // A later read reports the error.
        let _ = latency.measure(|| base.basic_ref(account));
        latency.is_high()
    })
}

/// The measured latency of a base.
#[derive(Debug, Default)]
pub(crate) struct LatencyMeter {
    reads: u32,
    timed: u32,
    slow: u32,
}

impl LatencyMeter {
    /// Reads the base, and times some of the reads.
    #[inline]
    pub(crate) fn measure<T>(&mut self, read: impl FnOnce() -> T) -> T {
        self.reads = self.reads.wrapping_add(1);
        // The model checker repeats schedules, so that no clock may decide anything there.
        let is_timed = (2..=1 + FIRST_TIMED).contains(&self.reads) || self.reads.is_multiple_of(TIMED_EVERY);
        if !is_timed || cfg!(feature = "shuttle") {
            return read();
        }
        let start = Instant::now();
        let result = read();
        self.add(start.elapsed());
        result
    }

    fn add(&mut self, duration: Duration) {
        self.timed += 1;
        self.slow += u32::from(duration >= SLOW_READ);
    }

    /// Whether enough of the timed reads were slow.
    #[inline]
    pub(crate) fn is_high(&self) -> bool {
        let is_modelled = cfg!(feature = "shuttle") && self.reads.is_multiple_of(2);
        (self.slow >= MIN_SLOW_READS && SLOW_EVERY * self.slow >= self.timed) || is_modelled
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use alloy_primitives::{B256, U256};
    use revm_database_interface::DatabaseRef;
    use revm_state::{AccountInfo, Bytecode};

    use super::*;
    use crate::model::base::MissingCode;

    /// An empty base whose reads are slow if `is_slow` says so of the number of the read.
    struct SlowEmptyBase<F> {
        is_slow: F,
        reads: AtomicU32,
    }

    impl<F: Fn(u32) -> bool + Sync> DatabaseRef for SlowEmptyBase<F> {
        type Error = MissingCode;

        fn basic_ref(&self, _: Address) -> Result<Option<AccountInfo>, MissingCode> {
            // ORDER: Relaxed: only one thread reads.
            let read = self.reads.fetch_add(1, Ordering::Relaxed);
            let start = Instant::now();
            while (self.is_slow)(read) && start.elapsed() < 2 * SLOW_READ {}
            Ok(None)
        }

        fn code_by_hash_ref(&self, _: B256) -> Result<Bytecode, MissingCode> {
            unreachable!("no code is read")
        }

        fn storage_ref(&self, _: Address, _: U256) -> Result<U256, MissingCode> {
            unreachable!("no slot is read")
        }

        fn block_hash_ref(&self, _: u64) -> Result<B256, MissingCode> {
            unreachable!("no block hash is read")
        }
    }

    fn is_high(accounts: usize, is_slow: impl Fn(u32) -> bool + Sync) -> bool {
        let base = SlowEmptyBase { is_slow, reads: AtomicU32::new(0) };
        has_high_latency(&base, std::iter::repeat_n(Address::ZERO, accounts))
    }

    #[test]
    fn a_few_reads_detect_a_high_latency() {
        assert!(is_high(4, |_| true));
        assert!(is_high(9, |read| read % 2 == 0), "the base has a cache");
        assert!(!is_high(9, |read| read < 2), "the first read is cold, and the second is preempted");
        assert!(is_high(9, |read| read >= 6), "the last reads count as well");
        assert!(!is_high(9, |_| false));
        assert!(!is_high(3, |_| true), "the reads are too few");
    }

    #[test]
    fn the_latency_is_high_with_several_slow_reads_among_not_too_many() {
        let mut latency = LatencyMeter::default();
        let mut add = |count: usize, duration| {
            (0..count).for_each(|_| latency.add(duration));
            latency.is_high()
        };
        assert!(!add(0, SLOW_READ), "there is no read");
        assert!(!add(2, Duration::from_secs(1)), "preemption is possible");
        assert!(add(1, SLOW_READ));
        assert!(add(9, Duration::ZERO), "the base may have a cache");
        assert!(!add(1, Duration::ZERO));
    }
}
