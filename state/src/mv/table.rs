//! The tables of versions: accounts by address and by id, slots by account and key.
//!
//! Owns all versions, in shards with a lock each. Promises that an account keeps its id until the table is cleared.
//! Does not depend on the content of versions.
//!
//! Slots are in hand-made shards: the best of four ways to use a `DashMap` makes uncontended reads 5 % to 12 % slower,
//! and is no faster with two threads (`bench/RESULTS.md`).

use std::hash::{Hash, Hasher};

use alloy_primitives::{Address, U256};
use hashbrown::{HashTable, hash_table::Entry};

use crate::{
    model::index::MemoryAccountId,
    mv::{
        shards::{SHARD_BITS, SHARDS, Shards},
        versions::{AccountVersions, SlotVersions},
    },
};

/// The capacity that a shard keeps when it is cleared, unless it held more entries.
const MIN_CAPACITY: usize = 1 << 10;

/// The versions of all accounts.
#[derive(Default)]
pub(crate) struct AccountTable(Shards<AccountShard>);

#[derive(Debug, Default)]
struct AccountShard {
    positions: HashTable<(Address, u32)>,
    versions: Vec<AccountVersions>,
}

impl AccountTable {
    /// Calls `look` with the versions of an account, if the table has it.
    #[inline]
    pub(crate) fn find<R>(
        &self,
        address: Address,
        look: impl FnOnce(MemoryAccountId, &AccountVersions) -> R,
    ) -> Option<R> {
        let hash = self.0.hash(&address);
        let number = Shards::<AccountShard>::shard_of(hash);
        let shard = self.0.lock(number);
        let (_, position) = shard.positions.find(hash, |(other, _)| *other == address)?;
        Some(look(account_id(*position, number), &shard.versions[*position as usize]))
    }

    /// Calls `look` with the versions of an account, which `make` makes if the table does not have it.
    pub(crate) fn get_or_insert<R>(
        &self,
        address: Address,
        make: impl FnOnce() -> AccountVersions,
        look: impl FnOnce(MemoryAccountId, &AccountVersions) -> R,
    ) -> R {
        let hash = self.0.hash(&address);
        let number = Shards::<AccountShard>::shard_of(hash);
        let mut shard = self.0.lock(number);
        let AccountShard { positions, versions } = &mut *shard;
        let entry = positions.entry(hash, |(other, _)| *other == address, |(other, _)| self.0.hash(other));
        let position = match entry {
            Entry::Occupied(entry) => entry.get().1,
            Entry::Vacant(entry) => {
                let position =
                    u32::try_from(versions.len()).expect("a block reads fewer than 2^26 accounts of a shard");
                versions.push(make());
                entry.insert((address, position));
                position
            }
        };
        look(account_id(position, number), &versions[position as usize])
    }

    /// Calls `look` with the versions of an account of the table.
    #[inline]
    pub(crate) fn with<R>(&self, id: MemoryAccountId, look: impl FnOnce(&mut AccountVersions) -> R) -> R {
        let (position, number) = (id.get() >> SHARD_BITS, id.get() % SHARDS);
        look(&mut self.0.lock(number).versions[position])
    }

    /// Removes all accounts. Keeps the capacity that they needed.
    pub(crate) fn clear(&mut self) {
        for AccountShard { positions, versions } in self.0.iter_mut() {
            let capacity = versions.len().max(MIN_CAPACITY);
            versions.clear();
            versions.shrink_to(capacity);
            positions.clear();
            // An empty table hashes nothing again.
            positions.shrink_to(capacity, |_| 0);
        }
    }
}

/// The versions of all slots.
#[derive(Default)]
pub(crate) struct SlotTable(Shards<SlotShard>);

type SlotShard = HashTable<(SlotKey, SlotVersions)>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct SlotKey {
    account: MemoryAccountId,
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
    /// Calls `look` with the versions of a slot, if the table has it.
    #[inline]
    pub(crate) fn find<R>(
        &self,
        account: MemoryAccountId,
        key: U256,
        look: impl FnOnce(&mut SlotVersions) -> R,
    ) -> Option<R> {
        let slot = SlotKey { account, key };
        let hash = self.0.hash(&slot);
        let mut shard = self.0.lock(Shards::<SlotShard>::shard_of(hash));
        shard.find_mut(hash, |(other, _)| *other == slot).map(|(_, versions)| look(versions))
    }

    /// Calls `look` with the versions of a slot, which is added if the table does not have it.
    #[inline]
    pub(crate) fn get_or_insert<R>(
        &self,
        account: MemoryAccountId,
        key: U256,
        look: impl FnOnce(&mut SlotVersions) -> R,
    ) -> R {
        let slot = SlotKey { account, key };
        let hash = self.0.hash(&slot);
        let mut shard = self.0.lock(Shards::<SlotShard>::shard_of(hash));
        let entry = shard.entry(hash, |(other, _)| *other == slot, |(other, _)| self.0.hash(other));
        look(&mut entry.or_insert_with(|| (slot, SlotVersions::default())).into_mut().1)
    }

    /// Removes all slots. Keeps the capacity that they needed.
    pub(crate) fn clear(&mut self) {
        for slots in self.0.iter_mut() {
            let capacity = slots.len().max(MIN_CAPACITY);
            slots.clear();
            slots.shrink_to(capacity, |_| 0);
        }
    }
}

fn account_id(position: u32, shard: usize) -> MemoryAccountId {
    MemoryAccountId::new((position as usize) << SHARD_BITS | shard)
}

#[cfg(not(feature = "shuttle"))]
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_capacity_for_a_large_block_is_freed_after_a_small_one() {
        let mut table = AccountTable::default();
        for number in 0..200_000u64 {
            let address = Address::from_word(U256::from(number).into());
            table.get_or_insert(address, || AccountVersions::new(None, None), |_, _| ());
        }
        let capacity = |table: &mut AccountTable| -> usize {
            table.0.iter_mut().map(|shard| shard.versions.capacity()).sum()
        };
        table.clear();
        assert!(capacity(&mut table) >= 200_000, "the next block may be as large");
        table.clear();
        let usual = SHARDS..=SHARDS * MIN_CAPACITY;
        assert!(usual.contains(&capacity(&mut table)), "{} accounts", capacity(&mut table));
    }
}
