//! Properties: blocks of toys in parallel equal the oracle.

use std::{sync::LazyLock, time::Duration};

use blockloom_fixtures::Random;
use blockloom_state::{Memory, Visibility};
use proptest::prelude::*;

use crate::{
    threads::pool::Workers,
    toy::{
        machine::{Misbehaviour, WorkerStart},
        oracle,
        program::{COINBASE, Toy},
        run,
    },
};

static WORKERS: LazyLock<Workers> =
    LazyLock::new(|| Workers::start(8, Duration::ZERO).expect("the system gives threads"));

/// Suppresses the messages of random panics.
fn suppress_random_panics() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.payload().downcast_ref::<&str>() != Some(&"a random panic") {
            print(panic);
        }
    }));
}

/// Executes blocks with at least this number of transactions in total.
fn blocks_agree(seed: u64, transactions: usize) {
    suppress_random_panics();
    let mut random = Random::new(seed);
    let mut memory = Memory::default();
    let mut ran = 0;
    while ran < transactions {
        let seed = random.next_number();
        let mut shape = Random::new(seed);
        let (locations, size) = (1 + shape.below(200), 2 + shape.below(400) as usize);
        let toy = Toy::new(&mut shape, locations, size);
        let (threads, one_in) = (1 + shape.below(8) as usize, [0, 50, 5][shape.below(3) as usize]);
        memory.reset();
        let visibility = if shape.once_in(4) { Visibility::Nothing } else { Visibility::Published };
        memory.open([COINBASE], visibility);
        let misbehaviour = Misbehaviour { seed, one_in, start: WorkerStart::Works };
        let outcome = run(&toy, &WORKERS, threads, misbehaviour, &memory);
        let expected = oracle::expect(&toy);
        assert_eq!(outcome.invalid, expected.invalid, "seed {seed}");
        assert_eq!(outcome.yields, expected.yields, "seed {seed}");
        assert_eq!(outcome.after.first_difference(&expected.after), None, "seed {seed}");
        ran += expected.yields.len();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 50, ..ProptestConfig::default() })]

    #[test]
    fn a_million_toys_equal_the_oracle(seed: u64) {
        blocks_agree(seed, 20_500);
    }
}
