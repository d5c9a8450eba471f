//! Small blocks of toys under the model checker, which decides every switch between threads.
//!
//! Assertions of the committer and the comparison with the oracle find a lost transaction and a double commit; the
//! model checker itself finds a deadlock.

use std::{
    panic::{catch_unwind, resume_unwind},
    time::Duration,
};

use blockloom_fixtures::Random;
use blockloom_state::{Memory, Visibility};

use crate::{
    threads::pool::Workers,
    toy::{
        machine::{LOST_WORKER, Misbehaviour, WorkerStart},
        oracle,
        program::{COINBASE, Toy},
        run,
    },
};

/// How many schedules each strategy tries.
const SCHEDULES: usize = 20_000;

fn small_block(start: WorkerStart) {
    let seed = shuttle::rand::Rng::r#gen(&mut shuttle::rand::thread_rng());
    let mut random = Random::new(seed);
    let (locations, size) = (1 + random.below(4), 2 + random.below(5) as usize);
    let mut toy = Toy::new(&mut random, locations, size);
    if random.once_in(2) {
        toy.end_at_random(&mut random);
    }
    let mut memory = Memory::default();
    memory.open([COINBASE], Visibility::Published);
    let threads = 2 + random.below(2) as usize;
    let misbehaviour = Misbehaviour { seed, one_in: [0, 3][random.below(2) as usize], start };
    let workers = Workers::start(threads - 1, Duration::ZERO).expect("the system gives threads");
    let outcome = run(&toy, &workers, threads, misbehaviour, &memory);
    let expected = oracle::expect(&toy);
    assert_eq!(outcome.invalid, expected.invalid, "seed {seed}");
    assert_eq!(outcome.yields, expected.yields, "seed {seed}");
    assert_eq!(outcome.after.first_difference(&expected.after), None, "seed {seed}");
}

fn small_block_that_loses_workers() {
    match catch_unwind(|| small_block(WorkerStart::Panics)) {
        // No worker began a run.
        Ok(()) => {}
        Err(panic) if panic.downcast_ref() == Some(&LOST_WORKER) => {}
        Err(panic) => resume_unwind(panic),
    }
}

#[test]
fn no_schedule_loses_a_transaction_or_hangs() {
    shuttle::check_random(|| small_block(WorkerStart::Works), SCHEDULES);
}

#[test]
fn no_schedule_with_few_switches_loses_a_transaction_or_hangs() {
    shuttle::check_pct(|| small_block(WorkerStart::Works), SCHEDULES, 3);
}

#[test]
fn no_schedule_that_loses_a_worker_hangs_or_hides_its_panic() {
    shuttle::check_random(small_block_that_loses_workers, SCHEDULES);
}
