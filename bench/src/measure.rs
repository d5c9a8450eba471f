//! Both sides of a comparison, in one process and in turn.
//!
//! The sequential side is the sequential executor, which a benchmark of its own holds to a bare revm
//! loop. Times are medians over the rounds. Of the processor time that the process used between the
//! first round and the last, all is the parallel side's that this thread did not use outside it:
//! threads that wait for the next block are counted. Where there is an access list, parallel execution
//! with it is measured beside both sides, on the threads of the parallel one.

use std::time::{Duration, Instant};

use blockloom_engine::{Block, BlockError, Engine, Invalid, Outcome, Reason};
use blockloom_state::{Base, partings};
use rustix::time::{ClockId, clock_gettime};

/// Who executes a block both ways.
#[derive(Clone, Copy, Debug)]
pub struct Sides<'e> {
    /// The sequential executor.
    pub sequential: &'e Engine,
    /// The parallel one.
    pub parallel: &'e Engine,
    /// The same block with an access list, where the parallel side executes that, too.
    pub listed: Option<&'e Block>,
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
    /// What the block with its access list took, if there is one.
    pub with_list: Option<WithList>,
    /// The first execution that yielded another outcome than the first, and where they part.
    pub difference: Option<String>,
}

/// What executing a block in parallel and with its access list took.
#[derive(Clone, Copy, Debug)]
pub struct WithList {
    /// The median time.
    pub time: Duration,
    /// The runs of transactions in the last round.
    pub incarnations: u64,
}

impl Comparison {
    /// How many times as fast the parallel side is; nothing if it took no time that can be measured.
    pub fn ratio(&self) -> Option<f64> {
        self.ratio_to(self.parallel)
    }

    /// How many times as fast the parallel side is with the block's access list.
    pub fn with_list_ratio(&self) -> Option<f64> {
        self.with_list.and_then(|with_list| self.ratio_to(with_list.time))
    }

    fn ratio_to(&self, time: Duration) -> Option<f64> {
        let ratio = self.sequential.as_secs_f64() / time.as_secs_f64();
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
        let mut session = Session::new(self, base, block);
        let first = session.alone();
        for round in 0..rounds.max(1) {
            if round > 0 {
                if !go_on() {
                    break;
                }
                let again = session.alone();
                session.expect(&first, &again, "sequentially", round);
            }
            // Who comes right after the other finds its threads awake: that falls to each as often.
            if round.is_multiple_of(2) {
                session.together(&first, round);
                session.with_list(&first, round);
            } else {
                session.with_list(&first, round);
                session.together(&first, round);
            }
        }
        (first, session.comparison())
    }
}

/// A comparison under way.
#[derive(Debug)]
struct Session<'s, B> {
    sides: &'s Sides<'s>,
    base: &'s B,
    block: &'s Block,
    processor: Processor,
    /// What the rounds took: sequentially, in parallel, and in parallel with the list.
    alone: Times,
    together: Times,
    listed: Times,
    incarnations: u64,
    listed_incarnations: u64,
    difference: Option<String>,
}

impl<'s, B: Base> Session<'s, B> {
    fn new(sides: &'s Sides<'s>, base: &'s B, block: &'s Block) -> Self {
        Self {
            sides,
            base,
            block,
            processor: Processor::start(),
            alone: Times::default(),
            together: Times::default(),
            listed: Times::default(),
            incarnations: 0,
            listed_incarnations: 0,
            difference: None,
        }
    }

    fn alone(&mut self) -> Result<Outcome, BlockError> {
        let Self { sides, base, block, .. } = *self;
        self.processor.alone(|| self.alone.take(|| sides.sequential.execute(base, block)))
    }

    fn together(&mut self, first: &Result<Outcome, BlockError>, round: usize) {
        let Self { sides, base, block, .. } = *self;
        let again = self.processor.together(|| self.together.take(|| sides.parallel.execute(base, block)));
        self.incarnations = again.as_ref().map_or(0, |outcome| outcome.statistics.incarnations);
        self.expect(first, &again, "in parallel", round);
    }

    fn with_list(&mut self, first: &Result<Outcome, BlockError>, round: usize) {
        let Self { sides, base, .. } = *self;
        let Some(block) = sides.listed else { return };
        let again = self.processor.aside(|| self.listed.take(|| sides.parallel.execute(base, block)));
        self.listed_incarnations = again.as_ref().map_or(0, |outcome| outcome.statistics.incarnations);
        // A wrong list that the header commits to is the fault of the block: its hash shows that to those
        // who have no list.
        if !is_refused_for_list(&again) {
            self.expect(first, &again, "with the access list", round);
        }
    }

    /// Notes where an execution parts from the first, unless an earlier one did.
    fn expect(
        &mut self,
        first: &Result<Outcome, BlockError>,
        again: &Result<Outcome, BlockError>,
        how: &str,
        round: usize,
    ) {
        self.difference = self.difference.take().or_else(|| difference(first, again, how, round));
    }

    fn comparison(self) -> Comparison {
        let Self { sides, processor, alone, together, listed, .. } = self;
        let with_list = WithList { time: listed.median(), incarnations: self.listed_incarnations };
        Comparison {
            sequential: alone.median(),
            parallel: together.median(),
            best: [alone.best(), together.best()],
            incarnations: self.incarnations,
            cpu_ratio: processor.ratio(),
            with_list: sides.listed.map(|_| with_list),
            difference: self.difference,
        }
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
    /// What other threads used for neither side.
    aside: Duration,
    thread_after_last: Duration,
}

impl Processor {
    /// Begins to count. Everything that follows on this thread is to be of one side, or of none.
    pub fn start() -> Self {
        Self {
            process_at_start: used(ClockId::ProcessCPUTime),
            outside: Duration::ZERO,
            alone: Duration::ZERO,
            aside: Duration::ZERO,
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

    /// Does work that takes several threads and is of neither side. What it leaves to other threads after it
    /// returns counts as the parallel side's.
    pub fn aside<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let used_by_others = || used(ClockId::ProcessCPUTime).saturating_sub(used(ClockId::ThreadCPUTime));
        let before = used_by_others();
        let result = work();
        self.aside += used_by_others().saturating_sub(before);
        result
    }

    /// What the parallel side used so far over what the sequential one did.
    pub fn ratio(&self) -> f64 {
        let outside = self.outside + (used(ClockId::ThreadCPUTime) - self.thread_after_last);
        let together =
            (used(ClockId::ProcessCPUTime) - self.process_at_start).saturating_sub(outside + self.aside);
        if self.alone.is_zero() { 0.0 } else { together.as_secs_f64() / self.alone.as_secs_f64() }
    }
}

/// The processor time that the process or the thread has used.
pub fn used(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    let seconds = u64::try_from(time.tv_sec).expect("nobody has used less than nothing");
    Duration::new(seconds, u32::try_from(time.tv_nsec).expect("there are 10^9 nanoseconds in a second"))
}

/// Where the access lists of two executions part.
fn parting(first: &Outcome, again: &Outcome) -> Option<String> {
    let (first, again) = (first.access_list.as_ref()?, again.access_list.as_ref()?);
    let parting = partings(first, again).into_iter().next()?;
    Some(format!("the access lists part, first at {parting}"))
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
            None => parting(first, again).unwrap_or("the receipts or the gas differ".to_owned()),
        }),
        (Err(first), Err(again)) if first.to_string() == again.to_string() => None,
        (Err(error), _) | (_, Err(error)) => Some(format!("only one of two executions fails: {error}")),
    };
    place.map(|place| format!("{how} in round {round}: {place}"))
}

/// Whether a block was refused for the access list that it came with.
fn is_refused_for_list(result: &Result<Outcome, BlockError>) -> bool {
    matches!(result, Err(BlockError { reason: Reason::Invalid(Invalid::List(_)), .. }))
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
