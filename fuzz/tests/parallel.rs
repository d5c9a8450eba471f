//! The engine on several threads, beside the engine on one; and with the block's own access list.

use std::{sync::LazyLock, time::Duration};

use blockloom_engine::Engine;
use blockloom_fuzz::{
    FORKS, HostileBlock, Runs, difference, disagreement, engine_on, engines, hostile_block, kept_waiting,
};
use proptest::prelude::*;

/// They serve all blocks one after the other, so what they keep between blocks is looked at as well.
static SEQUENTIAL: LazyLock<Engine> = LazyLock::new(|| engine_on(1));
static PARALLEL: LazyLock<Vec<Engine>> = LazyLock::new(engines);
static SIGHTED: LazyLock<Vec<Engine>> = LazyLock::new(|| [2, 3, 8].map(engine_on).into());

proptest! {
    #[test]
    fn threads_change_nothing(hostile in hostile_block(FORKS.to_vec())) {
        for parallel in &*PARALLEL {
            let disagreement = disagreement(&SEQUENTIAL, parallel, &hostile);
            let text = disagreement.as_deref().unwrap_or_default();
            prop_assert!(disagreement.is_none(), "{} threads: {}", parallel.threads(), text);
        }
    }

    #[test]
    fn with_its_own_list_each_transaction_runs_once(
        HostileBlock { base, block, .. } in hostile_block(FORKS.to_vec()),
    ) {
        let expected = SEQUENTIAL.execute(&base, &block);
        let Ok(outcome) = &expected else { return Ok(()) };
        let list = outcome.access_list.clone().expect("all engines list");
        let block = block.with_hint(list).expect("it is in order");
        for parallel in SIGHTED.iter() {
            let found = kept_waiting(parallel, &base, &block, Duration::from_micros(10));
            let difference = difference(&expected, &found);
            prop_assert!(difference.is_none(), "{:?}", difference);
            let outcome = found.expect("it is the same");
            let runs = Runs::of(&block, &outcome);
            prop_assert_eq!(runs.wasted, 0, "{} {:?}", block.rules.fork, outcome.statistics);
        }
    }
}
