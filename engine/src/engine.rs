//! The front door: configuration, and executing a block.

use std::{num::NonZeroUsize, ops::ControlFlow, sync::Arc};

use blockloom_state::Base;

use crate::{
    Block, BlockError, Outcome,
    sequential::{self, Observer, Step},
    spread::Workers,
};

/// How an engine executes.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// How many threads execute a block, the calling one among them; by default as many as the
    /// machine runs at once. With one, transactions run one after the other on the calling thread.
    pub threads: Option<NonZeroUsize>,
    /// The pool that the other threads are taken from; by default the engine makes one of its own
    /// when it first needs it.
    pub workers: Option<Workers>,
}

impl Config {
    /// As many threads as said.
    ///
    /// # Panics
    ///
    /// If `threads` is zero.
    pub fn with_threads(threads: usize) -> Self {
        let threads = NonZeroUsize::new(threads).expect("at least the calling thread executes");
        Self { threads: Some(threads), ..Self::default() }
    }

    /// One thread: transactions run one after the other.
    pub fn sequential() -> Self {
        Self::with_threads(1)
    }
}

/// Executes blocks, in parallel where that pays. One engine serves any number of threads at once.
///
/// ```
/// use alloy_consensus::Header;
/// use alloy_hardforks::EthereumHardfork;
/// use blockloom_engine::{Block, Config, Engine, Rules};
/// use blockloom_state::MemoryStore;
///
/// let base = MemoryStore::new();
/// let block = Block::without_body(Rules::mainnet(EthereumHardfork::Shanghai), &Header::default());
/// let outcome = Engine::new(Config::default()).execute(&base, &block)?;
/// assert!(outcome.changes.is_empty());
/// # Ok::<(), blockloom_engine::BlockError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Engine {
    shared: Arc<Shared>,
}

/// What the clones of an engine share.
#[derive(Debug, Default)]
struct Shared {
    config: Config,
}

impl Engine {
    /// An engine that executes as `config` says.
    pub fn new(config: Config) -> Self {
        Self { shared: Arc::new(Shared { config }) }
    }

    /// How many threads execute a block.
    pub fn threads(&self) -> usize {
        self.shared.config.threads.map_or_else(crate::spread::machine_threads, NonZeroUsize::get)
    }

    /// Executes a block on `base`, the state before it. The base is not changed: the outcome says
    /// what the block does to it.
    ///
    /// What the block's header claims is not looked at: see
    /// [`check_outcome`](crate::check_outcome).
    ///
    /// # Errors
    ///
    /// If consensus forbids the block, the base cannot be read, or something panicked.
    pub fn execute<B: Base>(&self, base: &B, block: &Block) -> Result<Outcome, BlockError> {
        sequential::execute(base, block, Observer::Nobody)
    }

    /// Executes a block like [`execute`](Self::execute) and tells `on_commit` of each step as soon
    /// as it is committed, on the calling thread and while later transactions still run: what
    /// happens before the transactions, each transaction in order, what happens after them. The
    /// changes of all steps, applied one after the other, are the changes of the outcome.
    ///
    /// Whoever answers with [`ControlFlow::Break`] cancels the rest of the block.
    ///
    /// # Errors
    ///
    /// If consensus forbids the block, the base cannot be read, something panicked, `on_commit`
    /// among it, or the block was cancelled. The steps up to there were told.
    pub fn execute_with<B: Base>(
        &self,
        base: &B,
        block: &Block,
        mut on_commit: impl FnMut(Step<'_>) -> ControlFlow<()>,
    ) -> Result<Outcome, BlockError> {
        sequential::execute(base, block, Observer::Callback(&mut on_commit))
    }
}
