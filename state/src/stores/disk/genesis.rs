//! Making a store: the state that a chain begins with, account by account.
//!
//! Accounts and slots are written as they come, in whatever order. The tries are built when all are there,
//! in the order in which they lie in the file: so memory is bounded, and no node is read again.

use std::{fs, path::Path};

use alloy_primitives::{Address, B256, keccak256};
use alloy_trie::EMPTY_ROOT_HASH;

use crate::{
    model::account::Account,
    stores::{
        disk::{
            DiskConfig, DiskStore, NewBlock,
            block_metadata::BlockMetadata,
            account_entry::{AccountEntry, Storage},
            error::{DiskError, Operation},
            database::DatabaseFile,
            keys::{Key, TrieId},
            tables::Batch,
        },
        memory::{Allocation, code_of},
    },
    trie::slot_key,
};

/// How many accounts and slots are written at once, and go into a trie at once.
pub(super) const AT_ONCE: usize = 50_000;

/// A store that is being made. It cannot be opened before it is finished.
#[derive(Debug)]
pub struct Genesis {
    store: DiskStore,
    batch: Batch,
    /// The root, once it was asked for.
    root: Option<B256>,
}

impl Genesis {
    /// Begins to make a store in the folder `path`, which is made as well. One that was never
    /// finished is made anew.
    ///
    /// # Errors
    ///
    /// If there is something else, or nothing can be written there.
    pub fn begin(path: impl AsRef<Path>, config: DiskConfig) -> Result<Self, DiskError> {
        let path = path.as_ref();
        make_room(path)?;
        let store = DiskStore::of_file(path, config, DatabaseFile::create(path)?);
        Ok(Self { store, batch: Batch::new(), root: None })
    }

    /// Adds an account.
    ///
    /// # Errors
    ///
    /// If it was added before, or cannot be written.
    ///
    /// # Panics
    ///
    /// If the root was asked for: that is the one of all accounts.
    pub fn add(&mut self, address: Address, allocation: Allocation) -> Result<(), DiskError> {
        assert_eq!(self.root, None, "the root is the one of all accounts");
        let Allocation { balance, nonce, code, storage } = allocation;
        let hash = keccak256(address);
        let key = TrieId::Accounts.leaf(hash);
        if self.batch.contains_key(&key) || self.store.entry_by_hash(hash)?.is_some() {
            return Err(DiskError::DuplicateAccount(address));
        }
        let code = code_of(code);
        let code_hash = code.hash_slow();
        if !code.is_empty() {
            self.batch.insert(Key::code(code_hash), Some(code.original_bytes().to_vec()));
        }
        let life = self.store.next_life;
        let slots = storage.into_iter().filter(|(_, value)| !value.is_zero());
        let slots = slots.map(|(key, value)| {
            (TrieId::Storage(life).leaf(slot_key(&key)), Some(value.to_be_bytes_trimmed_vec()))
        });
        let before = self.batch.len();
        self.batch.extend(slots);
        let has_storage = self.batch.len() > before;
        if has_storage {
            self.store.next_life = life.next();
        }
        // The root of the storage is put in when the tries are built.
        let storage = has_storage.then_some(Storage { life, root: EMPTY_ROOT_HASH });
        let entry = AccountEntry { account: Account { balance, nonce, code_hash }, storage };
        self.batch.insert(key, Some(entry.encode()));
        if self.batch.len() >= AT_ONCE { self.write() } else { Ok(()) }
    }

    /// The root of the state. No account can be added after it.
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

    /// Finishes the store: `block` is the one that the state is of.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn finish(mut self, block: NewBlock) -> Result<DiskStore, DiskError> {
        let NewBlock { number, hash, note } = block;
        let mark = BlockMetadata { number, hash, root: self.root()?, note };
        let tables = &mut self.store.tables;
        let head = [
            (Key::block(number), Some(alloy_rlp::encode(&mark))),
            (Key::head(), Some(number.to_be_bytes().to_vec())),
            (Key::next_life(), Some(self.store.next_life.to_bytes().to_vec())),
        ];
        tables.add(head.into());
        tables.flush(Some(number))?;
        self.store.head = mark;
        Ok(self.store)
    }

    fn write(&mut self) -> Result<(), DiskError> {
        self.store.tables.add(std::mem::take(&mut self.batch));
        self.store.tables.flush(None)
    }
}

/// Sees to it that there is an empty folder.
fn make_room(path: &Path) -> Result<(), DiskError> {
    match DiskStore::open(path, DiskConfig { cache_bytes: 0, ..DiskConfig::default() }) {
        Err(DiskError::Incomplete { .. }) => DatabaseFile::remove(path)?,
        Err(DiskError::NotFound { .. }) => {}
        Err(error @ DiskError::InUse { .. }) => return Err(error),
        Ok(_) | Err(_) => return Err(DiskError::AlreadyExists { path: path.to_owned() }),
    }
    fs::create_dir_all(path).map_err(|error| DiskError::database(path, Operation::Create, error))
}
