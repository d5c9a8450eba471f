//! Making a store: the state that a chain begins with, account by account.

use std::{fs, path::Path};

use alloy_primitives::{Address, B256};

use super::{
    DiskConfig, DiskError, DiskStore, Doing, Mark, NewBlock, file::File, keys::Key, writing::Writing,
};
use crate::{Account, AccountChange, Allocation, Change, Changes, Life, store::code_of};

/// How many accounts and slots are written at once.
const AT_ONCE: usize = 50_000;

/// A store that is being made. It cannot be opened before it is finished.
#[derive(Debug)]
pub struct Genesis {
    store: DiskStore,
    changes: Changes,
    /// How many accounts and slots are in them.
    size: usize,
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
        let store = DiskStore::of_file(path, config, File::create(path)?);
        Ok(Self { store, changes: Changes::default(), size: 0 })
    }

    /// Adds an account.
    ///
    /// # Errors
    ///
    /// If it was added before, or cannot be written.
    pub fn add(&mut self, address: Address, allocation: Allocation) -> Result<(), DiskError> {
        let Allocation { balance, nonce, code, storage } = allocation;
        let code = code_of(code);
        let code_hash = code.hash_slow();
        if !code.is_empty() {
            self.changes.codes.insert(code_hash, code);
        }
        let slots = storage.into_iter().filter(|(_, value)| !value.is_zero());
        let slots = slots.map(|(key, after)| (key, Change { after, ..Change::default() })).collect();
        let account = Change { before: None, after: Some(Account { balance, nonce, code_hash }) };
        let change = AccountChange { account, life: Life::Same, slots };
        self.size += 1 + change.slots.len();
        if self.changes.accounts.insert(address, change).is_some() {
            return Err(DiskError::Twice(address));
        }
        if self.size >= AT_ONCE { self.write() } else { Ok(()) }
    }

    /// The root of the state, as far as it was added.
    ///
    /// # Errors
    ///
    /// If the accounts cannot be written.
    pub fn root(&mut self) -> Result<B256, DiskError> {
        self.write()?;
        Ok(self.store.head.root)
    }

    /// Finishes the store: `block` is the one that the state is of.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn finish(mut self, block: NewBlock) -> Result<DiskStore, DiskError> {
        let NewBlock { number, hash, note } = block;
        let mark = Mark { number, hash, root: self.root()?, note };
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
        let (changes, store) = (std::mem::take(&mut self.changes), &mut self.store);
        self.size = 0;
        let staged = store.stage(&changes).map_err(|error| match error {
            // Nothing was there but what was added.
            DiskError::Misfit(mismatch) => DiskError::Twice(mismatch.location.address()),
            error => error,
        })?;
        (store.head.root, store.next_life) = (staged.root, staged.next_life);
        let Writing { batch, answers, .. } = store.writing(staged);
        store.tables.add(batch);
        store.cache.put_all(answers);
        store.tables.flush(None)
    }
}

/// Sees to it that there is an empty folder.
fn make_room(path: &Path) -> Result<(), DiskError> {
    match DiskStore::open(path, DiskConfig { cache_bytes: 0, ..DiskConfig::default() }) {
        Err(DiskError::Unfinished { .. }) => File::remove(path)?,
        Err(DiskError::Absent { .. }) => {}
        Err(error @ DiskError::InUse { .. }) => return Err(error),
        Ok(_) | Err(_) => return Err(DiskError::Occupied { path: path.to_owned() }),
    }
    fs::create_dir_all(path).map_err(|error| DiskError::database(path, Doing::Create, error))
}
