//! Executes the blocks of a check, measures them, and counts what came of them.

use std::{
    io,
    num::NonZeroUsize,
    ops::ControlFlow,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use blockloom_engine::{Block, BlockError, Config, Engine, Outcome, Step};
use blockloom_fixtures::{BlockReport, Compared, Executor, Harness};
use blockloom_state::MemoryStore;

use crate::report::{Counts, Failure, JsonLines, Line, rounded};

/// How each block is executed, how often, and when to stop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) threads: Threads,
    pub(crate) sides: Sides,
    pub(crate) rounds: u32,
    pub(crate) failures: OnFailure,
}

/// What a failure means for the blocks after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnFailure {
    GoOn,
    Stop,
}

/// Who executes a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Threads {
    /// The sequential executor.
    Sequential,
    /// The engine with so many threads.
    Parallel(NonZeroUsize),
}

impl Threads {
    /// As a number; the sequential executor is 0.
    fn number(self) -> usize {
        match self {
            Self::Sequential => 0,
            Self::Parallel(threads) => threads.get(),
        }
    }

    fn engine(self) -> Engine {
        Engine::new(match self {
            Self::Sequential => Config::sequential(),
            Self::Parallel(threads) => Config { threads: Some(threads), ..Config::default() },
        })
    }
}

/// Whether a block is executed in one way or in two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sides {
    /// As the threads say.
    One,
    /// Sequentially and as the threads say, in turn.
    Compared,
}

/// What a block took.
#[derive(Clone, Copy, Debug, Default)]
struct Measured {
    /// The median time of the sequential executor, if it ran beside.
    sequential: Option<f64>,
    /// The median time.
    micros: f64,
    incarnations: u64,
}

/// Executes and counts the blocks of one source after the other.
pub(crate) struct Replay<'a> {
    engine: Engine,
    /// The sequential executor, if it is compared with.
    reference: Option<Engine>,
    plan: Plan,
    interrupted: &'a AtomicBool,
    json: &'a mut JsonLines,
    fixture: String,
    /// What the block took that was executed last.
    measured: Measured,
    /// The first execution that yielded another outcome than the first, and where they part.
    unstable: Option<String>,
    pub(crate) counts: Counts,
    pub(crate) failures: Vec<Failure>,
    pub(crate) json_error: Option<io::Error>,
}

impl<'a> Replay<'a> {
    pub(crate) fn new(plan: Plan, interrupted: &'a AtomicBool, json: &'a mut JsonLines) -> Self {
        Self {
            engine: plan.threads.engine(),
            reference: (plan.sides == Sides::Compared).then(|| Engine::new(Config::sequential())),
            plan,
            interrupted,
            json,
            fixture: String::new(),
            measured: Measured::default(),
            unstable: None,
            counts: Counts::default(),
            failures: Vec::new(),
            json_error: None,
        }
    }

    /// Says which source the next reports are about.
    pub(crate) fn enter(&mut self, fixture: String) {
        self.fixture = fixture;
        self.counts.fixtures += 1;
    }

    /// Whether somebody asked to stop.
    pub(crate) fn is_interrupted(&self) -> bool {
        // ORDER: Relaxed: nothing else is passed on with this flag.
        self.interrupted.load(Ordering::Relaxed)
    }

    /// Hands out what was counted since the last call.
    pub(crate) fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }
}

impl Executor for Replay<'_> {
    fn execute(
        &mut self,
        base: &MemoryStore,
        block: &Block,
        on_step: Option<&mut dyn FnMut(Step<'_>)>,
    ) -> Result<Outcome, BlockError> {
        let (mut sequential_times, mut times) = (Vec::new(), Vec::new());
        let leader = self.reference.as_ref().unwrap_or(&self.engine);
        let start = Instant::now();
        let first = match on_step {
            None => leader.execute(base, block),
            Some(on_step) => leader.execute_with(base, block, |step| {
                on_step(step);
                ControlFlow::Continue(())
            }),
        };
        let leader_times = if self.reference.is_some() { &mut sequential_times } else { &mut times };
        leader_times.push(start.elapsed());
        let mut incarnations = first.as_ref().map_or(0, |outcome| outcome.statistics.incarnations);
        for round in 0..self.plan.rounds {
            if round > 0 && self.is_interrupted() {
                break;
            }
            if round > 0
                && let Some(reference) = &self.reference
            {
                let again = timed(&mut sequential_times, || reference.execute(base, block));
                self.unstable =
                    self.unstable.take().or_else(|| difference(&first, &again, "sequentially", round));
            }
            if round > 0 || self.reference.is_some() {
                let again = timed(&mut times, || self.engine.execute(base, block));
                incarnations = again.as_ref().map_or(0, |outcome| outcome.statistics.incarnations);
                self.unstable = self.unstable.take().or_else(|| difference(&first, &again, "again", round));
            }
        }
        let sequential = (!sequential_times.is_empty()).then(|| median_micros(&mut sequential_times));
        self.measured = Measured { sequential, micros: median_micros(&mut times), incarnations };
        first
    }
}

fn timed<T>(times: &mut Vec<Duration>, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    times.push(start.elapsed());
    result
}

/// Where two executions of one block part.
fn difference(
    first: &Result<Outcome, BlockError>,
    again: &Result<Outcome, BlockError>,
    how: &str,
    round: u32,
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

fn median_micros(times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_nanos() as f64 / 1000.0
}

impl Harness for Replay<'_> {
    fn report(&mut self, report: BlockReport) -> ControlFlow<()> {
        let Measured { sequential, micros, incarnations } = std::mem::take(&mut self.measured);
        let ratio = sequential.filter(|_| micros > 0.0).map(|sequential| sequential / micros);
        let error = match (self.unstable.take(), report.result) {
            (Some(place), _) => Some(format!("executing it again yields another outcome, {place}")),
            (None, Err(error)) => Some(error.to_string()),
            (None, Ok(())) => None,
        };
        self.counts.blocks += 1;
        self.counts.transactions += report.transactions;
        self.counts.gas += u128::from(report.gas);
        match report.compared {
            Compared::Everything => {}
            Compared::AllButStateRoot => self.counts.without_state_root += 1,
            Compared::Nothing => self.counts.only_executed += 1,
        }
        self.counts.micros += micros;
        if let (Some(sequential), Some(ratio)) = (sequential, ratio) {
            self.counts.compared.add_block(sequential, micros, ratio, || {
                format!("{}: {}, block {}", self.fixture, report.case, report.number)
            });
        }
        let written = self.json.write(&Line {
            fixture: &self.fixture,
            case: &report.case,
            block: report.number,
            fork: &report.fork,
            txs: report.transactions,
            gas: report.gas,
            threads: self.plan.threads.number(),
            micros: rounded(micros),
            sequential_micros: sequential.map(rounded),
            parallel_micros: sequential.map(|_| rounded(micros)),
            ratio: ratio.map(rounded),
            incarnations,
            ok: error.is_none(),
            error: error.as_deref(),
        });
        let is_failure = error.is_some();
        if let Some(error) = error {
            self.counts.failed += 1;
            let (fixture, case) = (self.fixture.clone(), report.case);
            self.failures.push(Failure { fixture, case, block: report.number, error });
        }
        if let Err(error) = written {
            self.json_error = Some(error);
            return ControlFlow::Break(());
        }
        if self.is_interrupted() || (is_failure && self.plan.failures == OnFailure::Stop) {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    fn left_out(&mut self, _case: &str, reason: &str) {
        self.counts.left_out += 1;
        *self.counts.reasons.entry(reason.to_owned()).or_default() += 1;
    }
}
