//! The allocator of the command. It can report the peak of memory in use.
//!
//! It is mimalloc: beside interpreting, revm mostly makes short-lived allocations.
//! It counts only during a measurement, because all threads share the counters.

use std::{
    alloc::{GlobalAlloc, Layout},
    sync::atomic::{AtomicBool, AtomicIsize, Ordering},
};

use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static IS_COUNTING: AtomicBool = AtomicBool::new(false);
/// Bytes in use, minus the bytes in use when counting began.
static IN_USE: AtomicIsize = AtomicIsize::new(0);
/// The maximum of `IN_USE`.
static PEAK: AtomicIsize = AtomicIsize::new(0);

struct Counting;

/// Runs `work` and returns the peak of memory in use during it, in bytes above the use before it.
/// Only one measurement at a time is valid.
pub(crate) fn with_peak<T>(work: impl FnOnce() -> T) -> (T, usize) {
    // ORDER: Relaxed in this file: no other data depends on the counters.
    IN_USE.store(0, Ordering::Relaxed);
    PEAK.store(0, Ordering::Relaxed);
    IS_COUNTING.store(true, Ordering::Relaxed);
    let result = work();
    IS_COUNTING.store(false, Ordering::Relaxed);
    (result, usize::try_from(PEAK.load(Ordering::Relaxed)).unwrap_or(0))
}

fn count(size: usize, sign: isize) {
    if IS_COUNTING.load(Ordering::Relaxed) {
        // No allocation is larger than `isize::MAX`.
        let change = sign * size as isize;
        let in_use = IN_USE.fetch_add(change, Ordering::Relaxed) + change;
        PEAK.fetch_max(in_use, Ordering::Relaxed);
    }
}

#[expect(unsafe_code, reason = "`GlobalAlloc` is an unsafe trait; this allocator only adds counters")]
// SAFETY: every call is forwarded to mimalloc unchanged.
unsafe impl GlobalAlloc for Counting {
    // SAFETY: the requirements are those of `GlobalAlloc::alloc`.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: the caller fulfils the requirements.
        unsafe { MiMalloc.alloc(layout) }
    }

    // SAFETY: the requirements are those of `GlobalAlloc::dealloc`.
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        // SAFETY: the caller fulfils the requirements.
        unsafe { MiMalloc.dealloc(pointer, layout) }
    }

    // SAFETY: the requirements are those of `GlobalAlloc::alloc_zeroed`.
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: the caller fulfils the requirements.
        unsafe { MiMalloc.alloc_zeroed(layout) }
    }

    // SAFETY: the requirements are those of `GlobalAlloc::realloc`.
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size, 1);
        count(layout.size(), -1);
        // SAFETY: the caller fulfils the requirements.
        unsafe { MiMalloc.realloc(pointer, layout, size) }
    }
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use super::*;

    #[test]
    fn the_peak_is_the_maximum_of_memory_in_use() {
        let megabytes = |count: usize| black_box(vec![1u8; count << 20]);
        let ((), peak) = with_peak(|| {
            drop(megabytes(8));
            let _kept = (megabytes(2), megabytes(3));
        });
        // Tests on other threads free a little meanwhile.
        assert!(((8 << 20) - (1 << 17)..9 << 20).contains(&peak), "{peak}");
    }
}
