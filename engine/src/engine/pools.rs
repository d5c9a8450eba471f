//! The pools of an engine: those of the caller, or those that the engine starts.

use std::{num::NonZeroUsize, time::Duration};

use crate::{
    block::{
        block::{Block, SignedTransaction},
        config::{Config, TestMode},
        error::BlockError,
        rules::Rules,
    },
    engine::{Engine, Shared, plan::Latency},
    evm::handling::Handling,
    threads::pool::{Workers, machine_threads},
};

impl<H: Handling> Engine<H> {
    /// The same engine, of whose threads at most `threads` execute a block.
    #[must_use]
    pub fn limited_to(&self, threads: NonZeroUsize) -> Self {
        Self { limit: Some(threads), ..self.clone() }
    }

    /// The most threads that execute a block.
    pub fn threads(&self) -> usize {
        let configured = self.configured_threads();
        self.limit.map_or(configured, |limit| configured.min(limit.get()))
    }

    fn configured_threads(&self) -> usize {
        self.shared.config.threads.map_or_else(machine_threads, NonZeroUsize::get)
    }

    /// The number of threads that execute a block. More than the machine has take the cores away from each
    /// other; where the base has a high latency, though, more reads are under way at once.
    pub(super) fn threads_for(&self, latency: Latency) -> usize {
        if self.shared.test_mode != TestMode::Off || latency == Latency::High {
            self.threads()
        } else {
            self.threads().min(machine_threads().max(2))
        }
    }

    /// Runs `work` in the pool of [`Config::workers`], and waits for it. So whatever `work` does on rayon's current pool
    /// is done by the caller's threads: [`check_block`](crate::check_block), state roots, the recovery of senders, and
    /// parallel iterators of the caller's own. Threads of the pool that execute a block are not available before its end.
    ///
    /// Without a pool in the configuration, `work` runs on the calling thread. So it does if this thread executes a block
    /// at the moment, in a callback or a base: the pool may wait for that very block. [`Workers`] has an example.
    pub fn install<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        match &self.shared.config.workers {
            Some(workers) => workers.install(work),
            None => work(),
        }
    }

    /// [`Block::recover`] in the pool of [`Config::workers`]: see [`install`](Self::install).
    ///
    /// # Errors
    ///
    /// Those of [`Block::recover`].
    pub fn recover<T: Into<SignedTransaction> + Send>(
        &self,
        rules: Rules,
        block: alloy_consensus::Block<T>,
    ) -> Result<Block, BlockError> {
        self.install(|| Block::recover(rules, block))
    }

    /// Whether a thread of the pool that executes blocks is awake.
    pub(super) fn is_pool_awake(&self) -> bool {
        let Shared { config, workers, .. } = self.shared.as_ref();
        let started = config.workers.as_ref().or_else(|| workers.get()?.as_ref());
        started.is_some_and(Workers::are_awake)
    }

    /// The pool that executes blocks, started if need be; `None` if the system has no threads for it.
    pub(super) fn workers(&self) -> Option<&Workers> {
        let Config { workers, idle_timeout, .. } = &self.shared.config;
        let own = || Workers::start(self.configured_threads() - 1, *idle_timeout);
        workers.as_ref().or_else(|| self.shared.workers.get_or_init(own).as_ref())
    }

    /// The pool that prefetches, in the same way.
    pub(super) fn prefetch_workers(&self) -> Option<&Workers> {
        let Config { prefetch_workers, prefetch_threads, .. } = &self.shared.config;
        let own = || Workers::start(*prefetch_threads, Duration::ZERO);
        prefetch_workers.as_ref().or_else(|| self.shared.prefetch_workers.get_or_init(own).as_ref())
    }
}
