//! Small blocks of toys under the model checker, which decides every switch between threads.
//!
//! Assertions of the committer and the comparison with the oracle find a lost transaction and a double commit; the
//! model checker itself finds a deadlock.

use std::time::Duration;

use blockloom_fixtures::Random;
use blockloom_state::{Memory, Visibility};

use crate::{
    threads::pool::Workers,
    toy::{
        machine::Misbehaviour,
        oracle,
        program::{COINBASE, Toy},
        run,
    },
};

/// How many schedules each strategy tries.
const SCHEDULES: usize = 20_000;

fn small_block(seed: u64) {
    let mut random = Random::new(seed);
    let (locations, size) = (1 + random.below(4), 2 + random.below(5) as usize);
    let toy = Toy::new(&mut random, locations, size);
    let mut memory = Memory::default();
    memory.open(COINBASE, Visibility::Published);
    let threads = 2 + random.below(2) as usize;
    let misbehaviour = Misbehaviour { seed, one_in: [0, 3][random.below(2) as usize] };
    let workers = Workers::start(threads - 1, Duration::ZERO).expect("the system gives threads");
    let outcome = run(&toy, &workers, threads, misbehaviour, &memory);
    let expected = oracle::expect(&toy);
    assert_eq!(outcome.invalid, expected.invalid, "seed {seed}");
    assert_eq!(outcome.yields, expected.yields, "seed {seed}");
    assert_eq!(outcome.after.first_difference(&expected.after), None, "seed {seed}");
}

#[test]
fn no_schedule_loses_a_transaction_or_hangs() {
    shuttle::check_random(
        || small_block(shuttle::rand::Rng::r#gen(&mut shuttle::rand::thread_rng())),
        SCHEDULES,
    );
}

#[test]
fn no_schedule_with_few_switches_loses_a_transaction_or_hangs() {
    shuttle::check_pct(
        || small_block(shuttle::rand::Rng::r#gen(&mut shuttle::rand::thread_rng())),
        SCHEDULES,
        3,
    );
}
