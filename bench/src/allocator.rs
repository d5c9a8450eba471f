//! The allocator of the command, which can say how much memory was in use at most.
//!
//! Many short-lived allocations are most of what revm does beside interpreting, so it is a fast one.
//! It counts only while somebody measures: counting is work, and all threads would share the count.

use std::{
    alloc::{GlobalAlloc, Layout},
    sync::atomic::{AtomicBool, AtomicIsize, Ordering},
};

use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static IS_COUNTING: AtomicBool = AtomicBool::new(false);
/// What is in use, beyond what was when counting began.
static IN_USE: AtomicIsize = AtomicIsize::new(0);
/// The most that was.
static PEAK: AtomicIsize = AtomicIsize::new(0);

struct Counting;

/// Does something, and says how many bytes more were in use meanwhile than before, at most. One at a
/// time may ask.
pub(crate) fn with_peak<T>(work: impl FnOnce() -> T) -> (T, usize) {
    // ORDER: Relaxed in this file: the numbers stand for themselves.
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

#[expect(unsafe_code, reason = "an allocator is unsafe to write, and this one only counts")]
// SAFETY: every call is handed on as it is.
unsafe impl GlobalAlloc for Counting {
    // SAFETY: asks of its caller what `GlobalAlloc::alloc` asks.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: as the caller promises.
        unsafe { MiMalloc.alloc(layout) }
    }

    // SAFETY: asks of its caller what `GlobalAlloc::dealloc` asks.
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        // SAFETY: as the caller promises.
        unsafe { MiMalloc.dealloc(pointer, layout) }
    }

    // SAFETY: asks of its caller what `GlobalAlloc::alloc_zeroed` asks.
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: as the caller promises.
        unsafe { MiMalloc.alloc_zeroed(layout) }
    }

    // SAFETY: asks of its caller what `GlobalAlloc::realloc` asks.
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size, 1);
        count(layout.size(), -1);
        // SAFETY: as the caller promises.
        unsafe { MiMalloc.realloc(pointer, layout, size) }
    }
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use super::*;

    #[test]
    fn the_peak_is_the_most_that_was_in_use_at_once() {
        let megabytes = |count: usize| black_box(vec![1u8; count << 20]);
        let ((), peak) = with_peak(|| {
            drop(megabytes(8));
            let _kept = (megabytes(2), megabytes(3));
        });
        assert!((8 << 20..9 << 20).contains(&peak), "{peak}");
    }
}
