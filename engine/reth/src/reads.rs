//! Where the threads of an executor read: the node's states, or the thread that has the database.

use std::{fmt, sync::Arc};

use alloy_primitives::{Address, B256, U256};
use blockloom_engine::{BlockRun, ExecutedBlock};
use reth_storage_errors::provider::{ProviderError, ProviderResult};
use revm::{
    DatabaseRef,
    database::{BundleState, CacheState, State, states::block_hash_cache::BlockHashCache},
    state::{AccountInfo, Bytecode},
};

use crate::base::SharedProviders;

/// A database with one state of the node's chain, such as reth's `StateProviderDatabase` on a state provider.
pub type StateReader = Box<dyn DatabaseRef<Error = ProviderError> + Send>;

/// Where the threads of an executor read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Reads {
    /// Nowhere: blocks are executed sequentially.
    #[default]
    Nowhere,
    /// They ask the thread that has the database.
    Messages,
}

/// A function that opens the state after the block with a hash.
#[derive(Clone)]
pub(crate) struct States(Arc<dyn Fn(B256) -> ProviderResult<StateReader> + Send + Sync>);

impl States {
    pub(crate) fn new(open: impl Fn(B256) -> ProviderResult<StateReader> + Send + Sync + 'static) -> Self {
        Self(Arc::new(open))
    }

    /// Executes a block on the state after `parent` and what `state` has changed since. `None` if that state
    /// cannot be opened.
    pub(crate) fn run<DB>(
        &self,
        parent: B256,
        state: &State<DB>,
        run: BlockRun<'_>,
    ) -> Option<ExecutedBlock> {
        let first = (self.0)(parent).ok()?;
        let opened = SharedProviders::new(|| (self.0)(parent)).with_idle(first);
        let State { cache, bundle_state, block_hashes, .. } = state;
        Some(run.on(&Changed { cache, bundle: bundle_state, hashes: block_hashes, opened }))
    }
}

impl fmt::Debug for States {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("States")
    }
}

/// A state with what revm's `State` changed in it, or has read.
struct Changed<'s, D> {
    cache: &'s CacheState,
    bundle: &'s BundleState,
    hashes: &'s BlockHashCache,
    opened: D,
}

impl<D: DatabaseRef> DatabaseRef for Changed<'_, D> {
    type Error = D::Error;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, D::Error> {
        if let Some(cached) = self.cache.accounts.get(&address) {
            return Ok(cached.account_info());
        }
        match self.bundle.account(&address) {
            Some(account) => Ok(account.account_info()),
            None => self.opened.basic_ref(address),
        }
    }

    fn code_by_hash_ref(&self, code_hash: B256) -> Result<Bytecode, D::Error> {
        let code = self.cache.contracts.get(&code_hash).cloned();
        match code.or_else(|| self.bundle.bytecode(&code_hash)) {
            Some(code) => Ok(code),
            None => self.opened.code_by_hash_ref(code_hash),
        }
    }

    fn storage_ref(&self, address: Address, index: U256) -> Result<U256, D::Error> {
        if let Some(cached) = self.cache.accounts.get(&address) {
            if let Some(value) = cached.storage_slot(index) {
                return Ok(value);
            }
            if cached.account.is_none() || cached.status.is_storage_known() {
                return Ok(U256::ZERO);
            }
        }
        match self.bundle.account(&address).and_then(|account| account.storage_slot(index)) {
            Some(value) => Ok(value),
            None => self.opened.storage_ref(address, index),
        }
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, D::Error> {
        match self.hashes.get(number) {
            Some(hash) => Ok(hash),
            None => self.opened.block_hash_ref(number),
        }
    }
}
