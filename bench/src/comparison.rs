//! Compares sequential with parallel execution of a block, in one process, round by round.
//!
//! The sequential side is the sequential executor; the benchmark `sequential` compares that with a bare revm loop.
//! Rounds that warm up are not measured. The order of the sides alternates, so that what a side leaves behind (caches,
//! awake threads) is to the advantage of each. Times are medians. Two more sides are measured on request, on the threads
//! of the parallel side: the block with its access list, and the block split into parts as a stream.

use std::{
    ops::ControlFlow,
    time::{Duration, Instant},
};

use blockloom_engine::{Block, BlockError, Engine, Invalid, Outcome, Reason};
use blockloom_state::{Base, list_differences};

use crate::{
    cpu_time::CpuTime,
    resampling::{Interval, Resampling},
    rounds::Rounds,
    split::difference_of_parts,
    times::Times,
};

/// The engines that are compared.
#[derive(Clone, Copy, Debug)]
pub struct Sides<'e> {
    /// The sequential executor.
    pub sequential: &'e Engine,
    /// The parallel executor.
    pub parallel: &'e Engine,
    /// The block with its access list, if parallel execution with the list is measured.
    pub listed: Option<&'e Block>,
    /// The parts of the block, if their stream is measured.
    pub parts: Option<&'e [Block]>,
}

/// The measurements of one block.
#[derive(Clone, Debug, Default)]
pub struct Comparison {
    /// The number of measured rounds; zero if the first one was prevented.
    pub rounds: usize,
    /// The median time of the sequential side.
    pub sequential: Duration,
    /// The median time of the parallel side.
    pub parallel: Duration,
    /// The median distances from the median times: sequential, parallel.
    pub deviation: [Duration; 2],
    /// How the ratio varies with the rounds.
    pub resampling: Resampling,
    /// The shortest times: sequential, parallel. Other programs disturb them least.
    pub best: [Duration; 2],
    /// The runs of transactions in the last parallel round.
    pub incarnations: u64,
    /// Processor time of the parallel side / that of the sequential side, over all rounds.
    pub cpu_ratio: f64,
    /// Parallel execution with the access list, if it was measured.
    pub with_list: Option<FurtherSide>,
    /// The stream of the block's parts, if it was measured.
    pub stream: Option<FurtherSide>,
    /// The first outcome that differs from the outcome of the first execution, and the place of the difference.
    pub difference: Option<String>,
}

/// The measurements of another side on the threads of the parallel one.
#[derive(Clone, Debug)]
pub struct FurtherSide {
    /// The median time.
    pub time: Duration,
    /// How the ratio of the sequential time to this one varies with the rounds.
    pub resampling: Resampling,
    /// The runs of transactions in the last round.
    pub incarnations: u64,
}

impl Comparison {
    /// Sequential time / parallel time; `None` if the parallel time is too short to measure.
    pub fn ratio(&self) -> Option<f64> {
        self.ratio_to(self.parallel)
    }

    /// The 95 % interval of the ratio; `None` after fewer than three rounds.
    pub fn interval(&self) -> Option<Interval> {
        self.resampling.interval()
    }

    /// Sequential time / parallel time with the access list.
    pub fn with_list_ratio(&self) -> Option<f64> {
        self.with_list.as_ref().and_then(|with_list| self.ratio_to(with_list.time))
    }

    /// Sequential time / time of the stream.
    pub fn stream_ratio(&self) -> Option<f64> {
        self.stream.as_ref().and_then(|stream| self.ratio_to(stream.time))
    }

    fn ratio_to(&self, time: Duration) -> Option<f64> {
        let ratio = self.sequential.as_secs_f64() / time.as_secs_f64();
        ratio.is_finite().then_some(ratio)
    }
}

impl Sides<'_> {
    /// Executes a block sequentially, warms up, measures each side in as many rounds as are enough, and compares
    /// every outcome with the first. Stops before the next round if `go_on` returns false. Returns the outcome of
    /// the first execution.
    pub fn compare<B: Base>(
        &self,
        base: &B,
        block: &Block,
        rounds: Rounds,
        go_on: impl Fn() -> bool,
    ) -> (Result<Outcome, BlockError>, Comparison) {
        let first = self.sequential.execute(base, block);
        let mut warm_up = MeasuredRun::new(self, base, block, &first);
        warm_up.repeat(|rounds, time| Rounds::are_warm(rounds, time) || !go_on());
        let difference = warm_up.difference;
        let mut run = MeasuredRun { difference, ..MeasuredRun::new(self, base, block, &first) };
        run.repeat(|done, time| rounds.are_enough(done, time) || !go_on());
        let comparison = run.comparison();
        (first, comparison)
    }
}

/// One of the sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Sequential,
    Parallel,
    /// In parallel with the access list.
    Listed,
    /// In parts, as a stream.
    Stream,
}

/// The order of the sides: there and back again.
fn order(round: usize) -> [Side; 4] {
    let mut order = [Side::Sequential, Side::Parallel, Side::Listed, Side::Stream];
    if !round.is_multiple_of(2) {
        order.reverse();
    }
    order
}

/// The rounds of a comparison.
#[derive(Debug)]
struct MeasuredRun<'s, B> {
    sides: &'s Sides<'s>,
    base: &'s B,
    block: &'s Block,
    /// The outcome of the first execution.
    first: &'s Result<Outcome, BlockError>,
    cpu_time: CpuTime,
    rounds: usize,
    sequential: Times,
    parallel: Times,
    listed: Times,
    stream: Times,
    incarnations: u64,
    listed_incarnations: u64,
    stream_incarnations: u64,
    difference: Option<String>,
}

impl<'s, B: Base> MeasuredRun<'s, B> {
    fn new(
        sides: &'s Sides<'s>,
        base: &'s B,
        block: &'s Block,
        first: &'s Result<Outcome, BlockError>,
    ) -> Self {
        Self {
            sides,
            base,
            block,
            first,
            cpu_time: CpuTime::start(),
            rounds: 0,
            sequential: Times::default(),
            parallel: Times::default(),
            listed: Times::default(),
            stream: Times::default(),
            incarnations: 0,
            listed_incarnations: 0,
            stream_incarnations: 0,
            difference: None,
        }
    }

    /// Executes rounds until `is_done`, which gets the number and the time of the rounds so far.
    fn repeat(&mut self, is_done: impl Fn(usize, Duration) -> bool) {
        let start = Instant::now();
        while !is_done(self.rounds, start.elapsed()) {
            let order = order(self.rounds);
            self.rounds += 1;
            order.into_iter().for_each(|side| self.execute(side));
        }
    }

    fn execute(&mut self, side: Side) {
        let Self { sides, base, block, .. } = *self;
        match side {
            Side::Sequential => {
                let work = || self.sequential.take(|| sides.sequential.execute(base, block));
                let again = self.cpu_time.sequential(work);
                self.check(&again, "sequentially");
            }
            Side::Parallel => {
                let work = || self.parallel.take(|| sides.parallel.execute(base, block));
                let again = self.cpu_time.parallel(work);
                self.incarnations = incarnations(&again);
                self.check(&again, "in parallel");
            }
            Side::Listed => {
                let Some(block) = sides.listed else { return };
                let work = || self.listed.take(|| sides.parallel.execute(base, block));
                let again = self.cpu_time.uncounted(work);
                self.listed_incarnations = incarnations(&again);
                // A wrong list that the header commits to makes the block invalid. Executions without the list
                // cannot see that: there, only the hash of the list differs.
                if !has_wrong_list(&again) {
                    self.check(&again, "with the access list");
                }
            }
            Side::Stream => self.execute_stream(),
        }
    }

    /// Executes the parts of the block as a stream, if there are any.
    fn execute_stream(&mut self) {
        let Self { sides, base, first, .. } = *self;
        let Some(parts) = sides.parts else { return };
        let mut outcomes = Vec::with_capacity(parts.len());
        let on_outcome = |outcome| {
            outcomes.push(outcome);
            ControlFlow::Continue(())
        };
        let work = || self.stream.take(|| sides.parallel.execute_blocks(base, parts, on_outcome));
        let total = self.cpu_time.uncounted(work);
        self.stream_incarnations = total.as_ref().map_or(0, |total| total.statistics.incarnations);
        let place = match (first, &total) {
            (Ok(first), Ok(total)) => difference_of_parts(first, &outcomes, &total.changes),
            (Err(_), Err(_)) => None,
            (Err(error), _) | (_, Err(error)) => Some(format!("only one of two executions fails: {error}")),
        };
        let place = place.map(|place| format!("in parts in round {}: {place}", self.rounds));
        self.difference = self.difference.take().or(place);
    }

    /// Records how an outcome differs from the first one, unless there was a difference before.
    fn check(&mut self, again: &Result<Outcome, BlockError>, how: &str) {
        self.difference = self.difference.take().or_else(|| difference(self.first, again, how, self.rounds));
    }

    fn comparison(self) -> Comparison {
        let Self { sides, cpu_time, rounds, sequential, parallel, listed, stream, .. } = self;
        let further = |times: &Times, incarnations| FurtherSide {
            time: times.median(),
            resampling: Resampling::of(&sequential, times),
            incarnations,
        };
        let with_list = sides.listed.map(|_| further(&listed, self.listed_incarnations));
        let stream = sides.parts.map(|_| further(&stream, self.stream_incarnations));
        Comparison {
            rounds,
            sequential: sequential.median(),
            parallel: parallel.median(),
            deviation: [sequential.deviation(), parallel.deviation()],
            resampling: Resampling::of(&sequential, &parallel),
            best: [sequential.best(), parallel.best()],
            incarnations: self.incarnations,
            cpu_ratio: cpu_time.ratio(),
            with_list,
            stream,
            difference: self.difference,
        }
    }
}

/// The runs of transactions in an execution.
fn incarnations(result: &Result<Outcome, BlockError>) -> u64 {
    result.as_ref().map_or(0, |outcome| outcome.statistics.incarnations)
}

/// The first difference between the access lists of two executions.
fn list_difference(first: &Outcome, again: &Outcome) -> Option<String> {
    let (first, again) = (first.access_list.as_ref()?, again.access_list.as_ref()?);
    let difference = list_differences(first, again).into_iter().next()?;
    Some(format!("the access lists differ, first at {difference}"))
}

/// The first difference between two executions of one block.
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
            None => list_difference(first, again).unwrap_or("the receipts or the gas differ".to_owned()),
        }),
        (Err(first), Err(again)) if first.to_string() == again.to_string() => None,
        (Err(error), _) | (_, Err(error)) => Some(format!("only one of two executions fails: {error}")),
    };
    place.map(|place| format!("{how} in round {round}: {place}"))
}

/// Whether a block was rejected because of its access list.
fn has_wrong_list(result: &Result<Outcome, BlockError>) -> bool {
    matches!(result, Err(BlockError { reason: Reason::Invalid(Invalid::List(_)), .. }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_side_comes_first_as_often_as_last() {
        let firsts = |side| (0..10).filter(|round| order(*round)[0] == side).count();
        let lasts = |side| (0..10).filter(|round| order(*round)[3] == side).count();
        for side in [Side::Sequential, Side::Stream] {
            assert_eq!((firsts(side), lasts(side)), (5, 5), "{side:?}");
        }
    }
}
