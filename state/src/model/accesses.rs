//! What an execution reads from its base, and a base that notes it.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, B256, U256};
use revm_database_interface::DatabaseRef;
use revm_state::{AccountId, AccountInfo, Bytecode};

use crate::{
    model::{base::Base, changes::Changes},
    sync::Mutex,
};

/// What was read from a base.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accesses {
    /// The accounts, whether they exist or not, each with its slots.
    pub accounts: BTreeMap<Address, BTreeSet<U256>>,
    /// The hashes of the codes.
    pub codes: BTreeSet<B256>,
    /// The numbers of the blocks whose hash was read.
    pub block_hashes: BTreeSet<u64>,
}

impl Accesses {
    /// Adds the accounts and slots that `changes` change.
    pub fn add_changed(&mut self, changes: &Changes) {
        for (address, change) in &changes.accounts {
            self.accounts.entry(*address).or_default().extend(change.slots.keys());
        }
    }
}

/// A base that notes what is read from it. Codes are only read by their hash.
///
/// ```
/// use alloy_primitives::Address;
/// use blockloom_state::{MemoryStore, NotingBase};
/// use revm_database_interface::DatabaseRef;
///
/// let store = MemoryStore::new();
/// let base = NotingBase::new(&store);
/// base.basic_ref(Address::ZERO)?;
/// assert!(base.into_accesses().accounts.contains_key(&Address::ZERO));
/// # Ok::<(), blockloom_state::MissingCode>(())
/// ```
#[derive(Debug)]
pub struct NotingBase<'b, B: ?Sized> {
    base: &'b B,
    noted: Mutex<Accesses>,
}

impl<'b, B: Base + ?Sized> NotingBase<'b, B> {
    /// A base with the answers of `base`.
    pub fn new(base: &'b B) -> Self {
        Self { base, noted: Mutex::default() }
    }

    /// What was read.
    pub fn into_accesses(self) -> Accesses {
        self.noted.into_inner()
    }

    fn note_slot(&self, address: Address, key: U256) {
        self.noted.lock().accounts.entry(address).or_default().insert(key);
    }
}

impl<B: Base + ?Sized> DatabaseRef for NotingBase<'_, B> {
    type Error = B::Error;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, B::Error> {
        self.noted.lock().accounts.entry(address).or_default();
        let info = self.base.basic_ref(address)?;
        // Most accounts are read for something else than their code.
        Ok(info.map(|info| AccountInfo { code: None, ..info }))
    }

    fn code_by_hash_ref(&self, hash: B256) -> Result<Bytecode, B::Error> {
        let code = self.base.code_by_hash_ref(hash)?;
        if !code.is_empty() {
            self.noted.lock().codes.insert(hash);
        }
        Ok(code)
    }

    fn storage_ref(&self, address: Address, key: U256) -> Result<U256, B::Error> {
        self.note_slot(address, key);
        self.base.storage_ref(address, key)
    }

    fn storage_by_account_id_ref(
        &self,
        address: Address,
        id: AccountId,
        key: U256,
    ) -> Result<U256, B::Error> {
        self.note_slot(address, key);
        self.base.storage_by_account_id_ref(address, id, key)
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, B::Error> {
        self.noted.lock().block_hashes.insert(number);
        self.base.block_hash_ref(number)
    }
}
