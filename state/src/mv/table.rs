//! Where the cells of locations stand: accounts by address and by number, slots by account and key.
//!
//! Owns them all, spread over shards with a lock each. Promises that a number stays with its account
//! until the shelf is cleared. Knows nothing of what a cell holds.

use std::hash::{Hash, Hasher};

use alloy_primitives::{Address, U256};
use hashbrown::{HashTable, hash_table::Entry};
use revm_state::AccountId;

use crate::mv::{
    shards::{SHARD_BITS, SHARDS, Shards},
    versions::{AccountVersions, SlotVersions},
};

/// How many places a shard keeps when it is cleared, unless it held more.
const ROOM_TO_KEEP: usize = 1 << 10;

/// The cells of accounts.
#[derive(Default)]
pub(crate) struct AccountTable(Shards<AccountShard>);

#[derive(Debug, Default)]
struct AccountShard {
    places: HashTable<(Address, u32)>,
    cells: Vec<AccountVersions>,
}

impl AccountTable {
    /// Looks at the cell of an account, if there is one.
    #[inline]
    pub(crate) fn find<R>(
        &self,
        address: Address,
        look: impl FnOnce(AccountId, &AccountVersions) -> R,
    ) -> Option<R> {
        let hash = self.0.hash(&address);
        let number = Shards::<AccountShard>::shard_of(hash);
        let shard = self.0.lock(number);
        let (_, place) = shard.places.find(hash, |(known, _)| *known == address)?;
        Some(look(account_id(*place, number), &shard.cells[*place as usize]))
    }

    /// Looks at the cell of an account, which is made if there is none.
    pub(crate) fn get_or_insert<R>(
        &self,
        address: Address,
        make: impl FnOnce() -> AccountVersions,
        look: impl FnOnce(AccountId, &AccountVersions) -> R,
    ) -> R {
        let hash = self.0.hash(&address);
        let number = Shards::<AccountShard>::shard_of(hash);
        let mut shard = self.0.lock(number);
        let AccountShard { places, cells } = &mut *shard;
        let known = places.entry(hash, |(known, _)| *known == address, |(known, _)| self.0.hash(known));
        let place = match known {
            Entry::Occupied(known) => known.get().1,
            Entry::Vacant(vacant) => {
                let place =
                    u32::try_from(cells.len()).expect("a block reads fewer than 2^26 accounts of a shard");
                cells.push(make());
                vacant.insert((address, place));
                place
            }
        };
        look(account_id(place, number), &cells[place as usize])
    }

    /// Looks at the cell of an account that is here.
    #[inline]
    pub(crate) fn with<R>(&self, id: AccountId, look: impl FnOnce(&mut AccountVersions) -> R) -> R {
        let (place, number) = (id.get() >> SHARD_BITS, id.get() % SHARDS);
        look(&mut self.0.lock(number).cells[place])
    }

    /// Forgets all cells. Room is kept as far as they needed it.
    pub(crate) fn clear(&mut self) {
        for AccountShard { places, cells } in self.0.iter_mut() {
            let room = cells.len().max(ROOM_TO_KEEP);
            cells.clear();
            cells.shrink_to(room);
            places.clear();
            // What is empty is not hashed again.
            places.shrink_to(room, |_| 0);
        }
    }
}

/// The cells of slots.
#[derive(Default)]
pub(crate) struct SlotTable(Shards<SlotShard>);

type SlotShard = HashTable<(SlotKey, SlotVersions)>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct SlotKey {
    account: AccountId,
    key: U256,
}

impl Hash for SlotKey {
    #[inline]
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_usize(self.account.get());
        self.key.as_limbs().iter().for_each(|limb| hasher.write_u64(*limb));
    }
}

impl SlotTable {
    /// Looks at the cell of a slot, if there is one.
    #[inline]
    pub(crate) fn find<R>(
        &self,
        account: AccountId,
        key: U256,
        look: impl FnOnce(&mut SlotVersions) -> R,
    ) -> Option<R> {
        let slot = SlotKey { account, key };
        let hash = self.0.hash(&slot);
        let mut shard = self.0.lock(Shards::<SlotShard>::shard_of(hash));
        shard.find_mut(hash, |(known, _)| *known == slot).map(|(_, cell)| look(cell))
    }

    /// Looks at the cell of a slot, which is made if there is none.
    #[inline]
    pub(crate) fn get_or_insert<R>(&self, account: AccountId, key: U256, look: impl FnOnce(&mut SlotVersions) -> R) -> R {
        let slot = SlotKey { account, key };
        let hash = self.0.hash(&slot);
        let mut shard = self.0.lock(Shards::<SlotShard>::shard_of(hash));
        let known = shard.entry(hash, |(known, _)| *known == slot, |(known, _)| self.0.hash(known));
        look(&mut known.or_insert_with(|| (slot, SlotVersions::default())).into_mut().1)
    }

    /// Forgets all cells. Room is kept as far as they needed it.
    pub(crate) fn clear(&mut self) {
        for cells in self.0.iter_mut() {
            let room = cells.len().max(ROOM_TO_KEEP);
            cells.clear();
            cells.shrink_to(room, |_| 0);
        }
    }
}

fn account_id(place: u32, shard: usize) -> AccountId {
    AccountId::new((place as usize) << SHARD_BITS | shard)
        .expect("a block reads fewer than 2^26 accounts of a shard")
}

#[cfg(all(test, not(feature = "shuttle")))]
mod tests {
    use super::*;

    #[test]
    fn what_a_large_block_leaves_behind_is_freed_after_a_small_one() {
        let mut shelf = AccountTable::default();
        for number in 0..200_000u64 {
            let address = Address::from_word(U256::from(number).into());
            shelf.get_or_insert(address, || AccountVersions::new(None, None), |_, _| ());
        }
        let room = |shelf: &mut AccountTable| -> usize {
            shelf.0.iter_mut().map(|shard| shard.cells.capacity()).sum()
        };
        shelf.clear();
        assert!(room(&mut shelf) >= 200_000, "the next block may be as large");
        shelf.clear();
        assert!(room(&mut shelf) <= SHARDS * ROOM_TO_KEEP, "{} cells", room(&mut shelf));
    }
}
