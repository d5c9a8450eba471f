//! Prunes unreachable data: undo data, metadata and encodings of old blocks, and the slots and nodes of lives that ended
//! before them.

use crate::stores::disk::{
    DiskStore, account_entry::LifeId, error::DiskError, keys::Key, tables::WriteBatch,
};

/// The largest number of entries that a block prunes, so that no block waits for a whole large storage.
const MAX_PRUNED: usize = 4096;

/// The number of blocks that BLOCKHASH can access.
const BLOCKHASH_BLOCKS: u64 = 256;

impl DiskStore {
    /// The deletions that adding the block `number` allows.
    pub(super) fn pruned_by(&self, number: u64) -> Result<WriteBatch, DiskError> {
        let mut batch = WriteBatch::new();
        let kept = self.config.undo_blocks;
        if let Some(oldest) = number.checked_sub(kept) {
            // The lives that a block ended are pruned after its undo data.
            let pruned = self.prune_up_to(oldest, Key::undo, &mut batch)?;
            self.prune_lives(pruned, &mut batch)?;
        }
        if let Some(oldest) = number.checked_sub(kept.max(1).saturating_add(BLOCKHASH_BLOCKS)) {
            self.prune_up_to(oldest, Key::block, &mut batch)?;
        }
        if let Some(oldest) = self.config.kept_blocks.and_then(|kept| number.checked_sub(kept)) {
            self.prune_up_to(oldest, Key::encoded, &mut batch)?;
        }
        Ok(batch)
    }

    /// Deletes the entries of a block and all blocks before it, at most [`MAX_PRUNED`]. Returns the last block up to
    /// which no entry remains.
    fn prune_up_to(&self, last: u64, key: fn(u64) -> Key, batch: &mut WriteBatch) -> Result<u64, DiskError> {
        let mut left = MAX_PRUNED;
        for pair in self.tables.range(&key(0), &key(last.saturating_add(1)))? {
            let (found, _) = pair?;
            let found = Key::from(found.as_slice());
            if left == 0 {
                let number = found.as_slice()[1..].try_into().map_or(0, u64::from_be_bytes);
                return Ok(number.saturating_sub(1));
            }
            left -= 1;
            batch.insert(found, None);
        }
        Ok(last)
    }

    /// Deletes slots and nodes of lives that ended with the block `last` or before.
    fn prune_lives(&self, last: u64, batch: &mut WriteBatch) -> Result<(), DiskError> {
        let mut left = MAX_PRUNED;
        let (from, to) = Key::all_ended();
        for pair in self.tables.range(&from, &to)? {
            let (key, _) = pair?;
            let (number, life) = Key::parse_ended(&key)
                .ok_or_else(|| self.damaged("the list of ended lives", "a key does not decode"))?;
            if number > last || left == 0 {
                break;
            }
            left = self.prune_life(life, left, batch)?;
            if left > 0 {
                batch.insert(Key::from(key.as_slice()), None);
            }
        }
        Ok(())
    }

    /// Deletes at most `left` entries of a life, and returns how many more may be deleted.
    fn prune_life(&self, life: LifeId, mut left: usize, batch: &mut WriteBatch) -> Result<usize, DiskError> {
        for (from, to) in Key::of_life(life) {
            for pair in self.tables.range(&from, &to)?.take(left) {
                batch.insert(Key::from(pair?.0.as_slice()), None);
                left -= 1;
            }
        }
        Ok(left)
    }
}
