//! Compares a stream of consecutive blocks with the same blocks one by one.

use std::{
    env,
    ops::ControlFlow,
    sync::{Arc, LazyLock},
    thread,
    time::Duration,
};

use alloy_hardforks::EthereumHardfork;
use alloy_primitives::map::AddressSet;
use blockloom_engine::{Block, BlockError, Engine, Outcome};
use blockloom_fuzz::{FORKS, HostileChain, difference, engine_on, engines, hostile_block, late_engine_on};
use blockloom_state::{Layer, Layered, MemoryStore};
use proptest::prelude::*;

static SEQUENTIAL: LazyLock<Engine> = LazyLock::new(|| engine_on(1));
static OTHERS: LazyLock<Vec<Engine>> = LazyLock::new(|| {
    let mut engines = engines();
    engines.extend([engine_on(1), late_engine_on(2, 3)]);
    engines
});

/// All forks, Amsterdam as well. The last one is tried most often.
fn forks() -> Vec<EthereumHardfork> {
    let (latest, others) = FORKS.split_last().expect("there are forks");
    [others, &[EthereumHardfork::Amsterdam, *latest]].concat()
}

fn cases() -> ProptestConfig {
    match env::var_os("PROPTEST_CASES") {
        Some(_) => ProptestConfig::default(),
        None => ProptestConfig::with_cases(1_000),
    }
}

/// The same block, with the accounts that have only storage before it.
fn with_storage_only(block: &Block, before: &MemoryStore) -> Block {
    let mut block = block.clone();
    let accounts: AddressSet = before.storage_only().collect();
    block.rules.storage_only = (!accounts.is_empty()).then(|| Arc::new(accounts));
    block
}

/// What the blocks of a chain yield one by one, up to the first error.
fn one_by_one(HostileChain { base, blocks }: &HostileChain) -> Vec<Result<Outcome, BlockError>> {
    let (mut state, mut results) = (base.clone(), Vec::new());
    for (position, block) in blocks.iter().enumerate() {
        if position > 0 {
            state.set_block_hash(block.number() - 1, Some(block.parent_hash));
        }
        let result = SEQUENTIAL.execute(&state, &with_storage_only(block, &state));
        let is_last = result.is_err();
        if let Ok(outcome) = &result {
            state.apply(&outcome.changes).expect("an outcome fits its base");
        }
        results.push(result);
        if is_last {
            break;
        }
    }
    results
}

/// The same as a stream. At each border the gate waits, so that transactions of the next block run.
fn as_a_stream(
    engine: &Engine,
    HostileChain { base, blocks }: &HostileChain,
) -> Vec<Result<Outcome, BlockError>> {
    let mut results = Vec::new();
    let result = engine.execute_blocks(base, blocks, |outcome| {
        results.push(Ok(outcome));
        thread::sleep(Duration::from_micros(100));
        ControlFlow::Continue(())
    });
    results.extend(result.err().map(Err));
    results
}

/// The same one by one, each block on layers of the changes before it.
fn on_layers(HostileChain { base, blocks }: &HostileChain) -> Vec<Result<Outcome, BlockError>> {
    let (mut layers, mut results, mut state) = (Vec::new(), Vec::new(), base.clone());
    for (position, block) in blocks.iter().enumerate() {
        let hash = blocks.get(position + 1).map(|next| next.parent_hash).unwrap_or_default();
        let layered = Layered::new(base, layers.clone());
        let result = SEQUENTIAL.execute(&layered, &with_storage_only(block, &state));
        let is_last = result.is_err();
        if let Ok(Outcome { changes, .. }) = &result {
            state.apply(changes).expect("an outcome fits its base");
            let mut layer = Layer::default();
            layer.add(changes, block.number(), hash);
            layers.push(Arc::new(layer));
        }
        results.push(result);
        if is_last {
            break;
        }
    }
    results
}

/// The first block of which the results differ, and how.
fn first_difference(
    expected: &[Result<Outcome, BlockError>],
    found: &[Result<Outcome, BlockError>],
) -> Option<(usize, String)> {
    let differences = expected.iter().zip(found).map(|(expected, found)| difference(expected, found));
    let first = differences.enumerate().find_map(|(block, difference)| Some((block, difference?)));
    first.or_else(|| (expected.len() != found.len()).then(|| (found.len(), "there are more blocks".into())))
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn a_stream_of_blocks_yields_what_the_blocks_yield_one_by_one(
        hostile in hostile_block(forks()),
        bytes in prop::collection::vec(any::<u8>(), 64),
    ) {
        let chain = HostileChain::of(hostile, &bytes);
        let expected = one_by_one(&chain);
        for engine in &*OTHERS {
            let found = as_a_stream(engine, &chain);
            let difference = first_difference(&expected, &found);
            prop_assert!(difference.is_none(), "{} threads: {:?}", engine.threads(), difference);
        }
        prop_assert_eq!(first_difference(&expected, &on_layers(&chain)), None);
    }
}
