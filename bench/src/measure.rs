//! Both sides of a comparison, in one process and in turn.
//!
//! The sequential side is the sequential executor, which a benchmark of its own holds to a bare revm
//! loop. Times are medians over the rounds. Of the processor time that the process used between the
//! first round and the last, all is the parallel side's that this thread did not use outside it:
//! threads that wait for the next block are counted.

use std::time::{Duration, Instant};

use blockloom_engine::{Block, BlockError, Engine, Outcome};
use blockloom_state::Base;
use rustix::time::{ClockId, clock_gettime};

/// Who executes a block both ways.
#[derive(Clone, Copy, Debug)]
pub struct Sides<'e> {
    /// The sequential executor.
    pub sequential: &'e Engine,
    /// The parallel one.
    pub parallel: &'e Engine,
}

/// What executing a block both ways took.
#[derive(Clone, Debug, Default)]
pub struct Comparison {
    /// The median time of the sequential side.
    pub sequential: Duration,
    /// The median time of the parallel side.
    pub parallel: Duration,
    /// The best times of both, the sequential side's first: what other programs on the machine took
    /// away is least in them.
    pub best: [Duration; 2],
    /// The runs of transactions in the last parallel round.
    pub incarnations: u64,
    /// Processor time of the parallel side over that of the sequential one, over all rounds.
    pub cpu_ratio: f64,
    /// The first execution that yielded another outcome than the first, and where they part.
    pub difference: Option<String>,
}

impl Comparison {
    /// How many times as fast the parallel side is; nothing if it took no time that can be measured.
    pub fn ratio(&self) -> Option<f64> {
        let ratio = self.sequential.as_secs_f64() / self.parallel.as_secs_f64();
        ratio.is_finite().then_some(ratio)
    }
}

impl Sides<'_> {
    /// Executes a block in so many rounds, each side once in each, and compares whatever comes out.
    /// Stops before a round if `go_on` says no. Answers what the first execution yielded.
    pub fn compare<B: Base>(
        &self,
        base: &B,
        block: &Block,
        rounds: usize,
        go_on: impl Fn() -> bool,
    ) -> (Result<Outcome, BlockError>, Comparison) {
        let (mut comparison, mut processor) = (Comparison::default(), Processor::start());
        let (mut alone, mut together) = (Times::default(), Times::default());
        let first = processor.alone(|| alone.take(|| self.sequential.execute(base, block)));
        for round in 0..rounds.max(1) {
            let differs = &mut comparison.difference;
            if round > 0 {
                if !go_on() {
                    break;
                }
                let again = processor.alone(|| alone.take(|| self.sequential.execute(base, block)));
                *differs = differs.take().or_else(|| difference(&first, &again, "sequentially", round));
            }
            let again = processor.together(|| together.take(|| self.parallel.execute(base, block)));
            comparison.incarnations = again.as_ref().map_or(0, |outcome| outcome.statistics.incarnations);
            *differs = differs.take().or_else(|| difference(&first, &again, "in parallel", round));
        }
        comparison.sequential = alone.median();
        comparison.parallel = together.median();
        comparison.best = [alone.best(), together.best()];
        comparison.cpu_ratio = processor.ratio();
        (first, comparison)
    }
}

/// What each round took.
#[derive(Clone, Debug, Default)]
pub struct Times(Vec<Duration>);

impl Times {
    /// Does something and notes how long it took.
    pub fn take<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        self.0.push(start.elapsed());
        result
    }

    /// The least time; none at all if there are none.
    pub fn best(&self) -> Duration {
        self.0.iter().min().copied().unwrap_or_default()
    }

    /// The time in the middle; none at all if there are none.
    pub fn median(&self) -> Duration {
        let mut times = self.0.clone();
        times.sort_unstable();
        times.get(times.len() / 2).copied().unwrap_or_default()
    }
}

/// The processor time of both sides.
#[derive(Clone, Debug)]
pub struct Processor {
    process_at_start: Duration,
    /// What this thread used outside the parallel side.
    outside: Duration,
    /// What it used for the sequential side.
    alone: Duration,
    thread_after_last: Duration,
}

impl Processor {
    /// Begins to count. Everything that follows on this thread is to be of one side, or of none.
    pub fn start() -> Self {
        Self {
            process_at_start: used(ClockId::ProcessCPUTime),
            outside: Duration::ZERO,
            alone: Duration::ZERO,
            thread_after_last: used(ClockId::ThreadCPUTime),
        }
    }

    /// Does the sequential side's work.
    pub fn alone<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let before = used(ClockId::ThreadCPUTime);
        let result = work();
        self.alone += used(ClockId::ThreadCPUTime) - before;
        result
    }

    /// Does the parallel side's work. What it leaves to other threads is counted even after it returns.
    pub fn together<T>(&mut self, work: impl FnOnce() -> T) -> T {
        self.outside += used(ClockId::ThreadCPUTime) - self.thread_after_last;
        let result = work();
        self.thread_after_last = used(ClockId::ThreadCPUTime);
        result
    }

    /// What the parallel side used so far over what the sequential one did.
    pub fn ratio(&self) -> f64 {
        let outside = self.outside + (used(ClockId::ThreadCPUTime) - self.thread_after_last);
        let together = (used(ClockId::ProcessCPUTime) - self.process_at_start).saturating_sub(outside);
        if self.alone.is_zero() { 0.0 } else { together.as_secs_f64() / self.alone.as_secs_f64() }
    }
}

/// The processor time that the process or the thread has used.
pub fn used(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    let seconds = u64::try_from(time.tv_sec).expect("nobody has used less than nothing");
    Duration::new(seconds, u32::try_from(time.tv_nsec).expect("there are 10^9 nanoseconds in a second"))
}

/// Where two executions of one block part.
pub fn difference(
    first: &Result<Outcome, BlockError>,
    again: &Result<Outcome, BlockError>,
    how: &str,
    round: usize,
) -> Option<String> {
    let place = match (first, again) {
        (Ok(first), Ok(again)) if first == again => None,
        (Ok(first), Ok(again)) => Some(match first.changes.first_difference(&again.changes) {
            Some(mismatch) => mismatch.to_string(),
            None => "the receipts or the gas differ".to_owned(),
        }),
        (Err(first), Err(again)) if first.to_string() == again.to_string() => None,
        (Err(error), _) | (_, Err(error)) => Some(format!("only one of two executions fails: {error}")),
    };
    place.map(|place| format!("{how} in round {round}: {place}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_time_in_the_middle() {
        let times = Times([9, 1, 5].map(Duration::from_millis).into());
        assert_eq!(times.median(), Duration::from_millis(5));
        assert_eq!(times.best(), Duration::from_millis(1));
        assert_eq!(Times::default().median(), Duration::ZERO);
    }
}
