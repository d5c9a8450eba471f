//! Executes a block under an inspector of revm.

use std::{
    cell::Cell,
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
    slice::from_ref,
};

use alloy_evm::eth::EthEvmContext;
use blockloom_state::{Base, CachedBase};
use revm::Inspector;

use crate::{
    block::{
        block::Block,
        error::{BlockError, Reason},
        outcome::Outcome,
        steps::Steps,
    },
    commit::{
        committer::BlockCommitter,
        observer::{CommittedStep, Observer, Progress},
        sequential,
    },
    engine::Engine,
    evm::{InspectedState, handling::Handling, watch::Inspected},
    parallel::thread_log::Recorder,
};

impl<H: Handling> Engine<H> {
    /// Executes a block sequentially, and calls an inspector of revm for every call, creation, instruction and log of its
    /// transactions. Any inspector for alloy-evm's `EthEvm` will do. `on_commit` receives the inspector with each
    /// committed step, as in [`execute_with`](Self::execute_with): after a transaction it can take what the inspector has
    /// found, and make it ready for the next one.
    ///
    /// The inspector sees no system call, no withdrawal and no reward. If it changes the execution, the outcome changes
    /// with it; otherwise the outcome is that of [`execute`](Self::execute).
    ///
    /// ```
    /// use std::ops::ControlFlow;
    ///
    /// use alloy_consensus::Header;
    /// use alloy_hardforks::EthereumHardfork;
    /// use blockloom_engine::{Block, Config, Engine, Rules};
    /// use blockloom_state::MemoryStore;
    /// use revm::{Inspector, interpreter::{CallInputs, CallOutcome}};
    ///
    /// /// Counts the calls of a transaction.
    /// #[derive(Default)]
    /// struct Calls(u64);
    ///
    /// impl<CTX> Inspector<CTX> for Calls {
    ///     fn call(&mut self, _context: &mut CTX, _inputs: &mut CallInputs) -> Option<CallOutcome> {
    ///         self.0 += 1;
    ///         None
    ///     }
    /// }
    ///
    /// let base = MemoryStore::new();
    /// let block = Block::without_body(Rules::mainnet(EthereumHardfork::Shanghai), &Header::default());
    /// let mut calls = Vec::new();
    /// Engine::new(Config::default()).inspect(&base, &block, &mut Calls::default(), |inspector, step| {
    ///     if let Some(result) = step.result {
    ///         calls.push((std::mem::take(inspector).0, result.end));
    ///     }
    ///     ControlFlow::Continue(())
    /// })?;
    /// # assert!(calls.is_empty());
    /// # Ok::<(), blockloom_engine::BlockError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`execute_with`](Self::execute_with). A panic of the inspector is one of them.
    pub fn inspect<'a, B, I>(
        &'a self,
        base: &'a B,
        block: &'a Block,
        inspector: &mut I,
        mut on_commit: impl FnMut(&mut I, CommittedStep<'_>) -> ControlFlow<()>,
    ) -> Result<Outcome, BlockError>
    where
        B: Base + ?Sized,
        I: Inspector<EthEvmContext<InspectedState<'a, B>>>,
    {
        let (progress, steps) = (Cell::new(Progress::START), Steps::new(from_ref(block)));
        let mut notify =
            |Inspected(inspector): &mut Inspected<'_, I>, step: CommittedStep<'_>| on_commit(inspector, step);
        let result = catch_unwind(AssertUnwindSafe(|| {
            let committer = BlockCommitter::watched(
                (&steps, CachedBase::alone(base)),
                self.handling.clone(),
                Observer::Steps(&mut notify),
                &progress,
                Inspected(inspector),
            );
            let committer = committer.with_access_lists(self.shared.config.lists).cancelled_by(&self.cancel);
            sequential::execute(committer, steps.len(), &Recorder::off())
        }));
        let result = result.unwrap_or_else(|panic| Err(Reason::panicked(progress.get().step, &*panic)));
        result.map_err(|reason| reason.of(block.number()))
    }
}
