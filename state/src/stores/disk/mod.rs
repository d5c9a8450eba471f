//! The store on disk: the state of a chain, its root and undo data, in a folder that survives crashes.
//!
//! Owns the folder and the blocks that are not flushed yet. Promises that its state is the one after its head
//! block, with the state root of that block; that a block is stored as a whole or not at all; and that damaged
//! data is reported as an error. It executes no blocks: it is their base and receives their changes.
//!
//! Threads may read accounts, slots, codes and block hashes while one thread stages and adds blocks and another one
//! writes earlier blocks to the database: `tables.rs` says how. Everything else that reads (verification, proofs,
//! witnesses, the kept blocks) needs a store that does not change meanwhile.

pub(crate) mod account_entry;
pub(crate) mod block_metadata;
pub(crate) mod block_writes;
pub(crate) mod build;
pub(crate) mod cache;
pub(crate) mod database;
pub(crate) mod error;
pub(crate) mod genesis;
pub(crate) mod group;
pub(crate) mod keys;
pub(crate) mod nodes;
pub(crate) mod proof;
pub(crate) mod pruning;
pub(crate) mod read;
pub(crate) mod revert;
pub(crate) mod stage;
pub(crate) mod staged;
pub(crate) mod storage_trie;
pub(crate) mod streaming_root;
pub(crate) mod superblock;
pub(crate) mod tables;
pub(crate) mod undo;
pub(crate) mod upper_trie;
pub(crate) mod verify;
pub(crate) mod witness;

use std::{
    num::NonZeroU64,
    path::{Path, PathBuf},
};

use alloy_primitives::{B256, Bytes};
use alloy_trie::EMPTY_ROOT_HASH;

use account_entry::LifeId;
use block_metadata::BlockMetadata;
use block_writes::BlockWrites;
use cache::{Cache, CacheStatistics};
use database::DatabaseFile;
use error::DiskError;
use keys::Key;
use staged::Staged;
use tables::Tables;
use upper_trie::UpperTrie;

use crate::sync::{AtomicU64, Mutex, Ordering, RwLock};

/// The configuration of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskConfig {
    /// The approximate size of the read cache in bytes, by default [`CACHE_BYTES`](Self::CACHE_BYTES). It includes
    /// the upper part of the account trie.
    pub cache_bytes: u64,
    /// The number of blocks that can be undone.
    pub undo_blocks: u64,
    /// The number of the last blocks whose encoding is kept; of all blocks if `None`.
    pub kept_blocks: Option<u64>,
    /// The number of blocks that are written to the database at once. A crash loses exactly the blocks that are not
    /// written yet.
    pub blocks_per_write: NonZeroU64,
}

impl DiskConfig {
    /// The default size: enough for the upper part of the trie of any number of accounts, at most 165 MB, and more
    /// than that for all other entries.
    pub const CACHE_BYTES: u64 = 370_000_000;
}

impl Default for DiskConfig {
    fn default() -> Self {
        Self {
            cache_bytes: Self::CACHE_BYTES,
            undo_blocks: 256,
            kept_blocks: None,
            blocks_per_write: NonZeroU64::MIN,
        }
    }
}

/// The state of a chain on disk.
#[derive(Debug)]
pub struct DiskStore {
    path: PathBuf,
    config: DiskConfig,
    tables: Tables,
    cache: Cache,
    upper_trie: UpperTrie,
    head: RwLock<Head>,
    /// Held while blocks are written to the database, and while the store returns to the last block there.
    writing: Mutex<()>,
    /// Held while a block is added, and while the store returns to the last block in the database.
    changing: Mutex<()>,
    /// The number of blocks that are not written yet. It changes under the lock of the pending writes, and orders no
    /// other memory.
    unwritten: AtomicU64,
}

/// The last block, and what the next one starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Head {
    block: BlockMetadata,
    next_life: LifeId,
}

/// A block that is added to a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewBlock {
    /// The number of the block.
    pub number: u64,
    /// The hash of the block.
    pub hash: B256,
    /// Data of the client, for example the header. It is kept as long as BLOCKHASH or an undo may need the block.
    pub note: Bytes,
    /// The encoded block, which is kept as [`DiskConfig::kept_blocks`] says. Nothing is kept if it is empty.
    pub encoded: Bytes,
}

impl DiskStore {
    /// Opens the store in the folder `path`.
    ///
    /// # Errors
    ///
    /// If the folder has no store, or the store is in use, damaged, incomplete, or of another format.
    pub fn open(path: impl AsRef<Path>, config: DiskConfig) -> Result<Self, DiskError> {
        let path = path.as_ref();
        let store = Self::of_database(path, config, DatabaseFile::open(path)?);
        store.reload()?;
        Ok(store)
    }

    /// A store that has not read its head yet.
    fn of_database(path: &Path, config: DiskConfig, database: DatabaseFile) -> Self {
        let upper_trie = UpperTrie::within(config.cache_bytes);
        Self {
            path: path.to_owned(),
            config,
            tables: Tables::new(database),
            cache: Cache::new(config.cache_bytes.saturating_sub(upper_trie.bytes())),
            upper_trie,
            head: RwLock::new(Head {
                block: BlockMetadata { root: EMPTY_ROOT_HASH, ..BlockMetadata::default() },
                next_life: LifeId::FIRST,
            }),
            writing: Mutex::default(),
            changing: Mutex::default(),
            unwritten: AtomicU64::new(0),
        }
    }

    /// Drops all blocks that are not written, and reads the head from the database.
    fn reload(&self) -> Result<(), DiskError> {
        let _changing = self.changing.lock();
        self.unwritten.store(0, Ordering::Relaxed);
        self.tables.reload(|| self.cache.clear())?;
        let (head, written) = (self.number(&Key::head())?, self.tables.last_written_block());
        if head < written {
            let found = head.map_or("it has no block".to_owned(), |head| format!("its last block is {head}"));
            let written = written.unwrap_or_default();
            return Err(
                self.damaged("the database", format!("block {written} was written to it, but {found}"))
            );
        }
        let Some(head) = head else { return Err(DiskError::Incomplete { path: self.path.clone() }) };
        let metadata = self.block_metadata(head)?;
        let block = metadata.ok_or_else(|| {
            self.damaged(format!("block {head}"), "it is the last block, but it is missing")
        })?;
        let next_life = self.number(&Key::next_life())?;
        let next_life =
            next_life.ok_or_else(|| self.damaged("the counter of lives", "it is missing"))?.into();
        *self.head.write() = Head { block, next_life };
        Ok(())
    }

    /// The last block.
    pub fn head(&self) -> BlockMetadata {
        self.head.read().block.clone()
    }

    /// The state root after the last block.
    fn root(&self) -> B256 {
        self.head.read().block.root
    }

    /// The next new life.
    fn next_life(&self) -> LifeId {
        self.head.read().next_life
    }

    /// The number of blocks that are not written to the database yet.
    pub fn unwritten_blocks(&self) -> u64 {
        self.unwritten.load(Ordering::Relaxed)
    }

    /// The metadata of a block; `None` if it is not one of the last blocks.
    ///
    /// # Errors
    ///
    /// If the store cannot be read.
    pub fn block_metadata(&self, number: u64) -> Result<Option<BlockMetadata>, DiskError> {
        let Some(bytes) = self.tables.get(&Key::block(number))? else { return Ok(None) };
        let metadata = alloy_rlp::decode_exact(&bytes);
        metadata.map(Some).map_err(|error| self.damaged(format!("block {number}"), error.to_string()))
    }

    /// The number of the first block whose encoding is kept, if there is one. So are those of all later blocks that
    /// were added with one.
    ///
    /// # Errors
    ///
    /// If the store cannot be read.
    pub fn first_encoded_block(&self) -> Result<Option<u64>, DiskError> {
        let (from, to) = Key::all_encoded();
        let Some((key, _)) = self.tables.first_from(&from, &to)? else { return Ok(None) };
        let number = Key::parse_encoded(&key);
        number.map(Some).ok_or_else(|| self.damaged("the list of encoded blocks", "a key does not decode"))
    }

    /// The encoding of a block; `None` if it is not kept.
    ///
    /// # Errors
    ///
    /// If the store cannot be read.
    pub fn encoded_block(&self, number: u64) -> Result<Option<Bytes>, DiskError> {
        Ok(self.tables.get(&Key::encoded(number))?.map(Bytes::from))
    }

    /// The statistics of the read cache.
    pub fn cache(&self) -> CacheStatistics {
        self.cache.statistics()
    }

    /// The number of entries of the database, counted one by one.
    ///
    /// # Errors
    ///
    /// If the store cannot be read.
    pub fn entry_count(&self) -> Result<u64, DiskError> {
        let (from, to) = Key::everything();
        self.tables.range(&from, &to)?.try_fold(0, |count, pair| pair.map(|_| count + 1))
    }

    /// The path of the store.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a block with its staged changes. The block is in the database when this returns, unless several blocks
    /// are written at once.
    ///
    /// # Errors
    ///
    /// If the block does not follow the last one, its changes were staged on another state, or it cannot be written.
    /// In the last case the store returns to the last block in the database, which is the new block if the database
    /// had it completely when it failed.
    pub fn commit(&self, staged: Staged, block: NewBlock) -> Result<(), DiskError> {
        self.add(staged, block)?;
        if self.is_write_due() { self.flush() } else { Ok(()) }
    }

    /// Adds a block with its staged changes, and writes nothing to the database. Other threads may read meanwhile: of
    /// an account or slot that the block changes they read the value before or after it.
    ///
    /// # Errors
    ///
    /// If the block does not follow the last one, or its changes were staged on another state.
    pub fn add(&self, staged: Staged, block: NewBlock) -> Result<(), DiskError> {
        let NewBlock { number, hash, note, encoded } = block;
        let _changing = self.changing.lock();
        self.tables.check_open()?;
        let head = self.head.read().clone();
        if staged.parent != head {
            return Err(DiskError::StagedOnOtherState { number });
        }
        if Some(number) != head.block.number.checked_add(1) {
            return Err(DiskError::OutOfOrder { number, head: head.block.number });
        }
        let pruned = self.pruned_by(number)?;
        let block = BlockMetadata { number, hash, root: staged.root, note };
        let next_life = staged.next_life;
        let BlockWrites { mut batch, undo, ended, cached } = self.block_writes(staged);
        batch.extend(pruned);
        batch.insert(Key::block(number), Some(alloy_rlp::encode(&block)));
        batch.insert(Key::head(), Some(number.to_be_bytes().to_vec()));
        batch.insert(Key::next_life(), Some(next_life.to_bytes().to_vec()));
        batch.insert(Key::undo(number), Some(alloy_rlp::encode(&undo)));
        if !encoded.is_empty() && self.config.kept_blocks != Some(0) {
            batch.insert(Key::encoded(number), Some(encoded.to_vec()));
        }
        ended.into_iter().for_each(|life| drop(batch.insert(Key::ended(number, life), Some(Vec::new()))));
        self.tables.add(batch, Some(number), || {
            self.cache.put_all(cached);
            self.unwritten.fetch_add(1, Ordering::Relaxed);
        });
        *self.head.write() = Head { block, next_life };
        Ok(())
    }

    /// The number of blocks that are written to the database at once.
    pub fn blocks_per_write(&self) -> u64 {
        self.config.blocks_per_write.get()
    }

    /// Whether as many blocks are unwritten as are written at once.
    pub fn is_write_due(&self) -> bool {
        self.unwritten_blocks() >= self.config.blocks_per_write.get()
    }

    /// Writes all blocks to the database. Blocks may be added meanwhile; they are written next time.
    ///
    /// # Errors
    ///
    /// If they cannot be written. The store then returns to the last block in the database; see
    /// [`commit`](Self::commit). If that fails as well, every call fails until a later flush succeeds.
    pub fn flush(&self) -> Result<(), DiskError> {
        let _writing = self.writing.lock();
        let Err(error) = self.tables.flush(|| self.unwritten.store(0, Ordering::Relaxed)) else {
            return Ok(());
        };
        if self.reload().is_err() {
            // Memory and database differ: all reads and writes must fail.
            self.tables.close();
            self.cache.clear();
        }
        Err(error)
    }

    /// The stored number with this key.
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
