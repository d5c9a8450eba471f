//! Taking away what nobody can reach any more: blocks that are not to be undone, and the slots of lives
//! that ended before them.

use crate::stores::disk::{DiskStore, account_entry::LifeId, error::DiskError, keys::Key, tables::Batch};

/// How much of ended lives is taken away with each block, so that no block has to wait for all of a
/// large storage.
const MOST_AT_ONCE: usize = 4096;

/// How many blocks BLOCKHASH can name.
const NAMED_BLOCKS: u64 = 256;

impl DiskStore {
    /// What takes away all that the block `number` makes too old.
    pub(super) fn old(&self, number: u64) -> Result<Batch, DiskError> {
        let mut batch = Batch::new();
        let kept = self.config.undo_blocks;
        if let Some(old) = number.checked_sub(kept) {
            // What a block needs to be undone stays as long as what undoes it.
            let undone = self.drop_upto(old, Key::undo, &mut batch)?;
            self.prune_lives(undone, &mut batch)?;
        }
        if let Some(old) = number.checked_sub(kept.max(1).saturating_add(NAMED_BLOCKS)) {
            self.drop_upto(old, Key::block, &mut batch)?;
        }
        Ok(batch)
    }

    /// Takes away what is kept of a block, and of those before it as far as there is anything. Answers up
    /// to which block nothing is left: of many, some stay for the next time.
    fn drop_upto(&self, last: u64, key: fn(u64) -> Key, batch: &mut Batch) -> Result<u64, DiskError> {
        let mut left = MOST_AT_ONCE;
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

    /// Takes away slots and nodes of lives that ended with the block `last` or before.
    fn prune_lives(&self, last: u64, batch: &mut Batch) -> Result<(), DiskError> {
        let mut left = MOST_AT_ONCE;
        let (from, to) = Key::all_ended();
        for pair in self.tables.range(&from, &to)? {
            let (key, _) = pair?;
            let (number, life) = Key::parse_ended(&key)
                .ok_or_else(|| self.damaged("the list of lives that ended", "a key in it does not decode"))?;
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

    /// Takes away what is left of a life, and says how much more may be taken away.
    fn prune_life(&self, life: LifeId, mut left: usize, batch: &mut Batch) -> Result<usize, DiskError> {
        for (from, to) in Key::of_life(life) {
            for pair in self.tables.range(&from, &to)?.take(left) {
                batch.insert(Key::from(pair?.0.as_slice()), None);
                left -= 1;
            }
        }
        Ok(left)
    }
}
