//! Executes the blocks of fixtures, measures them, and counts the results.

use std::{num::NonZeroUsize, ops::ControlFlow, time::Duration};

use alloy_primitives::B256;
use blockloom_bench::{
    comparison::{self, Comparison, difference},
    limit::Limits,
    rounds::Rounds,
    times::Times,
};
use blockloom_engine::{Block, BlockError, CommittedStep, Config, Engine, Outcome};
use blockloom_fixtures::{BlockReport, CaseBase, Compared, Executor, FixtureError, Harness, Note};

use crate::{
    burnt_gas::burnt_gas,
    chain_option::note_line,
    executor_threads::Threads,
    exports::{ExportError, Exports},
    failure::{Failure, Verdict},
    interrupt::is_interrupted,
    json::{BlockLine, ComparedLine, rounded},
    list_files::BlockName,
    list_source::{ListSource, Lookup, without_list},
    quantity::counted,
    ratios::micros,
    report::Counts,
    terminal::print_detail,
    transaction_lines::TransactionLines,
};

/// How each block is executed, and when to stop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RoundPlan {
    pub(crate) threads: Threads,
    pub(crate) mode: Mode,
    pub(crate) failures: OnFailure,
}

/// Whether blocks after a failure are executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnFailure {
    GoOn,
    Stop,
}

/// How often a block is executed, and by which executors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Once, cold, by the chosen executor.
    Once,
    /// So often by the chosen executor, after a round that warms up.
    Repeated(NonZeroUsize),
    /// In turn: sequentially, by the chosen executor, and by that with an access list if there is one.
    Compared(Rounds),
}

/// The measurements of one block.
#[derive(Clone, Debug, Default)]
struct Measured {
    /// The median time.
    time: Duration,
    /// The number of measured executions on each side.
    rounds: usize,
    /// Whether the time is that of one execution with cold caches.
    is_cold: bool,
    incarnations: u64,
    burnt_gas: u64,
    /// The comparison and the limits, if the block was executed by both.
    compared: Option<(Comparison, Limits)>,
}

/// Executes and counts the blocks of one fixture after the other.
pub(crate) struct Replay<'a> {
    engine: Engine,
    /// The sequential executor and the number of rounds, if blocks are executed by both executors.
    reference: Option<(Engine, Rounds)>,
    plan: RoundPlan,
    /// The access lists that blocks are executed with, if any.
    pub(crate) lists: Option<ListSource>,
    exports: &'a mut Exports,
    fixture: String,
    case: String,
    /// The block that was verified last: its hash, and the root of the state after it.
    verified: Option<(B256, B256)>,
    /// The measurements of the last block.
    measured: Measured,
    /// The first outcome of the last block that differs from that of its first execution, and the place.
    unstable: Option<String>,
    pub(crate) transactions: TransactionLines,
    /// The damage that ended the reading of the last case.
    pub(crate) unusable: Option<FixtureError>,
    pub(crate) counts: Counts,
    pub(crate) failures: Vec<Failure>,
    /// Lines about files that contradict themselves.
    pub(crate) notes: Vec<String>,
    pub(crate) export_error: Option<ExportError>,
}

impl<'a> Replay<'a> {
    pub(crate) fn new(plan: RoundPlan, lists: Option<ListSource>, exports: &'a mut Exports) -> Self {
        Self {
            engine: Engine::new(plan.threads.config()),
            reference: match plan.mode {
                Mode::Compared(rounds) => Some((Engine::new(Config::sequential()), rounds)),
                Mode::Once | Mode::Repeated(_) => None,
            },
            plan,
            lists,
            exports,
            fixture: String::new(),
            case: String::new(),
            verified: None,
            measured: Measured::default(),
            unstable: None,
            transactions: TransactionLines::default(),
            unusable: None,
            counts: Counts::default(),
            failures: Vec::new(),
            notes: Vec::new(),
            export_error: None,
        }
    }

    /// Starts a fixture: the next reports are about it.
    pub(crate) fn begin_fixture(&mut self, fixture: String) {
        self.fixture = fixture;
        self.counts.fixtures += 1;
    }

    /// Starts a case of the fixture.
    pub(crate) fn begin_case(&mut self, case: &str) {
        case.clone_into(&mut self.case);
        self.counts.cases += 1;
    }

    /// Takes the counts since the last call.
    pub(crate) fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }
}

impl Executor for Replay<'_> {
    fn execute(
        &mut self,
        base: CaseBase<'_>,
        block: &Block,
        on_step: Option<OnStep<'_>>,
    ) -> Result<Outcome, BlockError> {
        let name = || BlockName::new(&self.fixture, &self.case, block);
        let listed = self.lists.as_mut().map_or(Lookup::Nothing, |lists| lists.find(block, name));
        let bare = without_list(block);
        self.transactions.execute(base, &bare);
        let result = match (self.reference.clone(), &listed) {
            (None, Lookup::Found(listed)) => self.repeat(base, listed, on_step),
            (None, Lookup::Missing(_) | Lookup::Nothing) => self.repeat(base, &bare, on_step),
            (Some(reference), _) => self.compare(&reference, base, &bare, listed.found(), on_step),
        };
        if let (Some(lists), Lookup::Missing(file), Ok(_)) = (&mut self.lists, listed, &result) {
            lists.add_missing(file);
        }
        result
    }
}

impl Replay<'_> {
    /// Executes a block by the chosen executor: once, or to warm up and in every round.
    fn repeat(
        &mut self,
        base: CaseBase<'_>,
        block: &Block,
        on_step: Option<OnStep<'_>>,
    ) -> Result<Outcome, BlockError> {
        let (mut is_cold, mut times) = (true, Times::default());
        let first = times.take(|| Executor::execute(&mut self.engine.clone(), base, block, on_step));
        if let Mode::Repeated(rounds) = self.plan.mode {
            let mut warm = Times::default();
            for round in 1..=rounds.get() {
                if is_interrupted() {
                    break;
                }
                let again = warm.take(|| self.engine.execute(&base, block));
                self.unstable = self.unstable.take().or_else(|| difference(&first, &again, "again", round));
            }
            // An interrupt before the first warm round leaves the cold one.
            (is_cold, times) = if warm.of_rounds().is_empty() { (true, times) } else { (false, warm) };
        }
        self.measured = Measured {
            time: times.median(),
            rounds: times.of_rounds().len(),
            is_cold,
            incarnations: first.as_ref().map_or(0, |outcome| outcome.statistics.incarnations),
            burnt_gas: first.as_ref().map_or(0, |outcome| burnt_gas(block, outcome)),
            compared: None,
        };
        first
    }

    /// Executes a block by both executors, and with its access list if it has one, in every round.
    fn compare(
        &mut self,
        (reference, rounds): &(Engine, Rounds),
        base: CaseBase<'_>,
        block: &Block,
        listed: Option<&Block>,
        on_step: Option<OnStep<'_>>,
    ) -> Result<Outcome, BlockError> {
        let with_steps =
            on_step.map(|on_step| Executor::execute(&mut reference.clone(), base, block, Some(on_step)));
        let parallel = &self.engine;
        let sides = comparison::Sides { sequential: reference, parallel, listed, parts: None };
        let (first, comparison) = sides.compare(&base, block, *rounds, || !is_interrupted());
        self.unstable = comparison.difference.clone();
        // An invalid block has no limit, and after an interrupt there is no time for it.
        let is_measured = comparison.rounds > 0 && first.is_ok() && !is_interrupted();
        // Dependencies are only found on a state that is known account by account.
        let known = base.known().filter(|_| is_measured);
        let limits = known.map(|base| Limits::of(&self.engine, base, block, comparison.rounds));
        self.measured = Measured {
            time: comparison.parallel,
            rounds: comparison.rounds,
            is_cold: false,
            incarnations: comparison.incarnations,
            burnt_gas: first.as_ref().map_or(0, |outcome| burnt_gas(block, outcome)),
            compared: limits.and_then(Result::ok).map(|limits| (comparison, limits)),
        };
        with_steps.unwrap_or(first)
    }

    fn count(&mut self, report: &BlockReport, measured: &Measured) {
        self.counts.blocks += 1;
        self.counts.transactions += report.transactions;
        self.counts.add_gas(report.gas, measured.burnt_gas, measured.rounds);
        match report.compared {
            Compared::Everything => {}
            Compared::AllButStateRoot => self.counts.without_state_root += 1,
            Compared::Nothing => self.counts.only_executed += 1,
        }
        self.counts.micros += micros(measured.time);
        self.count_notes(report);
        if let Some((comparison, limits)) = &measured.compared {
            self.counts.add_comparison(comparison, limits.at_threads, || {
                format!("{}: {}, block {}", self.fixture, report.case, report.number)
            });
        }
    }

    fn count_notes(&mut self, report: &BlockReport) {
        for note in &report.notes {
            let line = note_line(&self.fixture, &report.case, note);
            self.counts.unnamed += usize::from(matches!(note, Note::Unnamed { .. }));
            if note.is_contradiction() {
                self.notes.push(line);
            } else {
                print_detail(|| line);
            }
        }
    }

    /// The line of a block for `--verbose`.
    fn detail(&self, report: &BlockReport, measured: &Measured, error: Option<(Verdict, &str)>) -> String {
        let BlockReport { case, number, transactions, .. } = report;
        let verdict = error.map_or("passed", |(verdict, _)| verdict.word());
        let (fixture, time) = (&self.fixture, micros(measured.time) / 1000.0);
        let transactions = counted(*transactions, "transaction");
        format!("{verdict}: {fixture}: {case}, block {number}, {transactions}, {time:.3} ms")
    }

    fn write_line(
        &mut self,
        report: &BlockReport,
        measured: &Measured,
        error: Option<(Verdict, &str)>,
    ) -> Result<(), ExportError> {
        let compared = measured.compared.as_ref();
        self.exports.write_row(&BlockLine {
            fixture: &self.fixture,
            case: &report.case,
            block: report.number,
            fork: &report.fork,
            txs: report.transactions,
            gas: report.gas,
            burnt_gas: measured.burnt_gas.min(report.gas),
            threads: self.plan.threads.number(),
            rounds: measured.rounds,
            cold: measured.is_cold,
            micros: rounded(micros(measured.time)),
            compared: compared
                .map(|(comparison, limits)| ComparedLine::new(comparison, Some(limits)))
                .unwrap_or_default(),
            incarnations: measured.incarnations,
            notes: report.notes.iter().map(Note::to_string).collect(),
            ok: error.is_none(),
            unknown_reason: error.is_some_and(|(verdict, _)| verdict == Verdict::Unknown),
            error: error.map(|(_, error)| error),
            transactions: self.transactions.lines(),
        })
    }
}

type OnStep<'s> = &'s mut dyn FnMut(CommittedStep<'_>);

impl Harness for Replay<'_> {
    fn report(&mut self, report: BlockReport) -> ControlFlow<()> {
        let measured = std::mem::take(&mut self.measured);
        let error = match (self.unstable.take(), &report.result) {
            (Some(place), _) => {
                Some((Verdict::Failed, format!("another execution has a different outcome: {place}")))
            }
            (None, Err(error)) => Some((Verdict::of(error), error.to_string())),
            (None, Ok(())) => None,
        };
        self.count(&report, &measured);
        let described = error.as_ref().map(|(verdict, error)| (*verdict, error.as_str()));
        print_detail(|| self.detail(&report, &measured, described));
        let written = self.write_line(&report, &measured, described);
        let is_failure = error.is_some();
        if let Some((verdict, error)) = error {
            match verdict {
                Verdict::Failed => self.counts.failed += 1,
                Verdict::Unknown => self.counts.unknown_reasons += 1,
            }
            let (fixture, case) = (self.fixture.clone(), report.case);
            self.failures.push(Failure { verdict, fixture, case, block: report.number, error });
        }
        if let Err(error) = written {
            self.export_error = Some(error);
            return ControlFlow::Break(());
        }
        if is_interrupted() || (is_failure && self.plan.failures == OnFailure::Stop) {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    fn verified(&mut self, hash: B256, state_root: B256) {
        self.verified = Some((hash, state_root));
    }

    fn verified_root(&self, hash: B256) -> Option<B256> {
        self.verified.filter(|(verified, _)| *verified == hash).map(|(_, root)| root)
    }

    fn left_out(&mut self, case: &str, reason: &str) {
        print_detail(|| format!("left out: {}: {case}: {reason}", self.fixture));
        self.counts.left_out += 1;
        *self.counts.reasons.entry(reason.to_owned()).or_default() += 1;
    }

    fn unusable(&mut self, error: FixtureError) -> ControlFlow<()> {
        self.unusable = Some(error);
        ControlFlow::Continue(())
    }
}
