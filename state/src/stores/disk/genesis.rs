//! Creates a store with the first state of a chain, account by account.
//!
//! Accounts and slots are written in the order of their arrival. The tries are built at the end, in the order of
//! the stored keys, so that memory is bounded and no node is read again.

use std::{fs, path::Path};

use alloy_primitives::{Address, B256, keccak256};
use alloy_trie::EMPTY_ROOT_HASH;

use crate::{
    model::{
        account::Account,
        allocation::{Allocation, bytecode_of},
    },
    stores::disk::{
        DiskConfig, DiskStore, NewBlock,
        account_entry::{AccountEntry, StorageEntry},
        block_metadata::BlockMetadata,
        database::DatabaseFile,
        error::{DiskError, Operation},
        keys::{Key, TrieId},
        tables::WriteBatch,
    },
    trie::slot_key,
};

/// The number of accounts and slots that are written at once, and inserted into a trie at once.
pub(super) const AT_ONCE: usize = 50_000;

/// A store under construction. It cannot be opened before it is finished.
#[derive(Debug)]
pub struct Genesis {
    store: DiskStore,
    batch: WriteBatch,
    /// Whether the folder was not there before.
    is_folder_new: bool,
    /// The state root, once it was computed.
    root: Option<B256>,
}

impl Genesis {
    /// Begins a store in the folder `path`, and creates the folder. Replaces an incomplete store.
    ///
    /// # Errors
    ///
    /// If the folder has other content, or cannot be written.
    pub fn begin(path: impl AsRef<Path>, config: DiskConfig) -> Result<Self, DiskError> {
        let path = path.as_ref();
        let is_folder_new = !path.exists();
        make_empty_folder(path)?;
        let store = DiskStore::of_database(path, config, DatabaseFile::create(path)?);
        Ok(Self { store, batch: WriteBatch::new(), is_folder_new, root: None })
    }

    /// Adds an account.
    ///
    /// # Errors
    ///
    /// If it was added before, or cannot be written.
    ///
    /// # Panics
    ///
    /// If the root was computed already: no account can follow.
    pub fn add(&mut self, address: Address, allocation: Allocation) -> Result<(), DiskError> {
        assert_eq!(self.root, None, "no account can be added after the root was computed");
        let Allocation { balance, nonce, code, storage } = allocation;
        let hash = keccak256(address);
        let key = TrieId::Accounts.leaf(hash);
        if self.batch.contains_key(&key) || self.store.entry_by_hash(hash)?.is_some() {
            return Err(DiskError::DuplicateAccount(address));
        }
        let code = bytecode_of(code);
        let code_hash = code.hash_slow();
        if !code.is_empty() {
            self.batch.insert(Key::code(code_hash), Some(code.original_bytes().to_vec()));
        }
        let life = self.store.next_life();
        let slots = storage.into_iter().filter(|(_, value)| !value.is_zero());
        let slots = slots.map(|(key, value)| {
            (TrieId::Storage(life).leaf(slot_key(&key)), Some(value.to_be_bytes_trimmed_vec()))
        });
        let before = self.batch.len();
        self.batch.extend(slots);
        let has_storage = self.batch.len() > before;
        if has_storage {
            self.store.head.write().next_life = life.next();
        }
        // The storage root is set when the tries are built.
        let storage = has_storage.then_some(StorageEntry { life, root: EMPTY_ROOT_HASH });
        let entry = AccountEntry { account: Account { balance, nonce, code_hash }, storage };
        self.batch.insert(key, Some(entry.encode()));
        if self.batch.len() >= AT_ONCE { self.write() } else { Ok(()) }
    }

    /// The state root. No account can be added after this call.
    ///
    /// # Errors
    ///
    /// If the accounts cannot be read and written.
    pub fn root(&mut self) -> Result<B256, DiskError> {
        if let Some(root) = self.root {
            return Ok(root);
        }
        self.write()?;
        let root = self.store.build_tries()?;
        self.root = Some(root);
        Ok(root)
    }

    /// Finishes the store. The state is the one after `block`, whose encoding is not kept: the genesis has no body.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn finish(mut self, block: NewBlock) -> Result<DiskStore, DiskError> {
        let NewBlock { number, hash, note, encoded: _ } = block;
        let metadata = BlockMetadata { number, hash, root: self.root()?, note };
        let tables = &self.store.tables;
        let head = [
            (Key::block(number), Some(alloy_rlp::encode(&metadata))),
            (Key::head(), Some(number.to_be_bytes().to_vec())),
            (Key::next_life(), Some(self.store.next_life().to_bytes().to_vec())),
        ];
        tables.add(head.into(), Some(number), || ());
        tables.flush(|| ())?;
        self.store.head.write().block = metadata;
        Ok(self.store)
    }

    /// Removes the store, and its folder unless that was there before.
    ///
    /// # Errors
    ///
    /// If it cannot be removed. Beginning a store in that folder replaces it.
    pub fn discard(self) -> Result<(), DiskError> {
        let Self { store, is_folder_new, .. } = self;
        let path = store.path().to_owned();
        // Closes the database.
        drop(store);
        DatabaseFile::remove(&path)?;
        if is_folder_new {
            fs::remove_dir(&path).map_err(|error| DiskError::database(&path, Operation::Create, error))?;
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), DiskError> {
        self.store.tables.add(std::mem::take(&mut self.batch), None, || ());
        self.store.tables.flush(|| ())
    }
}

/// Creates an empty folder, or removes an incomplete store from it.
fn make_empty_folder(path: &Path) -> Result<(), DiskError> {
    match DiskStore::open(path, DiskConfig { cache_bytes: 0, ..DiskConfig::default() }) {
        Err(DiskError::Incomplete { .. }) => DatabaseFile::remove(path)?,
        Err(DiskError::NotFound { .. }) => {}
        Err(error @ DiskError::InUse { .. }) => return Err(error),
        Ok(_) | Err(_) => return Err(DiskError::AlreadyExists { path: path.to_owned() }),
    }
    fs::create_dir_all(path).map_err(|error| DiskError::database(path, Operation::Create, error))
}
