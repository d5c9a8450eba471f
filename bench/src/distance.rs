//! How far apart two cores are: how long it takes until one sees what the other wrote.
//!
//! On a machine that others share that may change from minute to minute, as the host moves things
//! about, and executing in parallel is faster or slower with it. So it is measured beside everything.

use std::{
    sync::{
        Barrier,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// How long two threads take turns, and how often.
const LENGTH: Duration = Duration::from_millis(1);
const TIMES: usize = 9;
/// How often a thread looks whether it is its turn before it looks at the clock.
const LOOKS: u32 = 200;

/// How long it took until one core saw what another wrote.
#[derive(Clone, Copy, Debug)]
pub struct Distance(Duration);

impl Distance {
    /// Measures it for about ten milliseconds; nothing on a machine with one core.
    pub fn measure() -> Option<Self> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        // The least: both threads may begin on one core.
        (0..TIMES).filter(|_| cores > 1).map(|_| take_turns()).min().map(Self)
    }

    /// A line that tells what it was before, and what it is now.
    pub fn then_and_now(then: Option<Self>) -> Option<String> {
        let [then, now] = [then?, Self::measure()?].map(|Self(time)| time.as_nanos());
        Some(format!("one core saw what another wrote after {then} ns before, {now} ns afterwards"))
    }
}

/// Two threads count a number up in turn. How long each turn took.
fn take_turns() -> Duration {
    let (number, both) = (AtomicU32::new(0), Barrier::new(2));
    let turns = |parity| {
        both.wait();
        let start = Instant::now();
        loop {
            for _ in 0..LOOKS {
                // ORDER: Acquire and Release pair with those of the other thread: each hands its turn on.
                let now = number.load(Ordering::Acquire);
                if now % 2 == parity {
                    number.store(now + 1, Ordering::Release);
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
        let other = scope.spawn(|| turns(1));
        turns(0).min(other.join().expect("it does nothing that can panic"))
    });
    // ORDER: Relaxed: the other thread is gone. This one took a turn at least.
    time / number.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_have_a_distance_if_there_are_several() {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let distance = Distance::measure();
        assert_eq!(distance.is_some(), cores > 1);
        assert!(distance.is_none_or(|Distance(time)| time > Duration::ZERO));
        assert_eq!(Distance::then_and_now(distance).is_some(), cores > 1);
    }
}
