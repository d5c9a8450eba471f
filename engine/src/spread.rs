//! Spreads work over threads. The only file that names rayon.

use std::{fmt, sync::Arc};

use rayon::prelude::*;

/// A pool of threads that execute blocks. It outlives blocks and engines, and many may share it.
#[derive(Clone)]
pub struct Workers(Arc<rayon::ThreadPool>);

impl From<Arc<rayon::ThreadPool>> for Workers {
    fn from(pool: Arc<rayon::ThreadPool>) -> Self {
        Self(pool)
    }
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Workers").field(&self.0.current_num_threads()).finish()
    }
}

/// How many threads the machine runs at once.
pub(crate) fn machine_threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Applies `work` to every item, in parallel; the answers stand in the order of the items.
pub(crate) fn spread<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync + Send) -> Vec<R> {
    items.par_iter().map(work).collect()
}
