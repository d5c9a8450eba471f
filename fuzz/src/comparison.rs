//! Engines for tests, and the comparison of what two of them make of a block.

use std::{ops::ControlFlow, thread, time::Duration};

use blockloom_engine::{Block, BlockError, BlockStep, Config, Engine, Lists, Outcome, Receipt, TestMode};
use blockloom_state::{Changes, MemoryStore, list_differences};

use crate::HostileBlock;

/// An engine that executes every block on this many threads, whether that pays or not, and builds its
/// access list.
///
/// # Panics
///
/// If there are no threads.
pub fn engine_on(threads: usize) -> Engine {
    Engine::new(test_config(threads)).with_test_mode(TestMode::AlwaysParallel)
}

/// An engine that executes every block on this many threads, without publication: a speculative run
/// sees only the state before the block. A dependency that a run fails to observe becomes a difference
/// every time, not only with unlucky timing.
///
/// # Panics
///
/// If there are no threads.
pub fn isolated_engine_on(threads: usize) -> Engine {
    Engine::new(test_config(threads)).with_test_mode(TestMode::NoPublication)
}

/// An engine that executes every block on this many threads and soon defers the publication of writes,
/// to test late publication.
///
/// # Panics
///
/// If there are no threads.
pub fn deferred_engine_on(threads: usize) -> Engine {
    Engine::new(test_config(threads)).with_test_mode(TestMode::EarlyDeferral)
}

/// An engine that executes at least the `first` transactions of every block on the calling thread, and the rest on this
/// many threads, to test what speculative runs see of the first ones.
///
/// # Panics
///
/// If there are no threads.
pub fn late_engine_on(threads: usize, first: usize) -> Engine {
    Engine::new(test_config(threads)).with_test_mode(TestMode::ParallelAfter(first))
}

/// A short idle timeout, because tests have many engines at once and idle threads would slow down the
/// others; and access lists, because they are compared.
fn test_config(threads: usize) -> Config {
    let idle_timeout = Duration::from_micros(100);
    Config { idle_timeout, lists: Lists::Always, ..Config::with_threads(threads) }
}

/// Engines with several threads each, with and without publication.
pub fn engines() -> Vec<Engine> {
    vec![engine_on(2), engine_on(3), engine_on(8), deferred_engine_on(3), isolated_engine_on(3)]
}

/// The first difference between the executions of a block by two engines: in the outcome or the error,
/// or in a step.
///
/// Blocks are so small that the committing thread would run all transactions before another thread
/// wakes up. So the right engine executes the block a second time with delayed commits, which leaves time
/// for speculative runs, stale ones among them.
pub fn disagreement(left: &Engine, right: &Engine, hostile: &HostileBlock) -> Option<String> {
    let (expected, expected_steps) = record_steps(left, hostile, || {});
    let found = right.execute(&hostile.base, &hostile.block);
    let mut jitter = Jitter(hostile.block.transactions.len() as u64);
    let (delayed, steps) = record_steps(right, hostile, || jitter.delay());
    let step = expected_steps.iter().zip(&steps).position(|(left, right)| left != right);
    difference(&expected, &found)
        .or_else(|| difference(&expected, &delayed).map(|text| format!("with delayed commits: {text}")))
        .or_else(|| {
            step.map(|step| format!("step {step}: {:?}, but {:?}", expected_steps[step], steps[step]))
        })
        .or_else(|| (expected_steps.len() != steps.len()).then(|| "the numbers of steps differ".to_owned()))
}

/// Executes a block with a pause after each step, which leaves time for speculative runs.
///
/// # Errors
///
/// If the block is invalid.
pub fn execute_with_delayed_commits(
    engine: &Engine,
    base: &MemoryStore,
    block: &Block,
    pause: Duration,
) -> Result<Outcome, BlockError> {
    engine.execute_with(base, block, |_| {
        thread::sleep(pause);
        ControlFlow::Continue(())
    })
}

type RecordedStep = (BlockStep, Option<Receipt>, Changes);

/// Executes a block and records its steps; calls `pause` after each of them.
fn record_steps(
    engine: &Engine,
    HostileBlock { base, block, .. }: &HostileBlock,
    mut pause: impl FnMut(),
) -> (Result<Outcome, BlockError>, Vec<RecordedStep>) {
    let mut steps = Vec::new();
    let result = engine.execute_with(base, block, |committed| {
        steps.push((committed.step, committed.receipt.cloned(), committed.changes));
        pause();
        ControlFlow::Continue(())
    });
    (result, steps)
}

/// A source of random delays, the same for the same block.
struct Jitter(u64);

impl Jitter {
    /// Sleeps, yields or returns at once.
    fn delay(&mut self) {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        match self.0 >> 61 {
            0..3 => thread::sleep(Duration::from_micros(20)),
            3 => thread::sleep(Duration::from_micros(200)),
            4..6 => thread::yield_now(),
            _ => {}
        }
    }
}

/// The first difference between two executions of one block; errors are compared by message and by value.
pub fn difference(left: &Result<Outcome, BlockError>, right: &Result<Outcome, BlockError>) -> Option<String> {
    match (left, right) {
        (Ok(left), Ok(right)) if left == right => None,
        (Ok(left), Ok(right)) => Some(difference_of_outcomes(left, right)),
        (Err(left), Err(right)) if text(left) == text(right) => None,
        (Err(left), Err(right)) => Some(format!("{}, but {}", text(left), text(right))),
        (Ok(_), Err(error)) => Some(format!("executed, but {}", text(error))),
        (Err(error), Ok(_)) => Some(format!("{}, but executed", text(error))),
    }
}

fn text(error: &BlockError) -> String {
    format!("{error} ({error:?})")
}

/// The first difference between two outcomes.
fn difference_of_outcomes(left: &Outcome, right: &Outcome) -> String {
    let mut receipts = left.receipts.iter().zip(&right.receipts);
    if let Some(position) = receipts.position(|(left, right)| left != right) {
        let (left, right) = (&left.receipts[position], &right.receipts[position]);
        return format!("receipt {position}: {left:?}, but {right:?}");
    }
    if let Some(difference) = left.changes.first_difference(&right.changes) {
        return format!("changes: {difference:?}");
    }
    if let (Some(left), Some(right)) = (&left.access_list, &right.access_list)
        && let Some(first) = list_differences(left, right).first()
    {
        return format!("access list: {first}");
    }
    format!("{left:?}, but {right:?}")
}
