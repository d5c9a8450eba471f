//! Any block, executed in parallel, comes out as it does sequentially.

#![no_main]

use std::sync::LazyLock;

use blockloom_engine::Engine;
use blockloom_fuzz::{FORKS, disagreement, engine_on, engines, hostile_block_of};
use libfuzzer_sys::fuzz_target;

static SEQUENTIAL: LazyLock<Engine> = LazyLock::new(|| engine_on(1));
static PARALLEL: LazyLock<Vec<Engine>> = LazyLock::new(engines);

fuzz_target!(|bytes: &[u8]| {
    let hostile = hostile_block_of(&FORKS, bytes);
    for parallel in &*PARALLEL {
        if let Some(disagreement) = disagreement(&SEQUENTIAL, parallel, &hostile) {
            panic!("{} threads: {disagreement}\n{hostile:#?}", parallel.threads());
        }
    }
});
