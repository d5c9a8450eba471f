//! Compares the engine on several threads with the engine on one, without and with the block's own
//! access list.

use std::{env, sync::LazyLock, time::Duration};

use alloy_hardforks::EthereumHardfork;
use blockloom_engine::Engine;
use blockloom_fuzz::{
    FORKS, HostileBlock, RunCounts, difference, disagreement, engine_on, engines,
    execute_with_delayed_commits, hostile_block,
};
use proptest::prelude::*;

/// The engines execute all blocks one after the other, so state that they keep between blocks is tested
/// too.
static SEQUENTIAL: LazyLock<Engine> = LazyLock::new(|| engine_on(1));
static PARALLEL: LazyLock<Vec<Engine>> = LazyLock::new(engines);
static WITH_PUBLICATION: LazyLock<Vec<Engine>> = LazyLock::new(|| [2, 3, 8].map(engine_on).into());

/// All forks, Amsterdam as well. The last one is tried most often.
fn forks() -> Vec<EthereumHardfork> {
    let (latest, others) = FORKS.split_last().expect("there are forks");
    [others, &[EthereumHardfork::Amsterdam, *latest]].concat()
}

/// How many blocks are tried: two thousand, because some faults show only then, unless `PROPTEST_CASES` says how
/// many.
fn cases() -> ProptestConfig {
    match env::var_os("PROPTEST_CASES") {
        Some(_) => ProptestConfig::default(),
        None => ProptestConfig::with_cases(2_000),
    }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn the_number_of_threads_changes_no_outcome(hostile in hostile_block(forks())) {
        for parallel in &*PARALLEL {
            let disagreement = disagreement(&SEQUENTIAL, parallel, &hostile);
            let text = disagreement.as_deref().unwrap_or_default();
            prop_assert!(disagreement.is_none(), "{} threads: {}", parallel.threads(), text);
        }
    }
}

proptest! {
    #[test]
    fn each_transaction_of_a_block_with_its_own_list_runs_once(
        HostileBlock { base, block, .. } in hostile_block(FORKS.to_vec()),
    ) {
        let expected = SEQUENTIAL.execute(&base, &block);
        let Ok(outcome) = &expected else { return Ok(()) };
        let list = outcome.access_list.clone().expect("all engines build lists");
        let block = block.with_hint(list).expect("the engine's list is well-formed");
        for parallel in WITH_PUBLICATION.iter() {
            let found = execute_with_delayed_commits(parallel, &base, &block, Duration::from_micros(10));
            let difference = difference(&expected, &found);
            prop_assert!(difference.is_none(), "{:?}", difference);
            let outcome = found.expect("the outcome is the expected one");
            let runs = RunCounts::of(&block, &outcome);
            prop_assert_eq!(runs.wasted, 0, "{} {:?}", block.rules.fork, outcome.statistics);
        }
    }
}
