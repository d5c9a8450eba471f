//! The processor time that each side of a comparison uses.
//!
//! Of the processor time of the process between start and end, the parallel side is charged with everything
//! except what the measuring thread used outside the parallel side. So its worker threads are charged
//! while they wait for the next block, too.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The processor time of both sides.
#[derive(Clone, Debug)]
pub struct CpuTime {
    process_at_start: Duration,
    /// Used by this thread outside the parallel side.
    outside: Duration,
    /// Used by this thread for the sequential side.
    sequential: Duration,
    /// Used by other threads for neither side.
    uncounted: Duration,
    thread_after_last: Duration,
}

impl CpuTime {
    /// Starts to count. From now on this thread must work for one of the sides, or for neither.
    pub fn start() -> Self {
        Self {
            process_at_start: used(ClockId::ProcessCPUTime),
            outside: Duration::ZERO,
            sequential: Duration::ZERO,
            uncounted: Duration::ZERO,
            thread_after_last: used(ClockId::ThreadCPUTime),
        }
    }

    /// Runs work of the sequential side.
    pub fn sequential<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let before = used(ClockId::ThreadCPUTime);
        let result = work();
        self.sequential += used(ClockId::ThreadCPUTime) - before;
        result
    }

    /// Runs work of the parallel side. What it leaves to other threads counts even after it returns.
    pub fn parallel<T>(&mut self, work: impl FnOnce() -> T) -> T {
        self.outside += used(ClockId::ThreadCPUTime) - self.thread_after_last;
        let result = work();
        self.thread_after_last = used(ClockId::ThreadCPUTime);
        result
    }

    /// Runs multi-threaded work of neither side. What it leaves to other threads after it returns counts for the
    /// parallel side.
    pub fn uncounted<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let used_by_others = || used(ClockId::ProcessCPUTime).saturating_sub(used(ClockId::ThreadCPUTime));
        let before = used_by_others();
        let result = work();
        self.uncounted += used_by_others().saturating_sub(before);
        result
    }

    /// The processor time of the parallel side so far / that of the sequential side.
    pub fn ratio(&self) -> f64 {
        let outside = self.outside + (used(ClockId::ThreadCPUTime) - self.thread_after_last);
        let parallel =
            (used(ClockId::ProcessCPUTime) - self.process_at_start).saturating_sub(outside + self.uncounted);
        if self.sequential.is_zero() { 0.0 } else { parallel.as_secs_f64() / self.sequential.as_secs_f64() }
    }
}

/// The processor time that the process or this thread has used.
pub fn used(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    let seconds = u64::try_from(time.tv_sec).expect("processor time is not negative");
    Duration::new(seconds, u32::try_from(time.tv_nsec).expect("a second has 10^9 nanoseconds"))
}
