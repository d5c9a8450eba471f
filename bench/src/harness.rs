//! Executes the blocks of a check, measures them, and counts what came of them.

use std::{
    io,
    ops::ControlFlow,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use blockloom_engine::{Block, BlockError, Config, Engine, Outcome, Step};
use blockloom_fixtures::{BlockReport, Compared, Executor, Harness};
use blockloom_state::MemoryStore;

use crate::report::{Counts, Failure, JsonLines, Line, rounded};

/// How often each block is executed, and when to stop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) rounds: u32,
    pub(crate) failures: OnFailure,
}

/// What a failure means for the blocks after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnFailure {
    GoOn,
    Stop,
}

/// Executes and counts the blocks of one source after the other.
pub(crate) struct Replay<'a> {
    engine: Engine,
    plan: Plan,
    interrupted: &'a AtomicBool,
    json: &'a mut JsonLines,
    fixture: String,
    /// The median of the block that was executed last.
    micros: f64,
    /// The first round that yielded another outcome than the first, and where they part.
    unstable: Option<String>,
    pub(crate) counts: Counts,
    pub(crate) failures: Vec<Failure>,
    pub(crate) json_error: Option<io::Error>,
}

impl<'a> Replay<'a> {
    pub(crate) fn new(plan: Plan, interrupted: &'a AtomicBool, json: &'a mut JsonLines) -> Self {
        Self {
            engine: Engine::new(Config::sequential()),
            plan,
            interrupted,
            json,
            fixture: String::new(),
            micros: 0.0,
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
        let mut times = Vec::new();
        let start = Instant::now();
        let first = match on_step {
            None => self.engine.execute(base, block),
            Some(on_step) => self.engine.execute_with(base, block, |step| {
                on_step(step);
                ControlFlow::Continue(())
            }),
        };
        times.push(start.elapsed());
        for round in 1..self.plan.rounds {
            if self.is_interrupted() {
                break;
            }
            let start = Instant::now();
            let again = self.engine.execute(base, block);
            times.push(start.elapsed());
            if self.unstable.is_none() {
                self.unstable = difference(&first, &again).map(|place| format!("round {round}: {place}"));
            }
        }
        self.micros = median(&mut times).as_nanos() as f64 / 1000.0;
        first
    }
}

/// Where two executions of one block part.
fn difference(first: &Result<Outcome, BlockError>, again: &Result<Outcome, BlockError>) -> Option<String> {
    match (first, again) {
        (Ok(first), Ok(again)) if first == again => None,
        (Ok(first), Ok(again)) => Some(match first.changes.first_difference(&again.changes) {
            Some(mismatch) => mismatch.to_string(),
            None => "the receipts or the gas differ".to_owned(),
        }),
        (Err(first), Err(again)) if first.to_string() == again.to_string() => None,
        (Err(error), _) | (_, Err(error)) => Some(format!("only one of two executions fails: {error}")),
    }
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

impl Harness for Replay<'_> {
    fn report(&mut self, report: BlockReport) -> ControlFlow<()> {
        let micros = std::mem::take(&mut self.micros);
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
        let written = self.json.write(&Line {
            fixture: &self.fixture,
            case: &report.case,
            block: report.number,
            fork: &report.fork,
            txs: report.transactions,
            gas: report.gas,
            threads: 0,
            micros: rounded(micros),
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
