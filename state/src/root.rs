//! The state root, computed from the full state.

use alloy_primitives::{
    B256, U256, keccak256,
    map::{AddressMap, U256Map},
};
use alloy_trie::{EMPTY_ROOT_HASH, HashBuilder, Nibbles};
use rayon::prelude::*;

use crate::{model::allocation::StoredAccount, trie::slot_key};

/// The least number of accounts and slots that pays for several threads: a leaf takes about a microsecond, waking
/// a thread several.
const PARALLEL_FROM: usize = 64;

/// The root of the state with exactly these accounts. Storage roots are computed in parallel.
pub(crate) fn state_root(accounts: &AddressMap<StoredAccount>) -> B256 {
    let leaf = |(address, stored): (&_, &StoredAccount)| {
        (keccak256(address), stored.account.into_leaf(storage_root(&stored.slots)))
    };
    let size: usize = accounts.values().map(|stored| 1 + stored.slots.len()).sum();
    let mut leaves: Vec<_> = if size < PARALLEL_FROM {
        accounts.iter().map(leaf).collect()
    } else {
        accounts.par_iter().map(leaf).collect()
    };
    leaves.sort_unstable_by_key(|(hash, _)| *hash);
    trie_root(leaves)
}

/// The root of a storage trie with exactly these slots, none of which is zero.
pub(crate) fn storage_root(slots: &U256Map<U256>) -> B256 {
    if slots.is_empty() {
        return EMPTY_ROOT_HASH;
    }
    let leaf = |(key, value): (&U256, &U256)| (slot_key(key), *value);
    let mut leaves: Vec<_> = if slots.len() < PARALLEL_FROM {
        slots.iter().map(leaf).collect()
    } else {
        slots.par_iter().map(leaf).collect()
    };
    leaves.sort_unstable_by_key(|(hash, _)| *hash);
    trie_root(leaves)
}

fn trie_root<V: alloy_rlp::Encodable>(sorted: Vec<(B256, V)>) -> B256 {
    let mut builder = HashBuilder::default();
    let mut encoded = Vec::new();
    for (hash, value) in sorted {
        encoded.clear();
        value.encode(&mut encoded);
        builder.add_leaf(Nibbles::unpack(hash), &encoded);
    }
    builder.root()
}

#[cfg(test)]
mod tests {
    use alloy_primitives::Address;
    use alloy_trie::TrieAccount;

    use super::*;
    use crate::{model::allocation::Allocation, stores::memory::MemoryStore};

    #[test]
    fn the_empty_state_has_the_empty_root() {
        assert_eq!(MemoryStore::new().root(), EMPTY_ROOT_HASH);
    }

    #[test]
    fn few_and_many_accounts_agree_with_an_independent_implementation() {
        for count in [1u64, 3, 200] {
            let allocation = |index: u64| Allocation {
                balance: U256::from(index),
                nonce: index,
                storage: (0..index % 90).map(|key| (U256::from(key), U256::from(key * index))).collect(),
                ..Allocation::default()
            };
            let address = |index: u64| Address::left_padding_from(&index.to_be_bytes());
            let store = MemoryStore::from_genesis((0..count).map(|i| (address(i), allocation(i))));
            let reference = (0..count).map(|i| {
                let slots = allocation(i).storage.into_iter().filter(|(_, value)| !value.is_zero());
                let slots = slots.map(|(key, value)| (B256::from(key), value));
                let account = TrieAccount {
                    nonce: i,
                    balance: U256::from(i),
                    storage_root: alloy_trie::root::storage_root_unhashed(slots),
                    ..TrieAccount::default()
                };
                (address(i), account)
            });
            assert_eq!(store.root(), alloy_trie::root::state_root_unhashed(reference), "{count} accounts");
        }
    }
}
