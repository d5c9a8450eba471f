//! Prepares what would be set up at its first use inside a block: in the pool of the embedder, or else on threads of its
//! own, which end when that is done.
//!
//! A point evaluation (EIP-4844) needs points of the trusted setup. With blst, as here, that is two points. If
//! another crate of the program turns on revm's feature `c-kzg`, it is a table whose computation takes seconds.
//! Does not touch revm's `install_crypto`, which the program may call later.
//!
//! A pool of many threads takes milliseconds to start.

use std::{
    sync::{Arc, Once, OnceLock},
    thread,
};

use revm::precompile::kzg_point_evaluation::verify_kzg_proof;

use crate::{
    block::config::Config,
    threads::{
        job_queue::JobPriority,
        pool::{Workers, machine_threads},
    },
};

/// An engine's own pool of more threads than this is started with the engine: that may take over a millisecond.
const LARGE_POOL: usize = 20;

/// The encoding of the point at infinity: commitment and proof of the polynomial zero.
const INFINITY: [u8; 48] = {
    let mut point = [0; 48];
    point[0] = 0xc0;
    point
};

/// Starts to prepare what an engine needs, and does not wait for it. Returns the place of the engine's own pool.
pub(crate) fn start(config: &Config) -> Arc<OnceLock<Option<Workers>>> {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| match &config.workers {
        Some(workers) => workers.spawn(JobPriority::Background, evaluate_point),
        None => beside(evaluate_point),
    });
    let pool: Arc<OnceLock<Option<Workers>>> = Arc::default();
    let threads = config.threads.map_or_else(machine_threads, usize::from) - 1;
    if config.workers.is_none() && threads > LARGE_POOL {
        let (pool, idle_timeout) = (Arc::clone(&pool), config.idle_timeout);
        beside(move || {
            pool.get_or_init(|| Workers::start(threads, idle_timeout));
        });
    }
    pool
}

/// Does work on a thread of its own. If the system gives none, the first block that needs the result does the work.
fn beside(work: impl FnOnce() + Send + 'static) {
    let _ = thread::Builder::new().name("blockloom-warm-up".to_owned()).spawn(work);
}

fn evaluate_point() {
    is_zero_at_zero();
}

/// Whether the polynomial zero is zero at zero.
fn is_zero_at_zero() -> bool {
    verify_kzg_proof(&INFINITY, &[0; 32], &[0; 32], &INFINITY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_evaluation_passes_every_check() {
        assert!(is_zero_at_zero(), "an early rejection might set up nothing");
    }
}
