//! Where two engines disagree about a block.

use std::{ops::ControlFlow, thread, time::Duration};

use blockloom_engine::{Block, BlockError, Config, Engine, Lists, Outcome, Place, Receipt, Spread};
use blockloom_state::{Changes, MemoryStore, partings};

use crate::HostileBlock;

/// An engine that executes every block on so many threads, whether that pays or not, and lists what
/// it accesses.
///
/// # Panics
///
/// If there are no threads.
pub fn engine_on(threads: usize) -> Engine {
    Engine::new(Config { spread: Spread::Always, ..impatient(threads) })
}

/// An engine that executes every block on so many threads, and who runs ahead sees nothing of what
/// others do: whatever a run does not observe comes to light.
///
/// # Panics
///
/// If there are no threads.
pub fn blindfolded_on(threads: usize) -> Engine {
    Engine::new(Config { spread: Spread::Blindfolded, ..impatient(threads) })
}

/// An engine that executes every block on so many threads, and those who run ahead soon tell each other
/// nothing any more: whatever is told late comes to light.
///
/// # Panics
///
/// If there are no threads.
pub fn hushed_on(threads: usize) -> Engine {
    Engine::new(Config { spread: Spread::Hushed, ..impatient(threads) })
}

/// Tests have many engines at once, whose threads would keep the others' from working. Access lists are
/// part of what is compared.
fn impatient(threads: usize) -> Config {
    let patience = Duration::from_micros(100);
    Config { patience, lists: Lists::Always, ..Config::with_threads(threads) }
}

/// Engines that execute every block on several threads, each in its own way.
pub fn engines() -> Vec<Engine> {
    vec![engine_on(2), engine_on(3), engine_on(8), hushed_on(3), blindfolded_on(3)]
}

/// What two engines make of a block, if it is not the same: the outcome whole, or the error as it
/// reads and as it is, and every step on the way there.
///
/// Blocks are so small that whoever commits would run them all before anybody else wakes up. So the
/// right engine executes a second time, and dawdles over its commits: others get ahead of them then,
/// with what may turn out to be stale.
pub fn disagreement(left: &Engine, right: &Engine, hostile: &HostileBlock) -> Option<String> {
    let (expected, expected_steps) = told(left, hostile, || {});
    let found = right.execute(&hostile.base, &hostile.block);
    let mut coin = Coin(hostile.block.transactions.len() as u64);
    let (dawdled, steps) = told(right, hostile, || coin.dawdle());
    let step = expected_steps.iter().zip(&steps).position(|(left, right)| left != right);
    difference(&expected, &found)
        .or_else(|| difference(&expected, &dawdled).map(|text| format!("dawdling: {text}")))
        .or_else(|| {
            step.map(|step| format!("step {step}: {:?}, but {:?}", expected_steps[step], steps[step]))
        })
        .or_else(|| (expected_steps.len() != steps.len()).then(|| "one told more steps".to_owned()))
}

/// Executes a block and keeps the gate waiting after each step, so that others get ahead of it.
///
/// # Errors
///
/// If the block is invalid.
pub fn kept_waiting(
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

type ToldStep = (Place, Option<Receipt>, Changes);

/// Executes a block and writes down what is told of it; `pause` comes after each step.
fn told(
    engine: &Engine,
    HostileBlock { base, block, .. }: &HostileBlock,
    mut pause: impl FnMut(),
) -> (Result<Outcome, BlockError>, Vec<ToldStep>) {
    let mut steps = Vec::new();
    let result = engine.execute_with(base, block, |step| {
        steps.push((step.place, step.receipt.cloned(), step.changes));
        pause();
        ControlFlow::Continue(())
    });
    (result, steps)
}

/// Falls as chance would have it, the same way for the same block.
struct Coin(u64);

impl Coin {
    /// Sleeps, or steps aside, or neither.
    fn dawdle(&mut self) {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        match self.0 >> 61 {
            0..3 => thread::sleep(Duration::from_micros(20)),
            3 => thread::sleep(Duration::from_micros(200)),
            4..6 => thread::yield_now(),
            _ => {}
        }
    }
}

/// The first thing in which two executions of one block differ; errors as they read and as they are.
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

/// The first thing in which two outcomes differ.
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
        && let Some(parting) = partings(left, right).first()
    {
        return format!("access list: {parting}");
    }
    format!("{left:?}, but {right:?}")
}
