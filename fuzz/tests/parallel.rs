//! The engine on several threads, beside the engine on one.

use std::sync::LazyLock;

use blockloom_engine::Engine;
use blockloom_fuzz::{FORKS, disagreement, engine_on, engines, hostile_block};
use proptest::prelude::*;

/// They serve all blocks one after the other, so what they keep between blocks is looked at as well.
static SEQUENTIAL: LazyLock<Engine> = LazyLock::new(|| engine_on(1));
static PARALLEL: LazyLock<Vec<Engine>> = LazyLock::new(engines);

proptest! {
    #[test]
    fn threads_change_nothing(hostile in hostile_block(FORKS.to_vec())) {
        for parallel in &*PARALLEL {
            let disagreement = disagreement(&SEQUENTIAL, parallel, &hostile);
            let text = disagreement.as_deref().unwrap_or_default();
            prop_assert!(disagreement.is_none(), "{} threads: {}", parallel.threads(), text);
        }
    }
}
