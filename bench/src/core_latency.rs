//! Core-to-core latency: how long a write of one core takes to become visible on another.
//!
//! On a shared machine the latency can change from minute to minute, because the host moves virtual cores.
//! Parallel execution gets faster or slower with it, so reports print the latency beside their figures.

use std::{
    sync::{
        Barrier,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// How long one measurement lasts, and how many are made.
const LENGTH: Duration = Duration::from_millis(1);
const TIMES: usize = 9;
/// How often a thread reads the counter before it reads the clock.
const READS_PER_CLOCK: u32 = 200;

/// How long a write of one core took to become visible on another.
#[derive(Clone, Copy, Debug)]
pub struct CoreLatency(Duration);

impl CoreLatency {
    /// Measures for about ten milliseconds. `None` on a machine with one core.
    pub fn measure() -> Option<Self> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        // The minimum: both threads may start on one core.
        (0..TIMES).filter(|_| cores > 1).map(|_| ping_pong()).min().map(Self)
    }

    /// Measures again, and returns a line that reports both latencies.
    pub fn before_and_after(before: Option<Self>) -> Option<String> {
        let [before, after] = [before?, Self::measure()?].map(|Self(time)| time.as_nanos());
        Some(format!("core-to-core latency: {before} ns before, {after} ns after"))
    }
}

/// Two threads increment a counter in turn. Returns the time per increment.
fn ping_pong() -> Duration {
    let (counter, start_together) = (AtomicU32::new(0), Barrier::new(2));
    let increment = |parity| {
        start_together.wait();
        let start = Instant::now();
        loop {
            for _ in 0..READS_PER_CLOCK {
                // ORDER: Acquire and Release pair with those of the other thread.
                let now = counter.load(Ordering::Acquire);
                if now % 2 == parity {
                    counter.store(now + 1, Ordering::Release);
                }
                std::hint::spin_loop();
            }
            let time = start.elapsed();
            if time >= LENGTH {
                return time;
            }
        }
    };
    let time = thread::scope(|scope| {
        let other = scope.spawn(|| increment(1));
        increment(0).min(other.join().expect("the loop has nothing that panics"))
    });
    // ORDER: Relaxed: the other thread was joined. The count is not zero: this thread made the first increment.
    time / counter.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_cores_have_a_latency_and_a_single_core_has_none() {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let latency = CoreLatency::measure();
        assert_eq!(latency.is_some(), cores > 1);
        assert!(latency.is_none_or(|CoreLatency(time)| time > Duration::ZERO));
        assert_eq!(CoreLatency::before_and_after(latency).is_some(), cores > 1);
    }
}
