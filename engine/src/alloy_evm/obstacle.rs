//! Why a client's block is not executed in parallel: the reasons, the reports to the client's observer, and
//! the counts.

use std::{fmt, sync::Arc};

use blockloom_state::sync::{AtomicU64, Ordering};

use crate::block::error::BlockError;

/// Why an executor runs a block's transactions one after the other. The result is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Obstacle {
    /// The engine has one thread.
    #[error("the engine has only one thread")]
    OneThread,
    /// An inspector must receive every instruction in order. Every type but
    /// [`NoOpInspector`](revm::inspector::NoOpInspector) counts as one, enabled or not.
    #[error("an inspector must receive every instruction in order")]
    Inspector,
    /// The precompiles are not those of the fork, or a precompile lookup is set. See
    /// [`ClientPrecompiles`](crate::ClientPrecompiles).
    #[error("the precompiles are not those of the fork")]
    Precompiles,
    /// The configuration is not that of a fork: a check is disabled, for example, or a limit differs.
    #[error("the configuration is not that of a fork")]
    Configuration,
    /// The executor has executed transactions of the block one by one.
    #[error("transactions of the block were already executed one by one")]
    HalfDone,
    /// The client gives the transactions one by one, and did not announce them. See
    /// [`ParallelExecutor::announce`](crate::ParallelExecutor::announce).
    #[error("transactions are given one by one, and were not announced")]
    OneByOne,
    /// The announced transactions did not come, because one of them has no valid signature, for example.
    #[error("the announced transactions did not come")]
    Withdrawn,
    /// The client gives another transaction than the announced one. The rest of the block runs sequentially.
    #[error("a transaction is not the announced one")]
    Unexpected,
    /// Between two announced transactions the client did not commit, committed twice, or asked for the EVM.
    /// The rest of the block runs sequentially, because the state may have changed.
    #[error("the executor was used otherwise between two announced transactions")]
    Interrupted,
    /// The block is so small that helpers would cost more than they bring.
    #[error("the block is too small for parallel execution to pay")]
    Small,
    /// The client's database can be read by one thread only, and the client has no base with the same state.
    #[error("the database can be read by one thread only")]
    Database,
    /// The caller looks at what a sequential execution reads, to make a witness for example.
    #[error("the caller looks at what the block reads")]
    Witness,
    /// The client's database builds the block's access list (EIP-7928) out of the reads of a sequential
    /// execution.
    #[error("the database builds the block's access list")]
    AccessList,
    /// The system has no thread that could execute while the calling thread reads the database.
    #[error("the system has no thread for the execution")]
    NoThread,
    /// The engine stopped at a transaction that alloy-evm's executor accepts: the client's base failed, for
    /// example, or something panicked. The rest of the block runs sequentially, on the client's database. The
    /// report has the engine's error.
    #[error("the engine stopped at a transaction that the client's own execution accepts")]
    Failed,
}

impl Obstacle {
    /// All obstacles.
    pub const ALL: [Self; 15] = [
        Self::OneThread,
        Self::Inspector,
        Self::Precompiles,
        Self::Configuration,
        Self::HalfDone,
        Self::OneByOne,
        Self::Withdrawn,
        Self::Unexpected,
        Self::Interrupted,
        Self::Small,
        Self::Database,
        Self::Witness,
        Self::AccessList,
        Self::NoThread,
        Self::Failed,
    ];
}

/// What an observer receives: a block that is not executed in parallel, or not to its end, and why.
///
/// Its text names the block, the obstacle, and the error if there is one.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ObstacleReport<'r> {
    /// The number of the block.
    pub block: u64,
    /// The obstacle.
    pub obstacle: Obstacle,
    /// The engine's error, if the obstacle is [`Obstacle::Failed`].
    pub error: Option<&'r BlockError>,
}

impl fmt::Display for ObstacleReport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "block {} is executed sequentially: {}", self.block, self.obstacle)?;
        self.error.map_or(Ok(()), |error| write!(f, ": {error}"))
    }
}

/// How many blocks a factory's executors ran in parallel, and how often which [`Obstacle`] prevented it.
///
/// Blocks with fewer than two transactions count nowhere. A block whose results were dropped in the middle
/// counts twice.
#[derive(Debug, Default)]
pub struct BlockCounts {
    parallel: AtomicU64,
    sequential: [AtomicU64; Obstacle::ALL.len()],
}

impl BlockCounts {
    /// The blocks that the engine executed to their end, or to an invalid transaction.
    pub fn parallel(&self) -> u64 {
        // ORDER: Relaxed: a count orders nothing.
        self.parallel.load(Ordering::Relaxed)
    }

    /// The blocks with this obstacle.
    pub fn sequential(&self, obstacle: Obstacle) -> u64 {
        // ORDER: Relaxed: see `parallel`.
        self.sequential[obstacle as usize].load(Ordering::Relaxed)
    }
}

/// A client's observer.
type Observe = dyn Fn(&ObstacleReport<'_>) + Send + Sync;

/// Where a factory's executors report to.
#[derive(Clone, Default)]
pub(super) struct Reports {
    counts: Arc<BlockCounts>,
    observer: Option<Arc<Observe>>,
}

impl Reports {
    pub(super) fn set_observer(&mut self, observer: impl Fn(&ObstacleReport<'_>) + Send + Sync + 'static) {
        self.observer = Some(Arc::new(observer));
    }

    pub(super) fn counts(&self) -> &BlockCounts {
        &self.counts
    }

    pub(super) fn parallel(&self) {
        // ORDER: Relaxed: see `BlockCounts::parallel`.
        self.counts.parallel.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn sequential(&self, block: u64, obstacle: Obstacle) {
        self.report(&ObstacleReport { block, obstacle, error: None });
    }

    pub(super) fn failed(&self, error: &BlockError) {
        self.report(&ObstacleReport { block: error.number, obstacle: Obstacle::Failed, error: Some(error) });
    }

    fn report(&self, report: &ObstacleReport<'_>) {
        // ORDER: Relaxed: see `BlockCounts::parallel`.
        self.counts.sequential[report.obstacle as usize].fetch_add(1, Ordering::Relaxed);
        if let Some(observer) = &self.observer {
            observer(report);
        }
    }
}

impl fmt::Debug for Reports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reports").field("counts", &self.counts).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_obstacle_has_its_place() {
        for (place, obstacle) in Obstacle::ALL.into_iter().enumerate() {
            assert_eq!(obstacle as usize, place, "{obstacle}");
        }
    }
}
