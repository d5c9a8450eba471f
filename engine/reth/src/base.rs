//! A base out of reth's state providers, for many threads at once.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

use alloy_primitives::{Address, B256, U256};
use reth_storage_errors::provider::{ProviderError, ProviderResult};
use revm::{
    DatabaseRef,
    database_interface::DBErrorMarker,
    state::{AccountInfo, Bytecode},
};

/// A base that reads from databases of one state, each used by one thread at a time. `make` makes another one
/// when all are in use: out of a state provider, with reth's `StateProviderDatabase`.
///
/// ```
/// use blockloom_reth::SharedProviders;
/// use revm::database_interface::EmptyDBTyped;
/// use reth_storage_errors::provider::ProviderError;
///
/// // In a node, with its provider:
/// // SharedProviders::new(|| Ok(StateProviderDatabase::new(provider.history_by_block_number(number)?)))
/// let base = SharedProviders::new(|| Ok(EmptyDBTyped::<ProviderError>::new()));
/// # let _ = base;
/// ```
pub struct SharedProviders<F, D> {
    make: F,
    idle: Mutex<Vec<D>>,
}

impl<F, D> SharedProviders<F, D>
where
    F: Fn() -> ProviderResult<D> + Sync,
    D: DatabaseRef<Error = ProviderError> + Send,
{
    /// A base out of the databases that `make` makes. All of them must have the same state.
    pub const fn new(make: F) -> Self {
        Self { make, idle: Mutex::new(Vec::new()) }
    }

    /// The same base, with a database that was made before.
    #[must_use]
    pub fn with_idle(self, database: D) -> Self {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(database);
        self
    }

    fn read<T>(&self, read: impl FnOnce(&D) -> Result<T, ProviderError>) -> Result<T, ProviderError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let database = match idle {
            Some(database) => database,
            None => (self.make)()?,
        };
        let answer = read(&database);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(database);
        answer
    }
}

impl<F, D> DatabaseRef for SharedProviders<F, D>
where
    F: Fn() -> ProviderResult<D> + Sync,
    D: DatabaseRef<Error = ProviderError> + Send,
    ProviderError: DBErrorMarker,
{
    type Error = ProviderError;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, ProviderError> {
        self.read(|database| database.basic_ref(address))
    }

    fn code_by_hash_ref(&self, code_hash: B256) -> Result<Bytecode, ProviderError> {
        self.read(|database| database.code_by_hash_ref(code_hash))
    }

    fn storage_ref(&self, address: Address, index: U256) -> Result<U256, ProviderError> {
        self.read(|database| database.storage_ref(address, index))
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, ProviderError> {
        self.read(|database| database.block_hash_ref(number))
    }
}

impl<F, D> fmt::Debug for SharedProviders<F, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedProviders").finish_non_exhaustive()
    }
}
