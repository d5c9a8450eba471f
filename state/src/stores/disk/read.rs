//! Reads of the state, through the cache, from any number of threads.

use alloy_primitives::{Address, B256, U256, keccak256};
use revm_database_interface::DatabaseRef;
use revm_state::{AccountId, AccountInfo, Bytecode};

use crate::{
    model::{account::Account, allocation::bytecode_of, base::MissingCode},
    stores::disk::{
        DiskStore,
        account_entry::{AccountEntry, LifeId},
        cache::{CacheKey, CacheValue},
        error::DiskError,
        keys::{Key, TrieId},
    },
    trie::slot_key,
};

/// The account id of an account without storage. No slot is looked up with it.
const NO_LIFE: usize = 0;

impl DiskStore {
    /// The entry of an account.
    pub(super) fn entry(&self, address: Address) -> Result<Option<AccountEntry>, DiskError> {
        let cache_key = CacheKey::Account(address);
        if let Some(CacheValue::Account(entry)) = self.cache.get(&cache_key) {
            return Ok(entry.map(|entry| *entry));
        }
        let hash = keccak256(address);
        let keep = |entry: &Option<AccountEntry>| {
            self.cache.put(cache_key, CacheValue::Account(entry.map(Box::new)));
        };
        self.tables.get_and_keep(&TrieId::Accounts.leaf(hash), |bytes| self.decoded_entry(hash, bytes), keep)
    }

    /// The entry of the account with this hashed address, read without the cache.
    pub(super) fn entry_by_hash(&self, hash: B256) -> Result<Option<AccountEntry>, DiskError> {
        self.decoded_entry(hash, self.tables.get(&TrieId::Accounts.leaf(hash))?)
    }

    fn decoded_entry(&self, hash: B256, bytes: Option<Vec<u8>>) -> Result<Option<AccountEntry>, DiskError> {
        let Some(bytes) = bytes else { return Ok(None) };
        AccountEntry::decode(&bytes).map(Some).ok_or_else(|| self.damaged_account(hash))
    }

    /// The value of a slot of a life.
    pub(super) fn slot(&self, life: LifeId, key: U256) -> Result<U256, DiskError> {
        let cache_key = CacheKey::Slot(life, key);
        if let Some(CacheValue::Slot(value)) = self.cache.get(&cache_key) {
            return Ok(value);
        }
        let hash = slot_key(&key);
        let decode = |bytes: Option<Vec<u8>>| {
            let Some(bytes) = bytes else { return Ok(U256::ZERO) };
            U256::try_from_be_slice(&bytes).ok_or_else(|| self.damaged_slot(hash))
        };
        let keep = |value: &U256| self.cache.put(cache_key, CacheValue::Slot(*value));
        self.tables.get_and_keep(&TrieId::Storage(life).leaf(hash), decode, keep)
    }

    fn code(&self, hash: B256) -> Result<Bytecode, DiskError> {
        let cache_key = CacheKey::Code(hash);
        if let Some(CacheValue::Code(code)) = self.cache.get(&cache_key) {
            return Ok(code);
        }
        let bytes = self.tables.get(&Key::code(hash))?.ok_or(MissingCode(hash))?;
        if keccak256(&bytes) != hash {
            return Err(self.damaged(format!("the code {hash}"), "its bytes have another hash"));
        }
        let code = bytecode_of(bytes.into());
        self.cache.put(cache_key, CacheValue::Code(code.clone()));
        Ok(code)
    }
}

impl DatabaseRef for DiskStore {
    type Error = DiskError;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, DiskError> {
        let Some(AccountEntry { account, storage }) = self.entry(address)? else { return Ok(None) };
        let life = storage.map_or(Ok(NO_LIFE), |storage| usize::try_from(storage.life.get()));
        Ok(Some(account.into_info(None, life.ok().and_then(AccountId::new))))
    }

    fn code_by_hash_ref(&self, code_hash: B256) -> Result<Bytecode, DiskError> {
        if code_hash == Account::EMPTY.code_hash { Ok(Bytecode::default()) } else { self.code(code_hash) }
    }

    fn storage_ref(&self, address: Address, index: U256) -> Result<U256, DiskError> {
        let storage = self.entry(address)?.and_then(|entry| entry.storage);
        storage.map_or(Ok(U256::ZERO), |storage| self.slot(storage.life, index))
    }

    fn storage_by_account_id_ref(
        &self,
        _: Address,
        account_id: AccountId,
        index: U256,
    ) -> Result<U256, DiskError> {
        match account_id.get() {
            NO_LIFE => Ok(U256::ZERO),
            life => self.slot(LifeId::from(life as u64), index),
        }
    }

    /// Zero for a block that is not one of the last blocks.
    fn block_hash_ref(&self, number: u64) -> Result<B256, DiskError> {
        Ok(self.block_metadata(number)?.map(|metadata| metadata.hash).unwrap_or_default())
    }
}
