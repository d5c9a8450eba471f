//! Spreads independent work over threads. The only file that names rayon.

use rayon::prelude::*;

/// Applies `work` to every item, in parallel; the answers stand in the order of the items.
pub(crate) fn spread<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync + Send) -> Vec<R> {
    items.par_iter().map(work).collect()
}
