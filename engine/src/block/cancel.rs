//! A handle that cancels blocks from any thread.

use std::sync::Arc;

use blockloom_state::sync::{AtomicBool, Ordering};

/// Cancels the blocks of an engine from any thread, before their first step and between any two steps. Clones cancel the
/// same blocks.
///
/// A transaction that is being executed on the committed state is not interrupted: the block ends before the next one, with
/// [`Reason::Cancelled`](crate::Reason::Cancelled). Steps that were reported before stay reported.
///
/// ```
/// use alloy_consensus::Header;
/// use alloy_hardforks::EthereumHardfork;
/// use blockloom_engine::{Block, CancelHandle, Config, Engine, Reason, Rules};
/// use blockloom_state::MemoryStore;
///
/// let handle = CancelHandle::new();
/// let engine = Engine::new(Config::default()).cancelled_by(&handle);
/// std::thread::spawn(move || handle.cancel()).join().expect("it does not panic");
/// let block = Block::without_body(Rules::mainnet(EthereumHardfork::Shanghai), &Header::default());
/// let error = engine.execute(&MemoryStore::new(), &block).unwrap_err();
/// assert!(matches!(error.reason, Reason::Cancelled { .. }));
/// ```
#[derive(Clone, Debug, Default)]
pub struct CancelHandle(Arc<AtomicBool>);

impl CancelHandle {
    /// A handle that has cancelled nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancels the blocks that are being executed, and all later ones: the handle stays cancelled.
    pub fn cancel(&self) {
        // ORDER: Relaxed: a block that sees the flag late executes one more step.
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the handle has cancelled.
    pub fn is_cancelled(&self) -> bool {
        // ORDER: Relaxed: see `cancel`.
        self.0.load(Ordering::Relaxed)
    }
}
