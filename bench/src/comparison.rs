//! Compares sequential with parallel execution of a block, in one process, round by round.
//!
//! The sequential side is the sequential executor; the benchmark `sequential` compares that with a bare revm loop.
//! Times are medians over the rounds. If the block has an access list, parallel execution with the list
//! is measured as well, on the threads of the parallel side.

use std::time::Duration;

use blockloom_engine::{Block, BlockError, Engine, Invalid, Outcome, Reason};
use blockloom_state::{Base, list_differences};

use crate::{cpu_time::CpuTime, times::Times};

/// The engines that are compared.
#[derive(Clone, Copy, Debug)]
pub struct Sides<'e> {
    /// The sequential executor.
    pub sequential: &'e Engine,
    /// The parallel executor.
    pub parallel: &'e Engine,
    /// The block with its access list, if parallel execution with the list is measured.
    pub listed: Option<&'e Block>,
}

/// The measurements of one block.
#[derive(Clone, Debug, Default)]
pub struct Comparison {
    /// The median time of the sequential side.
    pub sequential: Duration,
    /// The median time of the parallel side.
    pub parallel: Duration,
    /// The shortest times: sequential, parallel. Other programs disturb them least.
    pub best: [Duration; 2],
    /// The runs of transactions in the last parallel round.
    pub incarnations: u64,
    /// Processor time of the parallel side / that of the sequential side, over all rounds.
    pub cpu_ratio: f64,
    /// Parallel execution with the access list, if it was measured.
    pub with_list: Option<WithList>,
    /// The first outcome that differs from the outcome of the first execution, and the place of the difference.
    pub difference: Option<String>,
}

/// The measurements of parallel execution with the access list.
#[derive(Clone, Copy, Debug)]
pub struct WithList {
    /// The median time.
    pub time: Duration,
    /// The runs of transactions in the last round.
    pub incarnations: u64,
}

impl Comparison {
    /// Sequential time / parallel time; `None` if the parallel time is too short to measure.
    pub fn ratio(&self) -> Option<f64> {
        self.ratio_to(self.parallel)
    }

    /// Sequential time / parallel time with the access list.
    pub fn with_list_ratio(&self) -> Option<f64> {
        self.with_list.and_then(|with_list| self.ratio_to(with_list.time))
    }

    fn ratio_to(&self, time: Duration) -> Option<f64> {
        let ratio = self.sequential.as_secs_f64() / time.as_secs_f64();
        ratio.is_finite().then_some(ratio)
    }
}

impl Sides<'_> {
    /// Executes a block once on each side in each of `rounds` rounds, and compares every outcome with the first.
    /// Stops before the next round if `go_on` returns false. Returns the outcome of the first execution.
    pub fn compare<B: Base>(
        &self,
        base: &B,
        block: &Block,
        rounds: usize,
        go_on: impl Fn() -> bool,
    ) -> (Result<Outcome, BlockError>, Comparison) {
        let mut session = MeasuredRun::new(self, base, block);
        let first = session.execute_sequentially();
        for round in 0..rounds.max(1) {
            if round > 0 {
                if !go_on() {
                    break;
                }
                let again = session.execute_sequentially();
                session.check(&first, &again, "sequentially", round);
            }
            // The second one finds the worker threads awake, so the order alternates.
            if round.is_multiple_of(2) {
                session.execute_in_parallel(&first, round);
                session.execute_with_list(&first, round);
            } else {
                session.execute_with_list(&first, round);
                session.execute_in_parallel(&first, round);
            }
        }
        (first, session.comparison())
    }
}

/// A comparison in progress.
#[derive(Debug)]
struct MeasuredRun<'s, B> {
    sides: &'s Sides<'s>,
    base: &'s B,
    block: &'s Block,
    cpu_time: CpuTime,
    sequential: Times,
    parallel: Times,
    /// In parallel with the access list.
    listed: Times,
    incarnations: u64,
    listed_incarnations: u64,
    difference: Option<String>,
}

impl<'s, B: Base> MeasuredRun<'s, B> {
    fn new(sides: &'s Sides<'s>, base: &'s B, block: &'s Block) -> Self {
        Self {
            sides,
            base,
            block,
            cpu_time: CpuTime::start(),
            sequential: Times::default(),
            parallel: Times::default(),
            listed: Times::default(),
            incarnations: 0,
            listed_incarnations: 0,
            difference: None,
        }
    }

    fn execute_sequentially(&mut self) -> Result<Outcome, BlockError> {
        let Self { sides, base, block, .. } = *self;
        self.cpu_time.sequential(|| self.sequential.take(|| sides.sequential.execute(base, block)))
    }

    fn execute_in_parallel(&mut self, first: &Result<Outcome, BlockError>, round: usize) {
        let Self { sides, base, block, .. } = *self;
        let again = self.cpu_time.parallel(|| self.parallel.take(|| sides.parallel.execute(base, block)));
        self.incarnations = again.as_ref().map_or(0, |outcome| outcome.statistics.incarnations);
        self.check(first, &again, "in parallel", round);
    }

    fn execute_with_list(&mut self, first: &Result<Outcome, BlockError>, round: usize) {
        let Self { sides, base, .. } = *self;
        let Some(block) = sides.listed else { return };
        let again = self.cpu_time.uncounted(|| self.listed.take(|| sides.parallel.execute(base, block)));
        self.listed_incarnations = again.as_ref().map_or(0, |outcome| outcome.statistics.incarnations);
        // A wrong list that the header commits to makes the block invalid. Executions without the list cannot
        // see that: there, only the hash of the list differs.
        if !has_wrong_list(&again) {
            self.check(first, &again, "with the access list", round);
        }
    }

    /// Records how an outcome differs from the first one, unless there was a difference before.
    fn check(
        &mut self,
        first: &Result<Outcome, BlockError>,
        again: &Result<Outcome, BlockError>,
        how: &str,
        round: usize,
    ) {
        self.difference = self.difference.take().or_else(|| difference(first, again, how, round));
    }

    fn comparison(self) -> Comparison {
        let Self { sides, cpu_time, sequential, parallel, listed, .. } = self;
        let with_list = WithList { time: listed.median(), incarnations: self.listed_incarnations };
        Comparison {
            sequential: sequential.median(),
            parallel: parallel.median(),
            best: [sequential.best(), parallel.best()],
            incarnations: self.incarnations,
            cpu_ratio: cpu_time.ratio(),
            with_list: sides.listed.map(|_| with_list),
            difference: self.difference,
        }
    }
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
