//! A store on disk: a chain's state, its root, and the way back, in a folder that is right after any
//! crash.
//!
//! Owns the folder and what it was told since the last time it was flushed. Promises that the state
//! that it shows is the one after the block that it names as the last, with the root that it says;
//! that a block is in it whole or not at all; and that what is damaged is refused. Blocks are executed
//! by others: it is a base for them, and is given the changes.

pub(crate) mod block_metadata;
pub(crate) mod build;
pub(crate) mod cache;
pub(crate) mod account_entry;
pub(crate) mod error;
pub(crate) mod database;
pub(crate) mod genesis;
pub(crate) mod group;
pub(crate) mod keys;
pub(crate) mod nodes;
pub(crate) mod proof;
pub(crate) mod pruning;
pub(crate) mod read;
pub(crate) mod upper_trie;
pub(crate) mod revert;
pub(crate) mod stage;
pub(crate) mod streaming_root;
pub(crate) mod superblock;
pub(crate) mod tables;
pub(crate) mod undo;
pub(crate) mod verify;
pub(crate) mod block_writes;

use std::{
    num::NonZeroU64,
    path::{Path, PathBuf},
};

use alloy_primitives::{B256, Bytes};
use alloy_trie::EMPTY_ROOT_HASH;

use block_metadata::BlockMetadata;
use cache::{Cache, CacheStatistics};
use account_entry::LifeId;
use error::DiskError;
use database::DatabaseFile;
use keys::Key;
use upper_trie::UpperTrie;
use stage::Staged;
use tables::Tables;
use block_writes::BlockWrites;

/// How a store is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskConfig {
    /// How many bytes of what was read or written last are kept in memory, about; by default
    /// [`CACHE_BYTES`](Self::CACHE_BYTES). The upper part of the accounts' trie has its place among them.
    pub cache_bytes: u64,
    /// How many blocks can be undone.
    pub undo_blocks: u64,
    /// How many blocks are written into the file at once. A crash loses those that are not written yet,
    /// all of them and nothing else.
    pub blocks_per_write: NonZeroU64,
}

impl DiskConfig {
    /// Enough for the upper part of the trie however many accounts there are, 165 MB at most, and more than
    /// that for everything else.
    pub const CACHE_BYTES: u64 = 370_000_000;
}

impl Default for DiskConfig {
    fn default() -> Self {
        Self { cache_bytes: Self::CACHE_BYTES, undo_blocks: 256, blocks_per_write: NonZeroU64::MIN }
    }
}

/// A chain's state on disk.
#[derive(Debug)]
pub struct DiskStore {
    path: PathBuf,
    config: DiskConfig,
    tables: Tables,
    cache: Cache,
    resident: UpperTrie,
    head: BlockMetadata,
    next_life: LifeId,
    /// How many blocks are not written yet.
    unwritten: u64,
}

/// The block that is added to a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewBlock {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
    /// Whatever is to be found with it.
    pub note: Bytes,
}

impl DiskStore {
    /// Opens the store in the folder `path`.
    ///
    /// # Errors
    ///
    /// If there is none, somebody has it open, it is damaged, not finished, or of another version.
    pub fn open(path: impl AsRef<Path>, config: DiskConfig) -> Result<Self, DiskError> {
        let path = path.as_ref();
        let mut store = Self::of_file(path, config, DatabaseFile::open(path)?);
        store.reload()?;
        Ok(store)
    }

    /// A store of which nothing is known yet but where it is.
    fn of_file(path: &Path, config: DiskConfig, file: DatabaseFile) -> Self {
        let resident = UpperTrie::within(config.cache_bytes);
        Self {
            path: path.to_owned(),
            config,
            tables: Tables::new(file),
            cache: Cache::new(config.cache_bytes.saturating_sub(resident.bytes())),
            resident,
            head: BlockMetadata { root: EMPTY_ROOT_HASH, ..BlockMetadata::default() },
            next_life: LifeId::FIRST,
            unwritten: 0,
        }
    }

    /// Goes back to what is in the file.
    fn reload(&mut self) -> Result<(), DiskError> {
        self.tables.reload()?;
        self.cache.clear();
        self.unwritten = 0;
        let (head, sealed) = (self.number(&Key::head())?, self.tables.sealed_block());
        if head < sealed {
            let found = head.map_or("there is none".to_owned(), |head| format!("the last one is {head}"));
            let sealed = sealed.unwrap_or_default();
            return Err(
                self.damaged("the database", format!("block {sealed} was written into it, but {found}"))
            );
        }
        let Some(head) = head else { return Err(DiskError::Incomplete { path: self.path.clone() }) };
        let mark = self.block_metadata(head)?;
        self.head =
            mark.ok_or_else(|| self.damaged(format!("block {head}"), "it is the last one, but not there"))?;
        let next_life = self.number(&Key::next_life())?;
        self.next_life =
            next_life.ok_or_else(|| self.damaged("the counter of lives", "it is not there"))?.into();
        Ok(())
    }

    /// The last block.
    pub fn head(&self) -> &BlockMetadata {
        &self.head
    }

    /// What is known of a block; `None` if it is not one of the last ones.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub fn block_metadata(&self, number: u64) -> Result<Option<BlockMetadata>, DiskError> {
        let Some(bytes) = self.tables.get(&Key::block(number))? else { return Ok(None) };
        let mark = alloy_rlp::decode_exact(&bytes);
        mark.map(Some).map_err(|error| self.damaged(format!("block {number}"), error.to_string()))
    }

    /// How the read cache fares.
    pub fn cache(&self) -> CacheStatistics {
        self.cache.statistics()
    }

    /// How many things are kept under keys of their own. Counts them all.
    ///
    /// # Errors
    ///
    /// If they cannot be read.
    pub fn entry_count(&self) -> Result<u64, DiskError> {
        let (from, to) = Key::everything();
        self.tables.range(&from, &to)?.try_fold(0, |count, pair| pair.map(|_| count + 1))
    }

    /// Where the store is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a block: keeps what was staged of it. It is in the file when this returns, unless several
    /// blocks are to be written at once.
    ///
    /// # Errors
    ///
    /// If the block does not follow the last one, its changes were staged on another state, or it cannot be
    /// written. In the latter case the store goes back to the last block that is in the file, which is the
    /// new one if the database had it whole when it failed.
    pub fn commit(&mut self, staged: Staged, block: NewBlock) -> Result<(), DiskError> {
        let NewBlock { number, hash, note } = block;
        self.tables.check_open()?;
        if staged.on != self.head || staged.lives_from != self.next_life {
            return Err(DiskError::StagedOnOtherState { number });
        }
        if Some(number) != self.head.number.checked_add(1) {
            return Err(DiskError::OutOfOrder { number, head: self.head.number });
        }
        let old = self.old(number)?;
        let mark = BlockMetadata { number, hash, root: staged.root, note };
        let next_life = staged.next_life;
        let BlockWrites { mut batch, undo, ended, answers } = self.writing(staged);
        batch.extend(old);
        batch.insert(Key::block(number), Some(alloy_rlp::encode(&mark)));
        batch.insert(Key::head(), Some(number.to_be_bytes().to_vec()));
        batch.insert(Key::next_life(), Some(next_life.to_bytes().to_vec()));
        batch.insert(Key::undo(number), Some(alloy_rlp::encode(&undo)));
        ended.into_iter().for_each(|life| drop(batch.insert(Key::ended(number, life), Some(Vec::new()))));
        self.tables.add(batch);
        self.cache.put_all(answers);
        (self.head, self.next_life) = (mark, next_life);
        self.unwritten += 1;
        if self.unwritten >= self.config.blocks_per_write.get() { self.flush() } else { Ok(()) }
    }

    /// Writes every block into the file.
    ///
    /// # Errors
    ///
    /// If they cannot be written. The store then goes back to the last block that is in the file; see
    /// [`commit`](Self::commit). If it cannot do that either, everything fails until a later flush can.
    pub fn flush(&mut self) -> Result<(), DiskError> {
        let Err(error) = self.tables.flush(Some(self.head.number)) else {
            self.unwritten = 0;
            return Ok(());
        };
        if self.reload().is_err() {
            // What is in memory is not what is in the file: nobody is to read or to add to it.
            self.tables.close();
            self.cache.clear();
        }
        Err(error)
    }

    /// A number that is kept.
    fn number(&self, key: &Key) -> Result<Option<u64>, DiskError> {
        let Some(bytes) = self.tables.get(key)? else { return Ok(None) };
        let bytes = bytes.try_into().map_err(|_| self.damaged("a number", "it has not 8 bytes"))?;
        Ok(Some(u64::from_be_bytes(bytes)))
    }

    fn damaged(&self, what: impl Into<String>, reason: impl Into<String>) -> DiskError {
        DiskError::Damaged { path: self.path.clone(), what: what.into(), reason: reason.into() }
    }

    fn damaged_account(&self, hash: B256) -> DiskError {
        self.damaged(format!("the account with the hashed address {hash}"), "it does not decode")
    }

    fn damaged_slot(&self, hash: B256) -> DiskError {
        self.damaged(format!("the slot with the hashed key {hash}"), "it does not decode")
    }
}
