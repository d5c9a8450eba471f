//! Executes the blocks of a check, measures them, and counts what came of them.

use std::{io, num::NonZeroUsize, ops::ControlFlow, time::Duration};

use blockloom_bench::{
    limit::Limits,
    measure::{self, Comparison, Times, difference},
};
use blockloom_engine::{Block, BlockError, Config, Engine, Outcome, Step};
use blockloom_fixtures::{BlockReport, Compared, Executor, Harness};
use blockloom_state::MemoryStore;

use crate::{
    given::{Given, GivenLists, without_list},
    interrupt::is_interrupted,
    list_files::BlockName,
    report::{ComparedLine, Counts, Failure, JsonLines, Line, micros, rounded},
};

/// How each block is executed, how often, and when to stop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) threads: Threads,
    pub(crate) sides: Sides,
    pub(crate) rounds: usize,
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

    pub(crate) fn config(self) -> Config {
        match self {
            Self::Sequential => Config::sequential(),
            Self::Parallel(threads) => Config { threads: Some(threads), ..Config::default() },
        }
    }
}

/// More threads than this are a slip of the finger.
const MOST_THREADS: usize = 1024;

/// Reads how many threads somebody wants.
pub(crate) fn threads(text: &str) -> Result<Threads, String> {
    match text.parse() {
        Ok(threads) if threads > MOST_THREADS => Err(format!("at most {MOST_THREADS} threads are started")),
        Ok(threads) => Ok(NonZeroUsize::new(threads).map_or(Threads::Sequential, Threads::Parallel)),
        Err(_) => Err("a number of threads is wanted".to_owned()),
    }
}

/// As many threads as the machine runs at once.
pub(crate) fn machine_threads() -> Threads {
    Threads::Parallel(std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN))
}

/// Whether a block is executed in one way or in several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sides {
    /// As the threads say.
    One,
    /// Sequentially and as the threads say, and so with an access list if there are any, in turn.
    Compared,
}

/// What a block took.
#[derive(Clone, Debug, Default)]
struct Measured {
    /// The median time.
    time: Duration,
    incarnations: u64,
    /// What it took both ways, if it was executed both ways, and what would be possible.
    compared: Option<(Comparison, Limits)>,
}

/// Executes and counts the blocks of one source after the other.
pub(crate) struct Replay<'a> {
    engine: Engine,
    /// The sequential executor, if it is compared with.
    reference: Option<Engine>,
    plan: Plan,
    /// The access lists that blocks are executed with, if they are.
    pub(crate) lists: Option<GivenLists>,
    json: &'a mut JsonLines,
    fixture: String,
    case: String,
    /// What the block took that was executed last.
    measured: Measured,
    /// The first execution that yielded another outcome than the first, and where they part.
    unstable: Option<String>,
    pub(crate) counts: Counts,
    pub(crate) failures: Vec<Failure>,
    pub(crate) json_error: Option<io::Error>,
}

impl<'a> Replay<'a> {
    pub(crate) fn new(plan: Plan, lists: Option<GivenLists>, json: &'a mut JsonLines) -> Self {
        Self {
            engine: Engine::new(plan.threads.config()),
            reference: (plan.sides == Sides::Compared).then(|| Engine::new(Config::sequential())),
            plan,
            lists,
            json,
            fixture: String::new(),
            case: String::new(),
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

    /// Says which of its cases they are about.
    pub(crate) fn enter_case(&mut self, case: &str) {
        case.clone_into(&mut self.case);
        self.counts.cases += 1;
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
        on_step: Option<OnStep<'_>>,
    ) -> Result<Outcome, BlockError> {
        let name = || BlockName::new(&self.fixture, &self.case, block);
        let given = self.lists.as_mut().map_or(Given::Nothing, |lists| lists.give(block, name));
        let bare = without_list(block);
        let result = match (self.reference.clone(), &given) {
            (None, Given::Listed(listed)) => self.repeat(base, listed, on_step),
            (None, Given::Missing(_) | Given::Nothing) => self.repeat(base, &bare, on_step),
            (Some(reference), _) => self.compare(&reference, base, &bare, given.listed(), on_step),
        };
        if let (Some(lists), Given::Missing(file), Ok(_)) = (&mut self.lists, given, &result) {
            lists.miss(file);
        }
        result
    }
}

impl Replay<'_> {
    /// Executes a block as often as planned.
    fn repeat(
        &mut self,
        base: &MemoryStore,
        block: &Block,
        on_step: Option<OnStep<'_>>,
    ) -> Result<Outcome, BlockError> {
        let mut times = Times::default();
        let first = times.take(|| Executor::execute(&mut self.engine.clone(), base, block, on_step));
        for round in 1..self.plan.rounds {
            if is_interrupted() {
                break;
            }
            let again = times.take(|| self.engine.execute(base, block));
            self.unstable = self.unstable.take().or_else(|| difference(&first, &again, "again", round));
        }
        let incarnations = first.as_ref().map_or(0, |outcome| outcome.statistics.incarnations);
        self.measured = Measured { time: times.median(), incarnations, compared: None };
        first
    }

    /// Executes a block both ways, and with its access list if it has one, as often as planned.
    fn compare(
        &mut self,
        reference: &Engine,
        base: &MemoryStore,
        block: &Block,
        listed: Option<&Block>,
        on_step: Option<OnStep<'_>>,
    ) -> Result<Outcome, BlockError> {
        let told =
            on_step.map(|on_step| Executor::execute(&mut reference.clone(), base, block, Some(on_step)));
        let sides = measure::Sides { sequential: reference, parallel: &self.engine, listed };
        let (first, comparison) = sides.compare(base, block, self.plan.rounds, || !is_interrupted());
        self.unstable = comparison.difference.clone();
        // A block that is refused has no limit.
        let limits = Limits::of(&self.engine, base, block, self.plan.rounds);
        self.measured = Measured {
            time: comparison.parallel,
            incarnations: comparison.incarnations,
            compared: limits.ok().map(|limits| (comparison, limits)),
        };
        told.unwrap_or(first)
    }
}

type OnStep<'s> = &'s mut dyn FnMut(Step<'_>);

impl Harness for Replay<'_> {
    fn report(&mut self, report: BlockReport) -> ControlFlow<()> {
        let Measured { time, incarnations, compared } = std::mem::take(&mut self.measured);
        let micros = micros(time);
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
        if let Some((comparison, limits)) = &compared {
            self.counts.add_comparison(comparison, limits.here, || {
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
            compared: compared
                .as_ref()
                .map(|(comparison, limits)| ComparedLine::new(comparison, Some(limits)))
                .unwrap_or_default(),
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
        if is_interrupted() || (is_failure && self.plan.failures == OnFailure::Stop) {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    fn left_out(&mut self, _case: &str, reason: &str) {
        self.counts.left_out += 1;
        *self.counts.reasons.entry(reason.to_owned()).or_default() += 1;
    }
}
