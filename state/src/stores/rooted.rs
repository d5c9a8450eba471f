//! A state in memory that keeps its tries: its root costs in proportion to what changed since the last one.
//!
//! Owns the state, its account trie and the storage tries of the contracts whose slots changed. Promises that the root
//! is [`MemoryStore::root`], through changes, their inverses, ended lives and new ones. The tries are built when the
//! first root is asked for, and each root brings the leaves of the changed locations up to date from the state: what
//! was changed and reverted in between costs a leaf and nothing else.

use alloy_primitives::{
    Address, B256, U256, keccak256,
    map::{AddressMap, HashSet},
};
use alloy_trie::{EMPTY_ROOT_HASH, TrieAccount};
use rayon::prelude::*;

use crate::{
    keccak::keccak256_all,
    model::{
        allocation::StoredAccount,
        changes::{AccountChange, Changes, Life},
        mismatch::Mismatch,
    },
    root::storage_root,
    stores::memory::MemoryStore,
    trie::{memory_trie::MemoryTrie, sparse::Update},
};

/// The least number of leaves that is shared among threads: a leaf takes about a microsecond, waking a thread several.
const PARALLEL_FROM: usize = 64;

/// A state in memory that keeps its tries between roots.
///
/// ```
/// use alloy_primitives::{Address, U256};
/// use blockloom_state::{Allocation, MemoryStore, RootedStore};
///
/// let rich = Allocation { balance: U256::from(100), ..Allocation::default() };
/// let mut state = RootedStore::new(MemoryStore::from_genesis([(Address::ZERO, rich)]));
/// assert_eq!(state.root(), state.store().root());
/// ```
#[derive(Debug, Default)]
pub struct RootedStore {
    store: MemoryStore,
    /// The tries, from the first root on.
    tries: Option<Tries>,
    /// The accounts that changed since the last root.
    changed: AddressMap<ChangedStorage>,
}

/// What changed in the storage of an account.
#[derive(Debug)]
enum ChangedStorage {
    /// At most these slots.
    Slots(HashSet<U256>),
    /// Everything: the account began or ended a life.
    All,
}

/// The tries of a state.
#[derive(Debug)]
struct Tries {
    accounts: MemoryTrie,
    /// The storage tries of the accounts that had a changed slot since their life began.
    storages: AddressMap<MemoryTrie>,
}

/// The storage trie of an account, before its changed slots are brought up to date.
struct StorageUpdate<'s> {
    address: Address,
    stored: &'s StoredAccount,
    /// `None` if it was not needed so far.
    trie: Option<MemoryTrie>,
    slots: HashSet<U256>,
}

impl RootedStore {
    /// The state in `store`.
    pub fn new(store: MemoryStore) -> Self {
        Self { store, ..Self::default() }
    }

    /// The state.
    pub fn store(&self) -> &MemoryStore {
        &self.store
    }

    /// Sets the hash that BLOCKHASH returns for `number`; `None` removes it.
    pub fn set_block_hash(&mut self, number: u64, hash: Option<B256>) {
        self.store.set_block_hash(number, hash);
    }

    /// Applies `changes` and returns their inverse, as [`MemoryStore::apply`] does.
    ///
    /// # Errors
    ///
    /// The first location, in order of addresses, that differs from the value that the changes started from. The
    /// state is then unchanged.
    pub fn apply(&mut self, changes: &Changes) -> Result<Changes, Box<Mismatch>> {
        let undo = self.store.apply(changes)?;
        if self.tries.is_some() {
            for (address, change) in &changes.accounts {
                self.changed.entry(*address).or_default().add(change);
            }
        }
        Ok(undo)
    }

    /// The Merkle root of the full state.
    pub fn root(&mut self) -> B256 {
        let tries = self.tries.get_or_insert_with(|| Tries::of(&self.store));
        tries.update(&self.store, std::mem::take(&mut self.changed));
        tries.accounts.root()
    }
}

impl Default for ChangedStorage {
    fn default() -> Self {
        Self::Slots(HashSet::default())
    }
}

impl ChangedStorage {
    fn add(&mut self, change: &AccountChange) {
        if change.life == Life::New || change.account.after.is_none() {
            *self = Self::All;
        } else if let Self::Slots(slots) = self {
            slots.extend(change.slots.keys());
        }
    }
}

impl Tries {
    /// The account trie of a state. Storage tries are built when a slot changes.
    fn of(store: &MemoryStore) -> Self {
        let leaf = |(address, stored): (&Address, &StoredAccount)| {
            let leaf = stored.account.into_leaf(storage_root(&stored.slots));
            (keccak256(address), Some(alloy_rlp::encode(leaf)))
        };
        let accounts: Vec<_> = store.accounts().collect();
        let size: usize = accounts.iter().map(|(_, stored)| 1 + stored.slots.len()).sum();
        let leaves = if size < PARALLEL_FROM {
            accounts.into_iter().map(leaf).collect()
        } else {
            accounts.into_par_iter().map(leaf).collect()
        };
        let mut accounts = MemoryTrie::new();
        accounts.update(leaves);
        Self { accounts, storages: AddressMap::default() }
    }

    /// Brings the leaves of the changed accounts up to date.
    fn update(&mut self, store: &MemoryStore, changed: AddressMap<ChangedStorage>) {
        let addresses: Vec<_> = changed.keys().copied().collect();
        let roots = self.update_storages(store, changed);
        let keys = keccak256_all(&addresses).into_iter();
        let leaves = addresses.iter().zip(keys).map(|(address, key)| {
            let leaf = store.account(address).map(|StoredAccount { account, slots }| {
                let root = match roots.get(address) {
                    Some(root) => *root,
                    None if slots.is_empty() => EMPTY_ROOT_HASH,
                    None => self.storage_root(key),
                };
                alloy_rlp::encode(account.into_leaf(root))
            });
            (key, leaf)
        });
        let leaves = leaves.collect();
        self.accounts.update(leaves);
    }

    /// The storage root of the account with this key, at the time of the last root.
    fn storage_root(&mut self, key: B256) -> B256 {
        let leaf =
            self.accounts.get(key).expect("an account with storage that did not change was there before");
        let leaf: TrieAccount = alloy_rlp::decode_exact(leaf).expect("the leaves are accounts");
        leaf.storage_root
    }

    /// Brings the changed storage tries up to date, and returns the roots of the changed storages.
    fn update_storages(
        &mut self,
        store: &MemoryStore,
        changed: AddressMap<ChangedStorage>,
    ) -> AddressMap<B256> {
        let (mut roots, mut updates) = (AddressMap::default(), Vec::new());
        for (address, changed) in changed {
            match (changed, store.account(&address)) {
                (ChangedStorage::All, Some(stored)) => {
                    self.storages.remove(&address);
                    roots.insert(address, storage_root(&stored.slots));
                }
                (ChangedStorage::Slots(slots), Some(stored)) if !slots.is_empty() => {
                    updates.push(StorageUpdate {
                        address,
                        stored,
                        trie: self.storages.remove(&address),
                        slots,
                    });
                }
                (ChangedStorage::Slots(_), Some(_)) => {}
                (_, None) => drop(self.storages.remove(&address)),
            }
        }
        for (address, trie, root) in StorageUpdate::apply_all(updates) {
            roots.insert(address, root);
            if root != EMPTY_ROOT_HASH {
                self.storages.insert(address, trie);
            }
        }
        roots
    }
}

impl StorageUpdate<'_> {
    /// The tries after these updates, with their roots.
    fn apply_all(updates: Vec<Self>) -> Vec<(Address, MemoryTrie, B256)> {
        let size: usize = updates.iter().map(Self::size).sum();
        if size < PARALLEL_FROM {
            updates.into_iter().map(Self::apply).collect()
        } else {
            updates.into_par_iter().map(Self::apply).collect()
        }
    }

    /// The number of leaves that are set or removed.
    fn size(&self) -> usize {
        if self.trie.is_some() { self.slots.len() } else { self.stored.slots.len() }
    }

    fn apply(self) -> (Address, MemoryTrie, B256) {
        let Self { address, stored, trie, slots } = self;
        let leaves = match trie {
            Some(_) => slots.iter().map(|key| (key, stored.slots.get(key))).collect(),
            None => stored.slots.iter().map(|(key, value)| (key, Some(value))).collect(),
        };
        let mut trie = trie.unwrap_or_default();
        trie.update(slot_leaves(leaves));
        let root = trie.root();
        (address, trie, root)
    }
}

/// The leaves of slots; `None` for a slot that is zero.
fn slot_leaves(slots: Vec<(&U256, Option<&U256>)>) -> Vec<Update> {
    let keys: Vec<_> = slots.iter().map(|(key, _)| key.to_be_bytes::<32>()).collect();
    let leaves = keccak256_all(&keys).into_iter().zip(slots);
    leaves.map(|(key, (_, value))| (key, value.map(alloy_rlp::encode))).collect()
}
