//! Taking away what nobody can reach any more: blocks that are not to be undone, and the slots of lives
//! that ended before them.

use super::{DiskError, DiskStore, entry::LifeId, keys::Key, tables::Batch};

/// How much of ended lives is taken away with each block, so that no block has to wait for all of a
/// large storage.
const MOST_AT_ONCE: usize = 4096;

/// How many blocks BLOCKHASH can name.
const NAMED_BLOCKS: u64 = 256;

impl DiskStore {
    /// Takes away what the block `number` makes too old.
    pub(super) fn drop_old(&self, number: u64, batch: &mut Batch) -> Result<(), DiskError> {
        let kept = self.config.undo_blocks;
        if let Some(old) = number.checked_sub(kept) {
            self.drop_upto(old, Key::undo, batch)?;
            self.sweep(old, batch)?;
        }
        if let Some(old) = number.checked_sub(kept.max(NAMED_BLOCKS) + 1) {
            self.drop_upto(old, Key::block, batch)?;
        }
        Ok(())
    }

    /// Takes away what is kept of a block, and of those before it as far as there is anything.
    fn drop_upto(&self, last: u64, key: fn(u64) -> Key, batch: &mut Batch) -> Result<(), DiskError> {
        for pair in self.tables.range(&key(0), &key(last + 1))?.take(MOST_AT_ONCE) {
            batch.insert(Key::from(pair?.0.as_slice()), None);
        }
        Ok(())
    }

    /// Takes away slots and nodes of lives that ended with the block `last` or before.
    fn sweep(&self, last: u64, batch: &mut Batch) -> Result<(), DiskError> {
        let mut left = MOST_AT_ONCE;
        let (from, to) = Key::all_ended();
        for pair in self.tables.range(&from, &to)? {
            let (key, _) = pair?;
            let (number, life) = Key::parse_ended(&key)
                .ok_or_else(|| self.damaged("the list of lives that ended", "a key in it does not decode"))?;
            if number > last || left == 0 {
                break;
            }
            left = self.sweep_life(life, left, batch)?;
            if left > 0 {
                batch.insert(Key::from(key.as_slice()), None);
            }
        }
        Ok(())
    }

    /// Takes away what is left of a life, and says how much more may be taken away.
    fn sweep_life(&self, life: LifeId, mut left: usize, batch: &mut Batch) -> Result<usize, DiskError> {
        for (from, to) in Key::of_life(life) {
            for pair in self.tables.range(&from, &to)?.take(left) {
                batch.insert(Key::from(pair?.0.as_slice()), None);
                left -= 1;
            }
        }
        Ok(left)
    }
}
